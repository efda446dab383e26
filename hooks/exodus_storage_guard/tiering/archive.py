"""The archive: plain copies in a store, each with a manifest beside it that makes it readable without us."""

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime

from exodus_common.errors import ExodusError
from exodus_common.render import instant, json_text
from exodus_common.terminal import printable
from exodus_storage_guard.errors import NotInitialised, ObjectChanged, ObjectMissing, StoreFailed
from exodus_storage_guard.model import Entry, StoredObject
from exodus_storage_guard.stores.contract import Chunks, Moved, Store, nobody
from exodus_storage_guard.tiering.copy_names import (
    OURS,
    aside_name,
    copy_name,
    copy_names,
    manifest_name,
)
from exodus_storage_guard.tiering.manifests import Manifest, ManifestUnreadable, parsed

MARK = ".exodus-storage-guard.json"
_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
_PROBE = f"{OURS}do-you-take-this-"
_TAKEN_FROM_BYTES = 1024 * 1024  # below, sending the bytes once more costs less than asking for a copy

Reading = Callable[[], AbstractContextManager[tuple[StoredObject, Chunks]]]
"""Read the source once more: what it is, and its bytes."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Name a copy in the archive, what was copied, and the SHA-256 of its bytes as they were read.

    `sha256` is None where the server that has both copied it, and nobody has read it; `is_new` tells it from one that
    was there before.
    """

    name: str
    source: StoredObject
    sha256: str | None
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold how each copy that is there and its manifest look (`looks_of`), and which could not be looked at, and why.

    A mark is None where its server tells too little, or it has no manifest. A copy that is in neither is not there.
    """

    marks: Mapping[str, str | None]
    failed: Mapping[str, ExodusError]


class Archive:
    """Keep copies in a store of any kind."""

    def __init__(self, store: Store) -> None:
        """Take the store that the copies lie in."""
        self.store = store

    @property
    def name(self) -> str:
        """Name the archive to people."""
        return self.store.name

    def mark(self, archive_id: str, now: datetime) -> None:
        """Mark an archive as ours."""
        self.store.write_small(MARK, json_text({"archive": archive_id, "marked_at": instant(now)}).encode())

    def check_mark(self, archive_id: str) -> None:
        """Refuse a folder that is not the archive we marked: its disk may not be mounted."""
        present = self.marked()
        if present != archive_id:
            raise NotInitialised(
                f"the archive {self.name} {unlike(present)}: is its disk mounted? "
                "If another archive is meant than before: exodus-storage-guard init --new-archive"
            )

    def marked(self) -> str | None:
        """Give the id in the archive's mark; None where it bears none."""
        content = self.store.read_small(MARK)
        if content is None:
            return None
        try:
            found = json.loads(content)["archive"]
            if not isinstance(found, str) or not _ID.fullmatch(found):
                raise ValueError("there is no id in it")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise NotInitialised(
                f"the mark {MARK} in the archive {self.name} cannot be read ({error}): put it back as it was, or "
                "remove it and run: exodus-storage-guard init --new-archive"
            ) from error
        return found

    def copy(self, source: Store, stored: StoredObject, read: Reading, moved: Moved = nobody) -> Copy:
        """Copy an object; a copy that is there already is taken where it is the same, and never overwritten.

        Whatever else has its name stays where it is, also what nothing describes: it may be the last of an older
        version. Only what says that it is this very content, and is not, is put aside.
        """
        plain = copy_name(stored.key)
        try:
            return self._copied(source, stored, plain, read)
        except ObjectChanged:
            if self.store.stat(plain) is None:
                raise  # the source has changed
        found, sha256 = digested(read)
        for name in copy_names(stored.key, sha256):
            if self.store.stat(name) is None:
                return self._copied(source, stored, name, read)
            manifest = self._readable_manifest(name)
            if manifest is not None and manifest.key != stored.key:
                continue  # names that differ may be one to a filesystem
            if self.store.sha256(name, moved) == sha256:
                return Copy(name, found, sha256, is_new=False)
            says_it_is_this = manifest.sha256 == sha256 if manifest is not None else name != plain
            if says_it_is_this:
                self.quarantine(name, moved)
                return self._copied(source, stored, name, read)
        raise StoreFailed(f"{self.name}: every name that a copy of {printable(stored.key)} may have is taken")

    def _copied(self, source: Store, stored: StoredObject, name: str, read: Reading) -> Copy:
        if stored.bytes >= _TAKEN_FROM_BYTES and (copied := self.store.take(source, stored, name)) is not None:
            return Copy(name, copied, None)
        digest = hashlib.sha256()
        with read() as (found, chunks):
            self.store.put(replace(found, key=name), _hashed(chunks, digest.update))
        return Copy(name, found, digest.hexdigest())

    def sha256(self, name: str, moved: Moved = nobody) -> str:
        """Read a copy back and give its SHA-256."""
        return self.store.sha256(name, moved)

    def open(self, name: str) -> AbstractContextManager[tuple[StoredObject, Chunks]]:
        """Stream a copy."""
        return self.store.open(name)

    def try_out(self) -> None:
        """See that the archive takes an object and gives it back; raise `StoreFailed` where it does not."""
        name, content = f"{_PROBE}{secrets.token_hex(8)}", secrets.token_bytes(16)
        with self.probed(name, content):
            if self.store.read_small(name) != content:
                raise StoreFailed(f"{self.name}: what was written there is not read back")

    @contextmanager
    def probed(self, name: str, content: bytes) -> Iterator[None]:
        """Have a small object there for a block; it is removed if it can be: an archive may keep all it gets."""
        self.store.write_small(name, content)
        try:
            yield
        finally:
            with suppress(ExodusError):
                self._remove_one(name)

    def look(self, names: Sequence[str], moved: Moved = nobody) -> Seen:
        """See how copies and their manifests look; raise `StoreFailed` where the archive does not answer."""
        looks = self.store.stat_all([one for name in names for one in (name, manifest_name(name))], moved)
        failed = {
            name: error
            for name in names
            if (error := looks.failed.get(name) or looks.failed.get(manifest_name(name))) is not None
        }
        seen = {one: looks_of(stored) for one, stored in looks.found.items()}
        there = [name for name in names if name in seen and name not in failed]
        return Seen({name: _mark(seen[name], seen.get(manifest_name(name))) for name in there}, failed)

    def describes(self, name: str, entry: Entry) -> bool:
        """Tell whether a copy's manifest says that it is this very object's."""
        found = self._readable_manifest(name)
        return found is not None and (found.key, found.bytes, found.sha256) == (entry.key, entry.bytes, entry.sha256)

    def quarantine(self, name: str, moved: Moved = nobody) -> None:
        """Put a copy that differs aside, with its manifest, under a name that nobody takes for an archived object."""
        aside = aside_name(name)
        self.store.move(name, aside, moved)
        with suppress(ObjectMissing):
            self.store.move(manifest_name(name), manifest_name(aside), moved)

    def describe(self, name: str, manifest: Manifest) -> None:
        """Write a copy's manifest beside it."""
        self.store.write_small(manifest_name(name), (json_text(manifest) + "\n").encode("ascii"))

    def manifest(self, name: str) -> Manifest | None:
        """Read a copy's manifest; None where it has none, `ManifestUnreadable` where what it has is none."""
        content = self.store.read_small(manifest_name(name))
        return None if content is None else parsed(content, f"{self.name}: {printable(manifest_name(name))}")

    def _readable_manifest(self, name: str) -> Manifest | None:
        try:
            return self.manifest(name)
        except ManifestUnreadable:
            return None

    def key_of(self, name: str) -> str | None:
        """Give the key that the manifest of a copy, put aside or not, names; None where none can be read."""
        manifest = self._readable_manifest(name)
        return None if manifest is None else manifest.key

    def remove(self, name: str) -> None:
        """Delete a copy and its manifest, for good; what is gone already is no fault."""
        for each in (name, manifest_name(name)):
            self._remove_one(each)

    def _remove_one(self, name: str) -> None:
        stored = self.store.stat(name)
        if stored is not None:
            self.store.delete(stored)


def looks_of(stored: StoredObject | None) -> str | None:
    """Say what tells an object from any other that may take its place; None where its server says too little.

    A listing and a look at one object differ in what is below a second.
    """
    if stored is None or not stored.etag:
        return None
    return f"{stored.bytes} {stored.etag} {int(stored.last_modified.timestamp())}"


def _mark(copy: str | None, manifest: str | None) -> str | None:
    return None if copy is None or manifest is None else f"{copy} | {manifest}"


def unlike(mark: str | None) -> str:
    """Say what is wrong with a mark that is not the expected one."""
    return "has no mark of ours" if mark is None else "bears another mark than ours"


def _hashed(chunks: Chunks, update: Callable[[bytes], None]) -> Chunks:
    for chunk in chunks:
        update(chunk)
        yield chunk


def digested(read: Reading) -> tuple[StoredObject, str]:
    """Read the source to its end; give what it is, and its SHA-256."""
    digest = hashlib.sha256()
    with read() as (found, chunks):
        for chunk in chunks:
            digest.update(chunk)
    return found, digest.hexdigest()


def verified(chunks: Chunks, sha256: str, what: str) -> Chunks:
    """Pass bytes on, and raise `StoreFailed` before the last one where they are not those that were proven."""
    digest, held_back = hashlib.sha256(), b""
    for chunk in chunks:
        digest.update(chunk)
        if held_back:
            yield held_back
        held_back = chunk
    if digest.hexdigest() != sha256:
        raise StoreFailed(f"{what} differs from what was proven: its SHA-256 is {digest.hexdigest()}, not {sha256}")
    if held_back:
        yield held_back

"""A bucket of an S3 server as a store: each object one of the bucket's, its key what follows the prefix."""

import hashlib
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import BinaryIO, cast

from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.errors import KeyRefused, NotFreeable, ObjectChanged, ObjectMissing, StoreFailed
from exodus_storage_guard.model import Capacity, StoredObject, Total
from exodus_storage_guard.stores.contract import MOST_SMALL_BYTES, Chunks, Looks, Moved, Store, nobody
from exodus_storage_guard.stores.s3.bucket import BucketDoor, Found
from exodus_storage_guard.stores.s3.deletions import deleted
from exodus_storage_guard.stores.s3.paging import ListingStuck
from exodus_storage_guard.stores.s3.presence import described, present
from exodus_storage_guard.stores.s3.ranges import listed
from exodus_storage_guard.stores.s3.responses import Unfinished

_MIB = 1024 * 1024
_LONGEST_KEY_BYTES = 1024
_MOST_COPIED_BYTES = 512 * _MIB  # a server says nothing while it copies: what takes it long would look dead
_OF_PARTS = re.compile(r"[0-9a-f]{32}-([0-9]+)")
_OF_ONE = re.compile(r"[0-9a-f]{32}")
_PART_BYTES = tuple(size * _MIB for size in (5, 8, 10, 15, 16, 32, 64))  # what known clients cut uploads into
_USUAL_PART_BYTES, _MOST_IN_ONE_BYTES, _MOST_PARTS = 8 * _MIB, 32 * _MIB, 10_000


class S3Store:
    """Keep objects in a bucket, under a prefix."""

    def __init__(self, door: BucketDoor, prefix: str) -> None:
        """Take the door to the bucket; `prefix` is empty, or ends in a slash."""
        self._door, self._prefix = door, prefix

    @property
    def name(self) -> str:
        """Name the bucket and its server."""
        return f"{self._door.name}, {printable(self._prefix)}" if self._prefix else self._door.name

    def listing(self) -> Iterator[StoredObject]:
        """Stream every object, several ranges of keys at once where there are more than a thousand."""
        yield from map(self._without_prefix, listed(self._door.page, self._prefix, self.name))

    def stat(self, key: str) -> StoredObject | None:
        """Ask for an object's headers."""
        found = self._door.head(self._named(key))
        return None if found is None else self._without_prefix(found.stored)

    def stat_all(self, keys: Sequence[str], moved: Moved = nobody) -> Looks:
        """Look into a listing where that shows many of them, and ask for the others."""
        named, found, failed = dict[str, str](), dict[str, StoredObject](), dict[str, ExodusError]()
        for key in keys:
            try:
                named[self._named(key)] = key
            except KeyRefused as error:
                failed[key] = error
        looks: dict[str, StoredObject | ExodusError]
        looks = described(list(named), self._door.page, self._looked_at, moved)
        for name, seen in looks.items():
            if isinstance(seen, StoredObject):
                found[named[name]] = self._without_prefix(seen)
            else:
                failed[named[name]] = seen
        return Looks(found, failed)

    def _looked_at(self, name: str) -> StoredObject | ExodusError | None:
        try:
            found = self._door.head(name)
        except StoreFailed as error:
            self._door.now()  # raises where it is not this object alone that nobody answers for
            return error
        return None if found is None else found.stored

    @contextmanager
    def open(self, key: str) -> Iterator[tuple[StoredObject, Chunks]]:
        """Get an object; what it is, is said by the very answer that brings its bytes."""
        with self._door.get(self._named(key)) as (stored, chunks):
            yield self._without_prefix(stored), chunks

    def put(self, wanted: StoredObject, chunks: Iterable[bytes]) -> StoredObject:
        """Upload, in parts where that is large; with the parts that its ETag tells of, the ETag comes back."""
        name = self._named(wanted.key)
        self._refuse_another(wanted.key)
        source = cast(BinaryIO, _Exactly(wanted, chunks))
        size = part_bytes(wanted.bytes, wanted.etag)
        self._door.put(replace(wanted, key=name), source, part_bytes=size, only_new=True)
        there = self._arrived(wanted)
        return replace(wanted, etag=there.etag, last_modified=there.last_modified)

    def _arrived(self, wanted: StoredObject) -> StoredObject:
        """See that what a server accepted is there: some say 200 to everything."""
        found = self.stat(wanted.key)
        if found is None or found.bytes != wanted.bytes:
            there = "nothing is" if found is None else f"{found.bytes} bytes are"
            raise StoreFailed(
                f"{self.name}: {printable(wanted.key)}: the server accepted {wanted.bytes} bytes, and {there} there: "
                "look into its own log, or for whatever answers in its place"
            )
        return found

    def take(self, source: Store, stored: StoredObject, new_key: str) -> StoredObject | None:
        """Copy from another bucket, or another prefix, of this very server, which then sends no byte of it."""
        if not isinstance(source, S3Store) or not self._door.is_server_of(source._door):
            return None
        if stored.bytes > _MOST_COPIED_BYTES:
            return None
        found = source._door.head(source._named(stored.key))
        if found is None:
            raise ObjectMissing(f"{source.name}: there is no {printable(stored.key)}")
        described = source._without_prefix(found.stored)
        source._refuse_unlike(described, stored)
        self._refuse_another(new_key)
        self._door.take(source._door, found, self._named(new_key))
        self._arrived(replace(stored, key=new_key))
        return described

    def _refuse_another(self, key: str) -> None:
        """Look before it is written as well: a server may not know If-None-Match."""
        if self._door.head(self._named(key)) is not None:
            raise ObjectChanged(f"{self.name}: there is another {printable(key)} already")

    def sha256(self, key: str, moved: Moved = nobody) -> str:
        """Get an object from the server again."""
        digest = hashlib.sha256()
        with self._door.get(self._named(key)) as (_, chunks):
            for chunk in chunks:
                digest.update(chunk)
                moved(len(chunk))
        return digest.hexdigest()

    def delete(self, stored: StoredObject) -> bool:
        """Delete exactly the version that is seen to be this object; refuse where an older one would come back."""
        found = self._to_delete(stored)
        if found is None:
            return False
        self._door.remove(found.stored.key, found.version)
        return True

    def delete_all(self, batch: Sequence[StoredObject]) -> Mapping[str, ExodusError]:
        """Look at each, and delete them in one request, but for keys that it would change on the way."""
        failed: dict[str, ExodusError] = {}
        wanted: dict[str, tuple[str, str | None]] = {}
        for stored in batch:
            try:
                found = self._to_delete(stored)
                if found is not None:
                    wanted[stored.key] = found.stored.key, found.version
            except ExodusError as error:
                failed[stored.key] = error
        refused = deleted(list(wanted.values()), self._door.remove_many, self._door.remove)
        return failed | {key: refused[name] for key, (name, _) in wanted.items() if name in refused}

    def present(self, keys: Sequence[str], moved: Moved = nobody) -> Collection[str]:
        """Look into a listing where that shows many of them, and ask for the others."""
        named = {self._named(key): key for key in keys}
        found = present(list(named), self._door.page, lambda name: self._door.head(name) is not None, moved)
        return {named[name] for name in found}

    def _to_delete(self, stored: StoredObject) -> Found | None:
        """Look at an object once more: it is the one that was proven, and nothing comes back when it goes."""
        name = self._named(stored.key)
        found = self._door.head(name)
        if found is None:
            return None
        self._refuse_unlike(self._without_prefix(found.stored), stored)
        if found.version is not None and (versions := self._door.versions(name)) > 1:
            raise NotFreeable(
                f"{self.name}: {printable(stored.key)} has {versions} versions: deleting the newest would bring back "
                "the one before it; remove the others, or have the bucket's lifecycle expire them"
            )
        return found

    def _refuse_unlike(self, found: StoredObject, stored: StoredObject) -> None:
        """Refuse what is not the object that was looked at; its time tells, too, where ETags do not follow content."""
        where = f"{self.name}: {printable(stored.key)}"
        if found.bytes == stored.bytes and not found.etag:
            raise NotFreeable(
                f"{where} has no ETag here, so nobody can tell it from another object: upload it again through the "
                "server, or delete it yourself"
            )
        seconds = {one.last_modified.replace(microsecond=0) for one in (found, stored)}
        if not found.is_same_content(stored) or len(seconds) > 1:
            raise ObjectChanged(f"{where} is not the object that was looked at before")

    def move(self, key: str, new_key: str, moved: Moved = nobody) -> None:
        """Copy within the server, or what is too large for that through here, and delete what was copied."""
        stored = self.stat(key)
        if stored is None:
            raise ObjectMissing(f"{self.name}: there is no {printable(key)}")
        self._to_delete(stored)  # before it is copied: each try would leave one copy more
        if self.take(self, stored, new_key) is None:
            with self.open(key) as (found, chunks):
                self.put(replace(found, key=new_key), _told(chunks, moved))
        self.delete(stored)

    def read_small(self, key: str) -> bytes | None:
        """Get a small object."""
        try:
            with self._door.get(self._named(key)) as (stored, chunks):
                if stored.bytes > MOST_SMALL_BYTES:
                    raise StoreFailed(f"{self.name}: {printable(key)} has {stored.bytes} bytes: it is none of ours")
                return b"".join(chunks)
        except ObjectMissing:
            return None

    def write_small(self, key: str, content: bytes) -> None:
        """Put a small object; one that is there is replaced."""
        wanted = StoredObject(self._named(key), len(content), "", datetime.now(UTC), "application/json")
        self._door.put(wanted, io.BytesIO(content), part_bytes=_USUAL_PART_BYTES, only_new=False)

    def discard_unfinished(self, before: datetime) -> int:
        """Give up uploads in parts that began before, below our prefix only."""
        removed = 0
        with suppress(ListingStuck):  # what comes after is for the next sweep, and holds up none
            for one, _ in self._unfinished(before):
                self._door.abort(one)
                removed += 1
        return removed

    def abandon(self, key: str) -> None:
        """Give up uploads in parts of exactly this key."""
        name = self._named(key)
        for one in self._door.unfinished(name):
            if one.name == name:
                self._door.abort(one)

    def unfinished(self, before: datetime) -> Total:
        """Add up uploads in parts that began before, below our prefix only; as far as the server lists them."""
        return sum((Total(1, size) for _, size in self._unfinished(before)), Total())

    def _unfinished(self, before: datetime) -> Iterator[tuple[Unfinished, int]]:
        for one in self._door.unfinished():
            if one.begun_at < before and one.name.startswith(self._prefix):
                size = self._door.upload_bytes(one)
                if size is not None:
                    yield one, size

    def capacity(self) -> Capacity | None:
        """Tell nothing: S3 has no call for it."""
        return None

    def now(self) -> datetime | None:
        """Read the date of an answer."""
        return self._door.now()

    def _named(self, key: str) -> str:
        """Name an object; a key that a server would read as another, or not hold, is refused here."""
        name = self._prefix + key
        parts = key.split("/")
        try:
            length = len(name.encode())
        except UnicodeEncodeError:
            raise KeyRefused(f"{printable(key)!r} cannot be a key of {self.name}: it is not UTF-8") from None
        if "\0" in key or any(part in ("", ".", "..") for part in parts) or length > _LONGEST_KEY_BYTES:
            raise KeyRefused(
                f"{printable(key)!r} cannot be a key of {self.name}: servers differ in what they make of it"
            )
        return name

    def _without_prefix(self, stored: StoredObject) -> StoredObject:
        return replace(stored, key=stored.key.removeprefix(self._prefix)) if self._prefix else stored


def part_bytes(size: int, etag: str) -> int:
    """Choose the parts of an upload: those that made an ETag of S3, `MD5-N` (N parts), or else as few as memory allows.

    An upload in one part has the MD5 of its bytes as its ETag.
    """
    parts = _OF_PARTS.fullmatch(etag)
    if parts:
        fitting = [one for one in _PART_BYTES if -(-size // one) == int(parts[1])]
        if fitting:
            return fitting[0]
    if _OF_ONE.fullmatch(etag) and size <= _MOST_IN_ONE_BYTES:
        return max(size, _PART_BYTES[0])
    fewest = -(-size // _MOST_PARTS)
    return max(_USUAL_PART_BYTES, -(-fewest // _MIB) * _MIB)


def _told(chunks: Chunks, moved: Moved) -> Chunks:
    for chunk in chunks:
        moved(len(chunk))
        yield chunk


class _Exactly(io.RawIOBase):
    """Read chunks as a file; raise `ObjectChanged` before the last byte where they are not as many bytes as wanted."""

    def __init__(self, wanted: StoredObject, chunks: Iterable[bytes]) -> None:
        self._wanted, self._chunks = wanted, iter(chunks)
        self._left_bytes = wanted.bytes
        self._rest = b""
        self._end()

    def read(self, size: int = -1) -> bytes:
        """Give exactly so many bytes, or what is left: what the SDK gets in pieces it puts together ever again."""
        wanted_bytes = self._left_bytes if size < 0 else min(size, self._left_bytes)
        pieces, missing = list[bytes](), wanted_bytes
        while missing:
            chunk = self._rest or self._next()
            pieces.append(chunk[:missing])
            self._rest = chunk[missing:]
            missing -= len(pieces[-1])
        self._left_bytes -= wanted_bytes
        self._end()
        return b"".join(pieces)

    def _next(self) -> bytes:
        for chunk in self._chunks:
            if chunk:
                return chunk
        raise self._changed()

    def _end(self) -> None:
        if not self._left_bytes and (self._rest or any(self._chunks)):
            raise self._changed()

    def _changed(self) -> ObjectChanged:
        return ObjectChanged(f"{printable(self._wanted.key)} has other than its {self._wanted.bytes} bytes")

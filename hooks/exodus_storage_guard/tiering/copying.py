"""Copy one object into the archive and prove the copy: the effects of a sweep on one object, without the catalogue."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from exodus_common.clock import Clock
from exodus_common.stopping import go_on
from exodus_common.terminal import printable
from exodus_storage_guard.errors import ObjectChanged, StoreFailed
from exodus_storage_guard.model import Entry, StoredObject
from exodus_storage_guard.stores.contract import Chunks, Moved, Store, nobody
from exodus_storage_guard.tiering.archive import Archive, Copy, digested, looks_of
from exodus_storage_guard.tiering.bandwidth import Flow
from exodus_storage_guard.tiering.manifests import Manifest


class CopyDiffers(StoreFailed):
    """Say that what was read back from the archive is not what was sent there."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Name a copy that was read back and found to be the object."""

    copy: str
    sha256: str
    looks: str | None
    """How the copy looked before it was read back (`archive.looks_of`)."""


@dataclass(frozen=True)
class Copier:
    """Copy, read back, compare, and only then describe the copy as one; a release looks at the source again."""

    store: Store
    archive: Archive
    flow: Flow
    clock: Clock
    moved: Moved = nobody

    def prove(self, entry: Entry) -> Proof:
        """Give the proof; raise `CopyDiffers` (what it wrote is aside), `ObjectChanged`, `StoreFailed` or `Stopped`.

        What a server copied that has both is read here all the same: nobody's word is taken for its SHA-256. The source
        is, too, unless the copy is what the platform recorded of it.
        """

        def read() -> AbstractContextManager[tuple[StoredObject, Chunks]]:
            return self._source(entry)

        go_on()
        copy = self.archive.copy(self.store, entry.stored, read, self.moved)
        looks = looks_of(self.archive.store.stat(copy.name))
        read_back = self.archive.sha256(copy.name, self.moved)
        sha256 = copy.sha256 or (read_back if read_back == entry.recorded_sha256 else digested(read)[1])
        if read_back != sha256:
            raise CopyDiffers(
                f"the copy of {printable(entry.key)} in {self.archive.name} reads back as {read_back}, "
                f"and the object is {sha256}; {self._put_aside(copy)}, and the object stays where it is"
            )
        if entry.recorded_sha256 and entry.recorded_sha256 != sha256:
            raise CopyDiffers(
                f"{printable(entry.key)} is not what the platform recorded: its SHA-256 is {sha256}, "
                f"the record has {entry.recorded_sha256}; it stays where it is, and {self._put_aside(copy)}"
            )
        self.archive.describe(copy.name, _manifest(copy.source, sha256, self.clock, self.store.name))
        return Proof(copy.name, sha256, looks)

    def _put_aside(self, copy: Copy) -> str:
        """Put aside what this run has written, and nothing that may have been proven before; say which."""
        if not copy.is_new:
            return f"the copy stays, too, since it was there before as {printable(copy.name)}"
        self.archive.quarantine(copy.name, self.moved)
        return "the copy is put aside"

    @contextmanager
    def _source(self, entry: Entry) -> Iterator[tuple[StoredObject, Chunks]]:
        with self.store.open(entry.key) as (stored, chunks):
            if not (stored.is_same_content(entry.stored) or _was_only_touched(stored, entry.stored)):
                raise ObjectChanged(f"{printable(entry.key)} was changed by others")
            yield stored, self.flow.through(chunks)


def _was_only_touched(stored: StoredObject, known: StoredObject) -> bool:
    """Tell a link or other rights from another content, as far as times do; it is read to its end all the same."""
    return bool(stored.etag) and (stored.bytes, stored.last_modified) == (known.bytes, known.last_modified)


def _manifest(stored: StoredObject, sha256: str, clock: Clock, store: str) -> Manifest:
    return Manifest(
        stored.key,
        stored.bytes,
        sha256,
        stored.etag,
        stored.content_type,
        dict(stored.metadata),
        stored.last_modified,
        clock.now(),
        store,
    )

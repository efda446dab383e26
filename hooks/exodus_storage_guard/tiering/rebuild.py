"""The story of `rebuild`: make a lost catalogue anew, from the archive's manifests and the store."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from exodus_common.terminal import printable
from exodus_storage_guard import state_identity
from exodus_storage_guard.errors import KeyRefused, StoreFailed
from exodus_storage_guard.instants import datetime_of, instant
from exodus_storage_guard.model import Entry, ObjectState, StoredObject, Total
from exodus_storage_guard.state.contract import REBUILDING
from exodus_storage_guard.tiering import by_hand
from exodus_storage_guard.tiering.archive import Archive
from exodus_storage_guard.tiering.copy_names import MANIFEST, is_ours, may_be_of
from exodus_storage_guard.tiering.initialise import mark, refuse_another_archive
from exodus_storage_guard.tiering.manifests import Manifest, ManifestUnreadable
from exodus_storage_guard.tiering.recall import looked_for_again
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.tiering.sync import sync


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Report what was found: `archived` counts all that are known to be, `new` those that were not known before.

    `adopted` counts plain files of an archive that was made by hand, `lost` objects whose copy is gone. Holds were in
    the lost catalogue alone: `anew` says that it was one.
    """

    listed: Total
    archived: int
    new: int
    adopted: int
    lost: int
    anew: bool
    problems: tuple[str, ...] = ()


@dataclass
class _Rebuilding:
    """Go through an archive; what is wrong with one copy is told, and the others are taken.

    A file that nothing describes is noted in `plain`: whether it is taken, what else is known of its key decides.
    """

    run: Run
    archive: Archive
    plain: "_Spool"
    problems: list[str] = field(default_factory=list)
    adopted: int = 0

    def look_at(self, found: StoredObject) -> None:
        """Take a copy, or see that a manifest has one."""
        is_manifest = found.key.endswith(MANIFEST)
        name = found.key.removesuffix(MANIFEST)
        self._take(lambda: self._lost(name) if is_manifest else self._archived(found))

    def look_at_plain(self, file: StoredObject) -> None:
        """Take a file that somebody put there by hand, once all copies that are described are known."""
        self._take(lambda: self._by_hand(file))

    def _take(self, look: Callable[[], Entry | None]) -> None:
        try:
            entry = look()
        except ManifestUnreadable as error:
            self.problems.append(
                f"{error}. Its copy is not taken; where it is sound, move that manifest away and run this again"
            )
        except (StoreFailed, KeyRefused) as error:
            self.run.see_mark()  # else it is the whole archive that cannot be read
            self.problems.append(str(error))
        else:
            if entry is not None:
                self._adopt(entry)

    def _archived(self, copy: StoredObject) -> Entry | None:
        """Take a copy by its manifest; None where it has none."""
        name = copy.key
        manifest = self.archive.manifest(name)
        if manifest is None:
            self.plain.add(copy)
            return None
        _check_name(name, manifest)
        if copy.bytes != manifest.bytes:
            raise StoreFailed(f"{printable(name)}: it has other than the {manifest.bytes} bytes of its manifest")
        return _entry(manifest, name)

    def _by_hand(self, file: StoredObject) -> Entry | None:
        manifest = by_hand.described(self.run, self.archive, file)
        if manifest is None:
            return None
        self.adopted += 1
        return _entry(manifest, file.key)

    def _lost(self, name: str) -> Entry | None:
        """Take what a manifest without a copy describes for lost; None where the copy is there."""
        if self.archive.store.stat(name) is not None:
            return None
        manifest = self.archive.manifest(name)
        if manifest is None:
            return None  # removed since it was listed
        _check_name(name, manifest)
        return _entry(manifest, name, ObjectState.LOST)

    def _adopt(self, entry: Entry) -> None:
        name, is_lost = printable(entry.copy or ""), entry.state is ObjectState.LOST
        before = self.run.catalogue.get(entry.key)
        if not is_lost and before is not None and before.state is ObjectState.LOST and before.copy == entry.copy:
            if looked_for_again(self.run, before).state is ObjectState.LOST:
                self.problems.append(f"{name}: it is not as it was proven: {printable(entry.key)} is lost")
            return
        reason = f"{name}: its manifest is there, and it is not" if is_lost else "known from its manifest"
        self.run.catalogue.adopt(entry, reason)
        known = self.run.catalogue.get(entry.key)
        if is_lost:
            is_known_lost = known is not None and known.state is ObjectState.LOST
            self.problems.append(f"{reason}: {printable(entry.key)} is lost" if is_known_lost else reason)
        elif known is not None and known.state is ObjectState.GONE:
            again = f"exodus-storage-guard forget {printable(entry.key)}"
            self.problems.append(f"{name}: it was forgotten here and is in the archive again; run: {again}")


def rebuild(run: Run) -> Rebuilt:
    """Make a lost catalogue from the store and the archive's manifests; what is known already stays as it is.

    Until it comes to its end the catalogue says that it has not: what is archived may not be known yet.
    """
    run.catalogue.create()
    anew = state_identity.ARCHIVE not in run.catalogue.settled()
    run.catalogue.settle(REBUILDING, run.clock.now().isoformat())
    if anew:
        mark(run)
    else:
        refuse_another_archive(run)
    before = _count(run, ObjectState.ARCHIVED)
    listed = sync(run).listed
    with _Spool.opened() as listing, _Spool.opened() as plain:
        work = _Rebuilding(run, run.proving_archive, plain)
        for found in work.archive.store.listing():  # to its end: one that waits while manifests are read is cut off
            if not is_ours(found.key):
                listing.add(found)
        for found in listing:
            work.look_at(found)
        for file in plain:
            work.look_at_plain(file)
    run.see_mark()  # nothing was passed over because its disk had gone
    run.catalogue.settle(REBUILDING, "")
    archived, lost = _count(run, ObjectState.ARCHIVED), _count(run, ObjectState.LOST)
    return Rebuilt(listed, archived, max(0, archived - before), work.adopted, lost, anew, tuple(work.problems))


def _count(run: Run, state: ObjectState) -> int:
    return run.catalogue.totals().get(state, Total()).count


class _Spool:
    """Keep what was listed in a file: in memory, a million objects are too many."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator["_Spool"]:
        with tempfile.TemporaryFile("w+", encoding="ascii") as file:
            yield cls(file)

    def add(self, one: StoredObject) -> None:
        self._file.write(json.dumps([one.key, one.bytes, instant(one.last_modified)]) + "\n")

    def __iter__(self) -> Iterator[StoredObject]:
        self._file.seek(0)
        for line in self._file:
            key, size, at = json.loads(line)
            yield StoredObject(key, size, "", datetime_of(at))


def _entry(found: Manifest, name: str, state: ObjectState = ObjectState.ARCHIVED) -> Entry:
    return Entry(found.stored, state, found.archived_at, found.sha256, name)


def _check_name(name: str, manifest: Manifest) -> None:
    if not may_be_of(name, manifest.key):
        raise StoreFailed(
            f"{printable(name)}: its manifest is that of {printable(manifest.key)}, whose copy has other names"
        )

"""The story of `rebuild`: make a lost catalogue anew, from the archive's manifests and the store."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from exodus_common.terminal import printable
from exodus_storage_guard.errors import KeyRefused, ObjectMissing, StoreFailed
from exodus_storage_guard.instants import datetime_of, instant
from exodus_storage_guard.model import Entry, ObjectState, StoredObject, Total
from exodus_storage_guard.state.contract import REBUILDING
from exodus_storage_guard.tiering.archive import Archive
from exodus_storage_guard.tiering.copy_names import MANIFEST, is_ours, key_of, may_be_of
from exodus_storage_guard.tiering.initialise import mark, refuse_another_archive
from exodus_storage_guard.tiering.manifests import Manifest, ManifestUnreadable
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
    """Go through an archive; what is wrong with one copy is told, and the others are taken."""

    run: Run
    archive: Archive
    problems: list[str] = field(default_factory=list)
    adopted: int = 0

    def look_at(self, found: StoredObject) -> None:
        """Take a copy, or see that a manifest has one."""
        is_manifest = found.key.endswith(MANIFEST)
        name = found.key.removesuffix(MANIFEST)
        try:
            entry = self._lost(name) if is_manifest else self._archived(found)
        except ManifestUnreadable as error:
            self.problems.append(
                f"{error}. Its copy is not taken; where it is sound, move that manifest away and run this again"
            )
        except (StoreFailed, KeyRefused) as error:
            self.archive.check_mark(self.run.settled("archive"))  # else it is the whole archive that cannot be read
            self.problems.append(str(error))
        else:
            if entry is not None:
                self._adopt(entry)

    def _archived(self, copy: StoredObject) -> Entry | None:
        """Take a copy by its manifest; a plain file that somebody put there by hand is hashed, and given one."""
        name = copy.key
        manifest = self.archive.manifest(name) or self._described(copy)
        if manifest is None:
            return None
        _check_name(name, manifest)
        if copy.bytes != manifest.bytes:
            raise StoreFailed(f"{printable(name)}: it has other than the {manifest.bytes} bytes of its manifest")
        return Entry(manifest.stored, ObjectState.ARCHIVED, manifest.archived_at, manifest.sha256, name)

    def _described(self, copy: StoredObject) -> Manifest | None:
        """Describe a file of a hand-made archive; None for what no APK is called."""
        key = key_of(copy.key)
        if key is None or not self.run.selection().pattern.search(key):
            return None
        try:
            sha256, now = self.archive.sha256(copy.key), self.run.clock.now()
        except ObjectMissing:
            return None  # removed since it was listed
        found = Manifest(key, copy.bytes, sha256, "", "", {}, copy.last_modified, now, self.run.store.name)
        self.archive.describe(copy.key, found)
        self.adopted += 1
        return found

    def _lost(self, name: str) -> Entry | None:
        """Take what a manifest without a copy describes for lost; None where the copy is there."""
        if self.archive.store.stat(name) is not None:
            return None
        manifest = self.archive.manifest(name)
        if manifest is None:
            return None  # removed since it was listed
        _check_name(name, manifest)
        return Entry(manifest.stored, ObjectState.LOST, manifest.archived_at, manifest.sha256, name)

    def _adopt(self, entry: Entry) -> None:
        name, is_lost = printable(entry.copy or ""), entry.state is ObjectState.LOST
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
    anew = "archive" not in run.catalogue.settled()
    run.catalogue.settle(REBUILDING, run.clock.now().isoformat())
    if anew:
        mark(run)
    else:
        refuse_another_archive(run)
    before = _count(run, ObjectState.ARCHIVED)
    listed, work = sync(run).listed, _Rebuilding(run, run.proving_archive)
    for found in _listed_before(run):
        work.look_at(found)
    work.archive.check_mark(run.settled("archive"))  # nothing was passed over because its disk had gone
    run.catalogue.settle(REBUILDING, "")
    archived, lost = _count(run, ObjectState.ARCHIVED), _count(run, ObjectState.LOST)
    return Rebuilt(listed, archived, max(0, archived - before), work.adopted, lost, anew, tuple(work.problems))


def _count(run: Run, state: ObjectState) -> int:
    return run.catalogue.totals().get(state, Total()).count


def _listed_before(run: Run) -> Iterator[StoredObject]:
    """List the archive to its end, into a file: a listing that waits while manifests are read is cut off."""
    with tempfile.TemporaryFile("w+", encoding="ascii") as file:
        for one in run.proving_archive.store.listing():
            if not is_ours(one.key):
                file.write(json.dumps([one.key, one.bytes, instant(one.last_modified)]) + "\n")
        file.seek(0)
        for line in file:
            key, size, at = json.loads(line)
            yield StoredObject(key, size, "", datetime_of(at))


def _check_name(name: str, manifest: Manifest) -> None:
    if not may_be_of(name, manifest.key):
        raise StoreFailed(
            f"{printable(name)}: its manifest is that of {printable(manifest.key)}, whose copy has other names"
        )

"""The story of `init`: make the state, and try the settings out against the real store and archive."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from exodus_common.errors import SettingsInvalid, TryLater
from exodus_storage_guard import findings, policy, state_identity
from exodus_storage_guard.batches import batches
from exodus_storage_guard.capacity import disks, measurement
from exodus_storage_guard.capacity.usefulness import frees_nothing
from exodus_storage_guard.errors import NotInitialised, StoreFailed
from exodus_storage_guard.model import ObjectState, Total
from exodus_storage_guard.settings import marks, marks_lowered
from exodus_storage_guard.state.contract import REBUILDING, Change
from exodus_storage_guard.tiering import rights, separation
from exodus_storage_guard.tiering.archive import MARK, Archive, unlike
from exodus_storage_guard.tiering.copy_names import MANIFEST, elsewhere, is_ours, whereabouts
from exodus_storage_guard.tiering.replay import replay
from exodus_storage_guard.tiering.run import Run, in_store
from exodus_storage_guard.tiering.sync import sync
from exodus_storage_guard.transitions import REPLAY, Event

_COPIED = frozenset({ObjectState.ARCHIVED, ObjectState.PREMIGRATED, ObjectState.LOST, *REPLAY} - {ObjectState.COPYING})
_BATCH = 500
UNKNOWN = "unknown_in_archive"
"""What `init` settles of objects that an archive holds and a new catalogue does not know."""


@dataclass(frozen=True, slots=True)
class Initialised:
    """Report what `init` or `rebuild` found; `adopted` counts plain files of an archive that was made by hand."""

    listed: Total
    archived: int = 0
    problems: tuple[str, ...] = ()
    adopted: int = 0
    told: str = ""


def initialise(run: Run, *, new_archive: bool = False, new_store: bool = False) -> Initialised:
    """Try the settings against the real store and archive, mark the archive as ours, make the first catalogue.

    Objects that are known belong to a store and lie in an archive: another one is taken only where that is said.
    """
    run.catalogue.create()
    if useless := frees_nothing(run.settings):
        raise SettingsInvalid(f"{useless}; name an archive on another disk, or give the store a budget")
    _settle_store(run, new_store=new_store)
    _refuse_what_admits_nothing(run)
    told = _settle_archive(run, new_archive=new_archive)
    rights.try_out(run)
    listed = sync(run).listed
    rights.try_out_objects(run)
    _look_into_archive(run)
    known = run.catalogue.settled()
    found = told, *_findings(known), *_settings_not_meant(run)
    return Initialised(listed, told=". ".join(one for one in found if one))


def _settle_archive(run: Run, *, new_archive: bool) -> str:
    """Mark the archive; where it was used before and the catalogue knows none, look what it holds."""
    place, knows_one = run.settings.archive, state_identity.ARCHIVE in run.catalogue.settled()
    if run.archive is None or place is None:
        return mark(run, new_archive=new_archive)
    with rights.named(place, rights.Right.READ):
        was_used = run.archive.marked() is not None
    with rights.named(place, rights.Right.WRITE):
        told = mark(run, new_archive=new_archive)
    disks.remember_archive(run.settings, run.catalogue, anew=True)
    if was_used and not knows_one:
        _look_for_archived(run, run.archive)
    return told


def _findings(known: Mapping[str, str]) -> Iterator[str]:
    """Say what is not right and does not keep anybody from beginning."""
    pattern = findings.read(known.get(findings.PATTERN, ""))
    yield pattern[1] if pattern else ""
    yield known.get(UNKNOWN, "") if known.get(REBUILDING) else ""


def _refuse_what_admits_nothing(run: Run) -> None:
    """Raise `SettingsInvalid` where no upload would ever fit, and `StoreFailed` where that cannot be known."""
    measured = run.measure()
    if measured is None:
        raise StoreFailed(measurement.unmeasured(run.settings, run.catalogue))
    limits = marks(run.settings, measured.total_bytes)
    if never := policy.admits_nothing(measured, limits, run.settings.admission.reserve_bytes):
        raise SettingsInvalid(never)


def _settings_not_meant(run: Run) -> Iterator[str]:
    """Say which settings cannot be meant, by how large the store and its objects are."""
    measured = run.measure()
    yield marks_lowered(run.settings, measured.total_bytes) if measured else ""
    everything = sum(run.catalogue.totals().values(), Total())
    yield policy.more_than_allowed(everything, run.settings.admission.most_upload_bytes)


def _look_for_archived(run: Run, archive: Archive) -> None:
    """Count what a new catalogue does not know of an archive that was used before; a rebuild is due until it does."""
    count = sum(1 for one in archive.store.listing() if one.key.endswith(MANIFEST) and not is_ours(one.key))
    if count:
        told = f"the archive holds {count} objects that are not known here; run: exodus-storage-guard rebuild"
        run.catalogue.settle(UNKNOWN, told)
        run.catalogue.settle(REBUILDING, run.clock.now().isoformat())


def _settle_store(run: Run, *, new_store: bool) -> None:
    knows = any(total.count for state, total in run.catalogue.totals().items() if state is not ObjectState.GONE)
    if knows and not new_store:
        state_identity.refuse_another_store(run.catalogue.settled(), run.settings.store.identity)
    if not new_store:
        disks.refuse_away(run.settings, run.catalogue)
    run.catalogue.settle(state_identity.STORE, run.settings.store.identity)
    disks.remember(run.settings, run.catalogue, anew=True)


def _look_into_archive(run: Run) -> None:
    """Refuse an archive that the store lies in: an object that was just listed would be seen there."""
    known = next(run.catalogue.candidates(), None)
    if run.archive is not None and known is not None:
        separation.refuse_store_in_archive(run.settings, run.store, run.archive, known)


def mark(run: Run, *, new_archive: bool = False) -> str:
    """Mark the archive, or take over the mark that it bears; say what became of copies in another one.

    Raises `NotInitialised` where objects are known to be in another archive, and nobody said that this is a new one.
    """
    archive, known = run.archive, run.catalogue.settled()
    if archive is None:
        return ""
    before, found = known.get(state_identity.ARCHIVE), archive.marked()
    copied = _copied(run)
    moves = before is not None and before != found and copied > 0
    if moves and not new_archive:
        raise NotInitialised(_refusal(archive, found, state_identity.called(known, before or ""), copied))
    separation.refuse_folders(run.settings)
    separation.refuse_one_place(run.store, archive)
    wanted = found or uuid.uuid4().hex  # never the id of before: two places would be one to whoever goes by it
    if found is None:
        archive.mark(wanted, run.clock.now())
    if moves:
        _leave(run, before or "", state_identity.called(known, before or ""))
    run.catalogue.settle(state_identity.name_of(wanted), archive.name)
    run.catalogue.settle(state_identity.ARCHIVE, wanted)
    _come_back(run, wanted)
    return _meaning(state_identity.called(known, before or "")) if moves else ""


def refuse_another_archive(run: Run) -> None:
    """Raise `NotInitialised` where the archive is not the one that the state knows."""
    if run.archive is None:
        return
    known, found = run.catalogue.settled(), run.archive.marked()
    before, copied = known[state_identity.ARCHIVE], _copied(run)
    if found != before and copied:
        raise NotInitialised(_refusal(run.archive, found, state_identity.called(known, before), copied))
    run.check_places()


def _copied(run: Run) -> int:
    """Count the objects that have a copy; where there are none, the older versions that have one."""
    return in_store(run.catalogue.totals(), _COPIED).count or sum(1 for _ in run.catalogue.copies())


def _refusal(archive: Archive, found: str | None, called: str, copied: int) -> str:
    return (
        f"the archive {archive.name} {unlike(found)}, and {copied} objects are known to have their copies in "
        f"{called}: is its disk mounted? If the copies were moved here, move the mark {MARK} "
        "as well. If this is another archive, beside the one before: exodus-storage-guard init --new-archive. "
        f"{_meaning(called)}"
    )


def _meaning(called: str) -> str:
    return (
        f"What is archived stays known, with its copies in {called}, which is to be kept: they can be verified and "
        "fetched again once the settings name it. What the store still has is copied anew, into the new archive, "
        "before it is released"
    )


def _leave(run: Run, archive_id: str, called: str) -> None:
    """Have every copy be known as one in another archive; what is in the store as well is to be copied anew."""
    replay(run)
    if next(run.catalogue.in_state(*REPLAY), None) is not None:
        raise TryLater("objects are being moved at this moment; when that is over: exodus-storage-guard init again")

    def left(copy: str) -> str | None:
        return elsewhere(archive_id, copy) if whereabouts(copy)[0] is None else None

    _rename(run, left, f"its copy lies in {called}")


def _come_back(run: Run, archive_id: str) -> None:
    """Have copies be known as here that lie in the archive that the settings name, also if that was once left."""

    def back(copy: str) -> str | None:
        other, name = whereabouts(copy)
        return name if other == archive_id else None

    _rename(run, back, "its copy lies in the archive of the settings again")


def _rename(run: Run, renamed: Callable[[str], str | None], why: str) -> None:
    """Rename copies, those that have a new name; where that is cut short, the next `init` goes on."""
    copies = ((one.name, name) for one in run.catalogue.copies() if (name := renamed(one.name)) is not None)
    for names in batches(copies, _BATCH):
        run.catalogue.rename_copies(dict(names))
    entries = run.catalogue.in_state(ObjectState.ARCHIVED, ObjectState.LOST, ObjectState.PREMIGRATED)
    changes = (
        Change(entry, Event.ARCHIVE_CHANGED, why, copy=name)
        for entry in entries
        if entry.copy is not None and (name := renamed(entry.copy)) is not None
    )
    for batch in batches(changes, _BATCH):
        run.catalogue.change(batch, run.clock.now())

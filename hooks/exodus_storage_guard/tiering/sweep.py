"""The story of `sweep` and `plan`: choose the oldest, copy, prove, release; and say why where that is not enough."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from itertools import islice

from exodus_common.stopping import Stopped, go_on, in_order
from exodus_storage_guard import policy
from exodus_storage_guard.admission import making_room
from exodus_storage_guard.admission.control import NOBODY, AdmissionControl
from exodus_storage_guard.admission.standing import standing
from exodus_storage_guard.capacity import disks, measurement
from exodus_storage_guard.dues import Standing
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.model import Capacity, Entry, Need, ObjectState, Total, Verdict, worst
from exodus_storage_guard.policy import Action, BelievedNow, Chooser, Kept, Step
from exodus_storage_guard.sizes import shown
from exodus_storage_guard.stores.locations import Folder
from exodus_storage_guard.tiering import outcome
from exodus_storage_guard.tiering.bandwidth import Flow
from exodus_storage_guard.tiering.copying import Copier
from exodus_storage_guard.tiering.moving import Moved, Mover
from exodus_storage_guard.tiering.proving import Prover
from exodus_storage_guard.tiering.replay import replay
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.tiering.trying_again import try_again
from exodus_storage_guard.tiering.workers import Pulse

_log = logging.getLogger(__name__)
_BATCH, _BATCH_BYTES = 1_000, 256 * 1024 * 1024
_KNOWN_FOR = timedelta(hours=1)
_UNFINISHED_FOR = timedelta(days=1)
_SOON_FREED = timedelta(minutes=10)
_LOOKED_FOR = 5
_BEING_FREED = ObjectState.COPYING, ObjectState.PREMIGRATED, ObjectState.RELEASING

AHEAD = "copied ahead of need"

Progress = Callable[[int, int], None]
"""Be told how many bytes of how many are done."""


@dataclass(frozen=True, slots=True)
class Report:
    """Report a sweep or a plan; its fields are those of CONTRACT.md."""

    verdict: Verdict
    reason: str
    need_bytes: int
    freed_bytes: int
    objects: tuple[Moved | Step, ...] = ()
    kept: Mapping[Kept, Total] = field(default_factory=dict)


def plan(run: Run, need: Need | None) -> Report:
    """Say what a sweep would do, object by object, and why the rest would stay; change nothing."""
    capacity = run.measure()
    aim = _aim(run, capacity, need, is_pressing=_is_pressing(run, capacity, need))
    believed = _believed(run, is_certain=False)
    chooser = Chooser(run.catalogue.candidates(), run.selection(), believed.now, aim)
    steps = chooser.take()
    chooser.count_rest()
    kept = _kept(run, chooser)
    reason = policy.explain(chooser.chosen_bytes, aim, _in_the_way(kept))
    verdict = Verdict.OK if chooser.chosen_bytes >= aim else Verdict.CRITICAL
    report = Report(verdict, f"{reason}{_as_of(run)}", aim, chooser.chosen_bytes, tuple(steps), kept)
    return _warned(_warned(report, _archive_warning(run, steps)), believed.warning)


def _as_of(run: Run) -> str:
    """Say of when it is known what the store holds, where that is not of the last hour."""
    synced_at = measurement.synced_at(run.catalogue)
    age = None if synced_at is None else run.clock.now() - synced_at
    if age is None or age <= _KNOWN_FOR:
        return ""
    return f"; what the store holds is known as of {age / _KNOWN_FOR:.0f} hours ago: exodus-storage-guard sync looks"


def _warned(report: Report, warning: str) -> Report:
    """Add what somebody has to look at."""
    if not warning:
        return report
    return replace(report, verdict=worst([report.verdict, Verdict.WARNING]), reason=f"{report.reason}; {warning}")


@dataclass(frozen=True, slots=True)
class _Manner:
    premigrated_only: bool
    start_at_high: bool
    retry: bool


def sweep(
    run: Run,
    need: Need | None,
    *,
    premigrated_only: bool,
    start_at_high: bool,
    progress: Progress,
    retry: bool = False,
) -> Report:
    """Free what is needed, oldest first, then copy ahead of need; safe to kill, to repeat, and beside another one.

    With `start_at_high` nothing is released between the low and the high mark, as a timer wants it. With `retry` what
    failed is tried at once, also where no room is needed. Asked to end, it writes down what was done and reports it.
    """
    with run.heartbeat(), in_order():
        return _sweep(run, need, _Manner(premigrated_only, start_at_high, retry), progress)


def _sweep(run: Run, need: Need | None, manner: _Manner, progress: Progress) -> Report:
    mover, flow_total = _mover(run, progress)
    mover.copies_again = not manner.premigrated_only
    _see_that_store_is_there(run)
    replay(run)
    is_pressing = _is_pressing(run, run.measure(), need)
    aim = 0 if manner.start_at_high and not is_pressing else _left(run, need, is_pressing=is_pressing)
    flow_total.aim = aim
    entries = run.catalogue.premigrated() if manner.premigrated_only else run.catalogue.candidates()
    believed = _believed(run, is_certain=aim > 0)
    run.catalogue.settle(measurement.CLOCKS, believed.warning)
    selection = replace(run.selection(), retries=manner.retry)
    chooser = Chooser(entries, selection, believed.now, aim)
    begin, moved, retried = run.clock.monotonic(), list[Moved](), 0
    try:
        while not mover.stopped and (taken := chooser.take(_BATCH, _BATCH_BYTES)):
            # Others free as well. What they took before these were read is seen now, and what they take from now on
            # are these. Never more than before, for what is freed may not be measured yet.
            left = _left(run, need, is_pressing=is_pressing)
            steps = chooser.still_needed(taken, left)
            done = mover.free(steps)
            chooser.give_back(sum(step.entry.bytes for step in steps) - _freed(done))
            moved += done
            go_on()
        _remember_rate(run, moved, run.clock.monotonic() - begin)
        run.measure()
        if _freed(moved) < chooser.need_bytes:
            chooser.count_rest(Kept.NOT_REACHED if mover.stopped else Kept.NOT_NEEDED)
        if manner.retry and not manner.premigrated_only:
            retried, failed = try_again(mover, selection, believed.now, {one.key for one in moved})
            moved += failed
        if not manner.premigrated_only and not mover.stopped:
            _premigrate(run, mover, entries, believed.now)
    except Stopped as stopped:
        return Report(Verdict.CRITICAL, str(stopped), aim, _freed(moved), tuple(moved), chooser.kept)
    report = _report(mover, chooser, moved)
    if retried:
        report = replace(report, reason=f"{report.reason}; {retried} that had failed are copied and proven now")
    report = _noted(run, mover, report, copies=not manner.premigrated_only)
    return _warned(replace(report, reason=f"{report.reason}{_as_of(run)}"), believed.warning)


def _noted(run: Run, mover: Mover, report: Report, *, copies: bool) -> Report:
    """Write down what is to be known of a sweep; one that copies nothing takes nothing back."""
    failures = any(isinstance(one, Moved) and one.verdict is not Verdict.OK for one in report.objects)
    if mover.stopped or (report.verdict is Verdict.CRITICAL and (failures or mover.differing)):
        outcome.note_failure(run, report.verdict, report.reason)
    elif copies:
        outcome.note_success(run)
    return _warned(report, outcome.look_at_archive(run)) if copies else report


def _see_that_store_is_there(run: Run) -> None:
    """Take a store that has none of the oldest objects for one that is not mounted; raise `StoreFailed` then.

    What cannot be looked at may be there: it holds up no other.
    """
    known = list(islice(run.catalogue.candidates(), _LOOKED_FOR))
    looks = run.store.stat_all([entry.key for entry in known]) if len(known) == _LOOKED_FOR else None
    if looks is not None and not looks.found and not looks.failed:
        raise StoreFailed(
            f"the store {run.store.name} has none of the {_LOOKED_FOR} oldest objects that are known: is its disk "
            "mounted? If others deleted them: exodus-storage-guard sync"
        )


@dataclass
class _Total:
    """Add up what has moved, for whoever watches."""

    progress: Progress
    aim: int = 0
    done: int = 0

    def moved(self, size: int) -> None:
        self.done += size
        self.progress(self.done, self.aim)


def _mover(run: Run, progress: Progress) -> tuple[Mover, _Total]:
    pulse, total = Pulse(run.clock), _Total(progress)

    def moved(size_bytes: int) -> None:
        pulse.moved(size_bytes)
        total.moved(size_bytes)

    run.check_places()
    if run.archive is None:
        return Mover(run, None, pulse), total
    archive = run.proving_archive
    disks.remember_archive(run.settings, run.catalogue, anew=False)
    now = policy.believed(run.clock.now(), archive.store.now()).now
    archive.store.discard_unfinished(now - _UNFINISHED_FOR)
    if isinstance(run.settings.store.location, Folder):  # in a bucket of the platform's, others have uploads as well
        run.store.discard_unfinished(now - _UNFINISHED_FOR)
    flow = Flow(run.settings.sweep.bandwidth_bytes_per_second, run.clock, moved)
    copier = Copier(run.store, archive, flow, run.clock, pulse.moved)
    return Mover(run, Prover(run, copier, pulse), pulse), total


def _control(run: Run) -> AdmissionControl:
    return AdmissionControl(run.settings, run.catalogue, run.clock, NOBODY)


def _standing(run: Run, capacity: Capacity | None) -> Standing:
    """Say how things stand, by what admissions and `check` go as well."""
    if capacity is None:
        raise StoreFailed(measurement.unmeasured(run.settings, run.catalogue))
    return standing(_control(run), capacity)


def _aim(run: Run, capacity: Capacity | None, need: Need | None, *, is_pressing: bool) -> int:
    """Say how many bytes are to be freed besides what was freed before and is not measured back yet.

    Down to the low mark and until an upload of usual size is admitted; with a need, until that one is, or would be.
    """
    found = _standing(run, capacity)
    if need is None:
        return found.to_free(is_pressing=is_pressing)
    if need.reservation and run.catalogue.reservation(need.reservation):
        return 0
    return max(0, found.fit(need.bytes).missing_bytes - found.on_its_way(is_pressing=is_pressing))


def _left(run: Run, need: Need | None, *, is_pressing: bool) -> int:
    """Measure, and say how much is still to be freed besides what others free and what was freed before.

    What others free is read first: what they finish before the measure is then counted twice, and never not at all.
    """
    by_others = _freed_by_others(run, is_pressing=is_pressing)
    return max(0, _aim(run, run.measure(), need, is_pressing=is_pressing) - by_others)


def _freed_by_others(run: Run, *, is_pressing: bool) -> int:
    """Add up what other runs are about to free; where room is pressing nothing that has taken them for long."""
    now = run.clock.now()
    lives = cache(run.lives)
    return sum(
        entry.bytes
        for entry in run.catalogue.taken()
        if entry.state in _BEING_FREED and entry.note != AHEAD
        if not is_pressing or abs(now - entry.since) < _SOON_FREED
        if entry.owner is not None and entry.owner != run.owner and lives(entry.owner)
    )


def _is_pressing(run: Run, capacity: Capacity | None, need: Need | None) -> bool:
    """Tell whether room is needed and not only tidied up: what is late then is not waited for any longer."""
    return need is not None or _standing(run, capacity).is_pressing


def _believed(run: Run, *, is_certain: bool) -> BelievedNow:
    """Say which instant ages go by; if it has to be certain, raise `StoreFailed` where the store does not tell."""
    try:
        return run.believed_now()
    except StoreFailed as error:
        if is_certain:  # nothing is deleted for an age that only this machine believes in
            raise
        return BelievedNow(run.clock.now(), f"what time it is at the store is not known: {error}")


def _premigrate(run: Run, mover: Mover, entries: Iterator[Entry], now: datetime) -> None:
    """Keep enough copied and proven that the next admission only needs to release."""
    capacity = run.catalogue.measured() or run.measure()
    if run.archive is None or capacity is None:
        return
    present = run.catalogue.totals().get(ObjectState.PREMIGRATED, Total()).bytes
    missing = run.settings.sweep.premigrate_bytes(capacity.total_bytes) - present
    not_yet = (entry for entry in entries if entry.state is not ObjectState.PREMIGRATED)
    chooser = Chooser(not_yet, run.selection(), now, missing)
    while not mover.stopped and (steps := chooser.take(_BATCH, _BATCH_BYTES)):
        proven, _ = mover.prove([step.entry for step in steps], AHEAD, releases=False)
        chooser.give_back(sum(step.entry.bytes for step in steps) - sum(entry.bytes for entry in proven))
        go_on()


def _freed(moved: list[Moved]) -> int:
    return sum(one.bytes for one in moved if one.verdict is Verdict.OK)


def _remember_rate(run: Run, moved: list[Moved], seconds: float) -> None:
    """Let admissions foresee how long the next sweep takes."""
    archived = sum(one.bytes for one in moved if one.action is Action.ARCHIVE and one.verdict is Verdict.OK)
    if archived and seconds > 0:
        run.catalogue.settle(making_room.RATE, f"{archived / seconds:.0f}")


def _kept(run: Run, chooser: Chooser) -> dict[Kept, Total]:
    """Say what keeps the rest, with what takes space and is no object."""
    found = measurement.unfinished(run.catalogue)
    return chooser.kept | ({Kept.UNFINISHED: found} if found.count else {})


def _in_the_way(kept: Mapping[Kept, Total]) -> dict[Kept, Total]:
    return {reason: total for reason, total in kept.items() if reason is not Kept.NOT_NEEDED}


def _archive_warning(run: Run, steps: list[Step]) -> str:
    """Foresee an archive that fills up."""
    coming = sum(step.entry.bytes for step in steps if step.action is Action.ARCHIVE)
    found = run.archive.store.capacity() if run.archive else None
    if found is None or found.free_bytes > coming + found.total_bytes // 50:
        return ""
    return f"the archive has {shown(found.free_bytes)} left, and {shown(coming)} are to go there: make room there first"


def _report(mover: Mover, chooser: Chooser, moved: list[Moved]) -> Report:
    freed, aim, kept = _freed(moved), max(0, chooser.need_bytes), _kept(mover.run, chooser)
    reason = mover.stopped or policy.explain(freed, aim, _in_the_way(kept))
    failed = [one for one in moved if one.verdict is not Verdict.OK]
    if failed and not mover.stopped:
        reason += f"; {len(failed)} objects could not be moved: {failed[0].reason}"
    if mover.differing and not failed:
        reason += f"; {len(mover.differing)} copies were not as they had been proven: {mover.differing[0]}"
    verdict = Verdict.WARNING if failed else Verdict.OK
    if freed < aim or mover.differing:
        verdict = Verdict.CRITICAL
    if mover.stopped and verdict is Verdict.OK:
        verdict = Verdict.WARNING
    return Report(verdict, reason, aim, freed, tuple(moved), kept)

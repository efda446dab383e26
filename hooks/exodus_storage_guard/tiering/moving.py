"""Move objects from the store to the archive: announce, do, look, write down; a batch at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from exodus_common.errors import ExodusError
from exodus_common.stopping import Stopped
from exodus_storage_guard.batches import batches
from exodus_storage_guard.capacity import measurement
from exodus_storage_guard.errors import NotFreeable, ObjectChanged, ObjectMissing, StoreFull
from exodus_storage_guard.model import Entry, ObjectState, Verdict
from exodus_storage_guard.policy import Action, Step
from exodus_storage_guard.state.contract import Change
from exodus_storage_guard.tiering.copying import Copier, CopyDiffers, Proof
from exodus_storage_guard.tiering.deleting import delete
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.tiering.workers import Pulse, Workers
from exodus_storage_guard.transitions import Event

_CHANGED_AT_ONCE = 256
_MOST_FAILURES_IN_A_ROW = 5
_FIRST_RETRY, _LONGEST_RETRY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Moved:
    """Report one object of a sweep; its fields are those of CONTRACT.md."""

    key: str
    bytes: int
    action: Action
    reason: str
    verdict: Verdict


@dataclass
class Mover:
    """Do the steps of a sweep, a batch at a time; `stopped` says why it cannot go on."""

    run: Run
    copier: Copier | None
    pulse: Pulse
    stopped: str = ""
    differing: list[str] = field(default_factory=list)
    _failures_in_a_row: int = 0

    def free(self, steps: Sequence[Step]) -> list[Moved]:
        """Archive what is not yet, release all of it; or prune."""
        pruning = [step.entry for step in steps if step.action is Action.PRUNE]
        archiving = [step.entry for step in steps if step.action is Action.ARCHIVE]
        ready = [step.entry for step in steps if step.action is Action.RELEASE]
        proven, moved = self.prove(archiving)
        reasons = {step.entry.key: step for step in steps}
        before, kept = self.run.measure(), len(moved)
        moved += self._delete(pruning, Action.PRUNE, reasons)
        for action, entries in ((Action.RELEASE, ready), (Action.ARCHIVE, proven)):
            moved += self._delete(entries, action, reasons)
        measurement.note_released(
            self.run.settings, self.run.catalogue, before, _freed(moved[kept:]), self.run.clock.now()
        )
        order = {key: number for number, key in enumerate(reasons)}
        return sorted(moved, key=lambda one: order[one.key])

    def prove(self, entries: Sequence[Entry], why: str = "to be released") -> tuple[list[Entry], list[Moved]]:
        """Copy objects and prove the copies; give those that are premigrated now, and what became of the others."""
        claimed = self._changed(Change(entry, Event.COPY_BEGUN, why, owner=self.run.owner) for entry in entries)
        if not claimed:
            return [], []
        assert self.copier is not None, "objects are copied where there is an archive"
        changes, failed = list[Change](), list[Moved]()
        for entry, result in self._workers.over(self.copier.prove, claimed):
            if isinstance(result, Proof):
                reason = "copied, read back, and found to be the same"
                changes.append(Change(entry, Event.COPY_PROVEN, reason, sha256=result.sha256, copy=result.copy))
                self._failures_in_a_row = 0
            else:
                changes.append(self._failure(entry, result))
                failed += _failed(entry, Action.ARCHIVE, result)
        proven = [entry for entry in self._changed(changes) if entry.state is ObjectState.PREMIGRATED]
        return proven, failed

    def _failure(self, entry: Entry, error: Exception) -> Change:
        now = self.run.clock.now()
        if isinstance(error, ObjectChanged | ObjectMissing | Stopped):
            return Change(entry, Event.COPY_ABANDONED, str(error))
        if isinstance(error, StoreFull):
            self.stopped = f"the archive is full: {error}"
            return Change(entry, Event.COPY_ABANDONED, str(error))
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _MOST_FAILURES_IN_A_ROW:
            self.stopped = self.stopped or f"{self._failures_in_a_row} copies in a row failed: {error}"
        if isinstance(error, CopyDiffers):
            self.differing.append(str(error))
            return Change(entry, Event.COPY_DIFFERED, str(error), retry_at=now + _LONGEST_RETRY)
        return Change(entry, Event.COPY_FAILED, str(error), retry_at=_retry_at(entry, now))

    def _delete(self, entries: Sequence[Entry], action: Action, steps: dict[str, Step]) -> list[Moved]:
        """Delete exactly what was proven; what was changed meanwhile stays."""
        begun, done, undone = _DELETIONS[action is Action.PRUNE]
        claimed = self._changed(
            Change(entry, begun, steps[entry.key].reason, owner=self.run.owner) for entry in entries
        )
        left = delete(self.run.store, [entry.stored for entry in claimed], self._workers)
        changes, moved = list[Change](), list[Moved]()
        for entry in claimed:
            error = left.get(entry.key)
            if error is not None:
                changes.append(self._undeleted(entry, undone, error))
                moved += _failed(entry, action, error)
            else:
                changes.append(Change(entry, done, steps[entry.key].reason))
                moved.append(Moved(entry.key, entry.bytes, action, steps[entry.key].reason, Verdict.OK))
        self._changed(changes)
        return moved

    def _undeleted(self, entry: Entry, undone: Event, error: Exception) -> Change:
        """Leave what the store does not give up for a day: more of the same kind would free no more."""
        if not isinstance(error, NotFreeable):
            return Change(entry, undone, str(error))
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _MOST_FAILURES_IN_A_ROW:
            self.stopped = self.stopped or f"{self._failures_in_a_row} objects in a row are not freeable: {error}"
        return Change(entry, undone, str(error), retry_at=self.run.clock.now() + _LONGEST_RETRY)

    def _changed(self, changes: Iterable[Change]) -> list[Entry]:
        """Write down in several transactions, since those of others wait for each."""
        now, parts = self.run.clock.now(), batches(changes, _CHANGED_AT_ONCE)
        return [entry for part in parts for entry in self.run.catalogue.change(part, now)]

    @property
    def _workers(self) -> Workers:
        sweep = self.run.settings.sweep
        return Workers(sweep.parallel, self.pulse, sweep.request_timeout_seconds)


def _freed(moved: Sequence[Moved]) -> int:
    return sum(one.bytes for one in moved if one.verdict is Verdict.OK)


_DELETIONS = {
    False: (Event.RELEASE_BEGUN, Event.RELEASED, Event.RELEASE_FAILED),
    True: (Event.PRUNE_BEGUN, Event.PRUNED, Event.PRUNE_FAILED),
}


def _retry_at(entry: Entry, now: datetime) -> datetime:
    """Wait an hour, then ever longer."""
    return now + min(_FIRST_RETRY * (1 << min(entry.failures, 10)), _LONGEST_RETRY)


def _failed(entry: Entry, action: Action, error: object) -> list[Moved]:
    """Report what went wrong with one object; nothing did where the run was asked to end."""
    if isinstance(error, Stopped):
        return []
    reason = str(error) if isinstance(error, ExodusError) else f"{type(error).__name__}: {error}"
    verdict = Verdict.CRITICAL if isinstance(error, CopyDiffers) else Verdict.WARNING
    return [Moved(entry.key, entry.bytes, action, reason, verdict)]

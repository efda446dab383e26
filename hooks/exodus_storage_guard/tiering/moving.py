"""Move objects from the store to the archive: announce, do, look, write down; a batch at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from exodus_common.errors import ExodusError
from exodus_common.stopping import Stopped
from exodus_storage_guard.batches import batches
from exodus_storage_guard.capacity import measurement
from exodus_storage_guard.errors import NotFreeable, StoreFailed
from exodus_storage_guard.model import Entry, Verdict
from exodus_storage_guard.policy import Action, Step
from exodus_storage_guard.state.contract import Change
from exodus_storage_guard.tiering.copying import CopyDiffers
from exodus_storage_guard.tiering.deleting import delete_proven
from exodus_storage_guard.tiering.proving import LONGEST_RETRY, Prover, changed
from exodus_storage_guard.tiering.releasing import Looked, look
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.tiering.workers import Pulse
from exodus_storage_guard.transitions import Event

_MOST_FAILURES_IN_A_ROW = 5
_DELETED_AT_ONCE = 256
_A_LOOK_LASTS_SECONDS = 60.0  # less than a run may be silent for before others take over what it claimed


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
    """Do the steps of a sweep, a batch at a time; without a prover, objects are pruned."""

    run: Run
    prover: Prover | None
    pulse: Pulse
    copies_again: bool = True
    """Whether what is proven no more, as the last look shows, is copied at once like what never was."""
    _lost: list[str] = field(default_factory=list)
    _unproven: list[Entry] = field(default_factory=list)
    _stopped: str = ""
    _failures_in_a_row: int = 0

    @property
    def stopped(self) -> str:
        """Say why it cannot go on; nothing where it can."""
        return self._stopped or (self.prover.stopped if self.prover else "")

    @property
    def differing(self) -> Sequence[str]:
        """Say which copies were not what they should be."""
        return [*(self.prover.differing if self.prover else ()), *self._lost]

    def free(self, steps: Sequence[Step]) -> list[Moved]:
        """Archive what is not yet, release all of it; or prune."""
        why = {step.entry.key: step.reason for step in steps}
        moved = self._delete([step.entry for step in steps if step.action is Action.PRUNE], Action.PRUNE, why)
        moved += self._delete([step.entry for step in steps if step.action is Action.RELEASE], Action.RELEASE, why)
        archiving = [step.entry for step in steps if step.action is Action.ARCHIVE]
        if self.copies_again:
            archiving += self._unproven
        proven, failed = self.prove(archiving)
        moved += failed + self._delete(proven, Action.ARCHIVE, why)
        self._unproven = []  # what went once more is the next sweep's
        order = {key: number for number, key in enumerate(why)}
        last = {one.key: one for one in moved}
        return sorted(last.values(), key=lambda one: order[one.key])

    def prove(
        self, entries: Sequence[Entry], why: str = "to be released", *, releases: bool = True
    ) -> tuple[list[Entry], list[Moved]]:
        """Copy objects and prove the copies; give those that are premigrated now, and what became of the others."""
        if not entries:
            return [], []
        assert self.prover is not None, "objects are copied where there is an archive"
        proven, failed = self.prover.prove(entries, why, releases=releases)
        return proven, [one for entry, error in failed for one in _failed(entry, Action.ARCHIVE, error)]

    def _delete(self, entries: Sequence[Entry], action: Action, why: Mapping[str, str]) -> list[Moved]:
        """Delete so few at once that a look at their copies is young for all of them."""
        return [one for part in batches(entries, _DELETED_AT_ONCE) for one in self._delete_part(part, action, why)]

    def _delete_part(self, entries: Sequence[Entry], action: Action, why: Mapping[str, str]) -> list[Moved]:
        """Delete exactly what was proven and is seen to be so at this moment; the rest stays."""
        if self._stopped:
            return []
        run, (begun, done, undone) = self.run, _DELETIONS[action is Action.PRUNE]
        claimed = changed(run, (Change(entry, begun, why[entry.key], owner=run.owner) for entry in entries))
        looked = Looked(claimed) if run.archive is None else self._looked_at(claimed)
        before = run.measure()
        left = delete_proven(run.store, looked.proven, run.workers(self.pulse), self._until_it_is_old())
        gone = [entry for entry in looked.proven if entry.key not in left]
        errors = [*looked.errors, *((entry, left[entry.key]) for entry in looked.proven if entry.key in left)]
        self._count_in_a_row([left.get(entry.key) for entry in looked.proven])
        changed(run, [Change(entry, done, why[entry.key]) for entry in gone])
        changed(run, [self._undeleted(entry, undone, error) for entry, error in errors])
        self._unproven += changed(run, looked.changes)
        self._lost += [one.reason for one in looked.changes]
        measurement.note_released(
            run.settings, run.catalogue, before, sum(entry.bytes for entry in gone), run.clock.now()
        )
        moved = [Moved(entry.key, entry.bytes, action, why[entry.key], Verdict.OK) for entry in gone]
        errors += [(one.entry, CopyDiffers(one.reason)) for one in looked.changes]
        return moved + [one for entry, error in errors for one in _failed(entry, action, error)]

    def _until_it_is_old(self) -> Callable[[], None]:
        """Give what refuses to delete by a look that was long ago: the machine may have slept, or the claim be gone."""
        clock, looked_at = self.run.clock, self.run.clock.monotonic()

        def check() -> None:
            if clock.monotonic() - looked_at > _A_LOOK_LASTS_SECONDS:
                seconds = f"{_A_LOOK_LASTS_SECONDS:g} s"
                raise StoreFailed(f"its copy was looked at more than {seconds} ago: the next run looks")

        return check

    def _looked_at(self, claimed: Sequence[Entry]) -> Looked:
        """Look at the archive; where it cannot be seen, or is not ours any more, nothing is deleted."""
        try:
            archive = self.run.proving_archive
            looked = look(archive, claimed, self.run.workers(self.pulse), self.run.clock.now())
            self.run.workers(self.pulse).watched(self.run.check_places)
        except ExodusError as error:
            self._stopped = str(error)
            return Looked(errors=[(entry, error) for entry in claimed])
        return looked

    def _count_in_a_row(self, results: Sequence[Exception | None]) -> None:
        """Stop where the store gives up nothing any more."""
        for error in results:
            self._failures_in_a_row = self._failures_in_a_row + 1 if isinstance(error, NotFreeable) else 0
            if self._failures_in_a_row >= _MOST_FAILURES_IN_A_ROW:
                self._stopped = f"{self._failures_in_a_row} objects in a row are not freeable: {error}"
                return

    def _undeleted(self, entry: Entry, undone: Event, error: Exception) -> Change:
        """Leave what the store does not give up for a day: more of the same kind would free no more."""
        if not isinstance(error, NotFreeable):
            return Change(entry, undone, str(error))
        return Change(entry, undone, str(error), retry_at=self.run.clock.now() + LONGEST_RETRY)


_DELETIONS = {
    False: (Event.RELEASE_BEGUN, Event.RELEASED, Event.RELEASE_FAILED),
    True: (Event.PRUNE_BEGUN, Event.PRUNED, Event.PRUNE_FAILED),
}


def _failed(entry: Entry, action: Action, error: object) -> list[Moved]:
    """Report what went wrong with one object; nothing did where the run was asked to end."""
    if isinstance(error, Stopped):
        return []
    reason = str(error) if isinstance(error, ExodusError) else f"{type(error).__name__}: {error}"
    verdict = Verdict.CRITICAL if isinstance(error, CopyDiffers) else Verdict.WARNING
    return [Moved(entry.key, entry.bytes, action, reason, verdict)]

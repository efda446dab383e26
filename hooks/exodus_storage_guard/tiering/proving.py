"""Copy a batch of objects into the archive, prove the copies, and write down what became of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from exodus_common.errors import ExodusError
from exodus_common.stopping import Stopped
from exodus_storage_guard.batches import batches
from exodus_storage_guard.errors import ObjectChanged, ObjectMissing, StoreFull
from exodus_storage_guard.model import Entry, ObjectState
from exodus_storage_guard.state.contract import Change
from exodus_storage_guard.tiering.copying import Copier, CopyDiffers, Proof
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.tiering.workers import Pulse
from exodus_storage_guard.transitions import Event

_CHANGED_AT_ONCE = 256
_MOST_FAILURES_IN_A_ROW = 5
_FIRST_RETRY, LONGEST_RETRY = timedelta(hours=1), timedelta(days=1)
_NOBODYS = ObjectChanged | ObjectMissing | Stopped  # nobody failed
_PROVEN = "copied, read back, and found to be the same"

Failed = tuple[Entry, Exception]


def changed(run: Run, changes: Iterable[Change]) -> list[Entry]:
    """Write changes down in several transactions, since those of others wait for each."""
    now, parts = run.clock.now(), batches(changes, _CHANGED_AT_ONCE)
    return [entry for part in parts for entry in run.catalogue.change(part, now)]


@dataclass
class Prover:
    """Prove copies, a batch at a time; `stopped` says why no more can be proven."""

    run: Run
    copier: Copier
    pulse: Pulse
    stopped: str = ""
    differing: list[str] = field(default_factory=list)
    _failures_in_a_row: int = 0

    def prove(self, entries: Sequence[Entry], why: str, *, releases: bool) -> tuple[list[Entry], list[Failed]]:
        """Copy objects and prove the copies; give those that are premigrated now, and what became of the others.

        What is released next stays claimed, so that no other run frees as much again in its place.
        """
        claimed = changed(self.run, (Change(entry, Event.COPY_BEGUN, why, owner=self.run.owner) for entry in entries))
        proofs, failed = list[tuple[Entry, Proof]](), list[Failed]()
        for entry, result in self.run.workers(self.pulse).over(self.copier.prove, claimed):
            if isinstance(result, Proof):
                proofs.append((entry, result))
                self._failures_in_a_row = 0
            else:
                failed.append((entry, result))
                self._failures_in_a_row += not isinstance(result, _NOBODYS)
        changes = [*self._seen(proofs, self.run.owner if releases else None), *self._failures(failed)]
        return [one for one in changed(self.run, changes) if one.state is ObjectState.PREMIGRATED], failed

    def _seen(self, proofs: Sequence[tuple[Entry, Proof]], owner: str | None) -> list[Change]:
        """Write down how each copy and its manifest look, as long as it is the one that was read back."""
        try:
            workers, names = self.run.workers(self.pulse), [proof.copy for _, proof in proofs]
            # What cannot be looked at has no mark: it is read again before its original is released.
            marks = workers.watched(lambda: self.copier.archive.look(names, self.pulse.moved)).marks
            # An archive that went away meanwhile has left the bare folder that it was mounted on.
            workers.watched(self.run.see_mark)
        except ExodusError as error:
            self.stopped = str(error)
            return [Change(entry, Event.COPY_ABANDONED, str(error)) for entry, _ in proofs]
        return [_proven(entry, proof, marks.get(proof.copy), owner) for entry, proof in proofs]

    def _failures(self, failed: Sequence[Failed]) -> list[Change]:
        """Tell what is wrong with an object from what is wrong with the whole store or archive, by trying these out."""
        if failed and self._failures_in_a_row >= _MOST_FAILURES_IN_A_ROW:
            self.stopped = self.stopped or f"{self._failures_in_a_row} copies in a row failed: {failed[-1][1]}"
        at_fault = self._at_fault() if any(map(_may_be_anybodys, failed)) else ""
        return [self._failure(entry, error, at_fault) for entry, error in failed]

    def _at_fault(self) -> str:
        try:
            workers = self.run.workers(self.pulse)
            workers.watched(lambda: self.copier.store.stat(_NOBODY))
            workers.watched(self.copier.archive.try_out)
        except ExodusError as error:
            self.stopped = self.stopped or str(error)
            return str(error)
        return ""

    def _failure(self, entry: Entry, error: Exception, at_fault: str) -> Change:
        now = self.run.clock.now()
        if isinstance(error, CopyDiffers):
            self.differing.append(str(error))
            return Change(entry, Event.COPY_DIFFERED, str(error), retry_at=now + LONGEST_RETRY)
        if isinstance(error, StoreFull):
            self.stopped = f"the archive is full: {error}"
        if at_fault or isinstance(error, StoreFull | _NOBODYS):
            return Change(entry, Event.COPY_ABANDONED, str(error))
        return Change(entry, Event.COPY_FAILED, str(error), retry_at=_retry_at(entry, now))


def _proven(entry: Entry, proof: Proof, mark: str | None, owner: str | None) -> Change:
    """Say that a copy is proven; what it looks like is remembered only where it is the one that was read back."""
    is_what_was_read = mark is not None and proof.looks is not None and mark.startswith(f"{proof.looks} ")
    copy_mark = mark if is_what_was_read else None
    return Change(
        entry, Event.COPY_PROVEN, _PROVEN, owner=owner, sha256=proof.sha256, copy=proof.copy, copy_mark=copy_mark
    )


_NOBODY = "exodus-storage-guard-asks-whether-you-answer"


def _may_be_anybodys(failed: Failed) -> bool:
    return not isinstance(failed[1], CopyDiffers | _NOBODYS)


def _retry_at(entry: Entry, now: datetime) -> datetime:
    """Wait an hour, then ever longer."""
    return now + min(_FIRST_RETRY * (1 << min(entry.failures, 10)), LONGEST_RETRY)

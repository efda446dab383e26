"""The story of `verify`: read archived copies again, and compare them with what was proven."""

import random
from collections.abc import Iterator

from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.batches import batches
from exodus_storage_guard.errors import ObjectMissing
from exodus_storage_guard.model import Entry, ObjectState, Verdict
from exodus_storage_guard.state.contract import Change
from exodus_storage_guard.tiering.archive import Archive
from exodus_storage_guard.tiering.recall import Recalled
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.tiering.workers import Pulse
from exodus_storage_guard.transitions import Event


def verify(run: Run, sample: int | None) -> Iterator[Recalled]:
    """Verify every copy, or a random sample; what is missing or differs is written down, and is an error."""
    archive = run.proving_archive
    pulse = Pulse(run.clock)
    workers = run.workers(pulse)
    copied = run.catalogue.in_state(ObjectState.ARCHIVED, ObjectState.PREMIGRATED, ObjectState.LOST)
    entries: Iterator[Entry] = (entry for entry in copied if entry.copy is not None)
    if sample is not None:
        entries = iter(_sampled(entries, sample))
    for batch in batches(entries, _BATCH):
        here = list[Entry]()
        for entry in batch:
            if told := run.elsewhere(entry):  # nobody can look at it: it is neither right nor lost
                yield Recalled(entry.key, entry.bytes, None, Verdict.WARNING, told)
            else:
                here.append(entry)
        for entry, result in workers.over(lambda entry: _digest(archive, entry, pulse), here):
            yield _judged(run, entry, result)


_BATCH = 64


def _sampled(entries: Iterator[Entry], count: int) -> list[Entry]:
    """Choose from a stream, each with the same chance (Vitter's algorithm R)."""
    chosen: list[Entry] = []
    for number, entry in enumerate(entries):
        place = number if number < count else random.randrange(number + 1)  # noqa: S311 - no secret
        if place < count:
            chosen[place : place + 1] = [entry]
    return chosen


def _digest(archive: Archive, entry: Entry, pulse: Pulse) -> str | None:
    try:
        return archive.sha256(entry.copy or "", pulse.moved)
    except ObjectMissing:
        return None


def _judged(run: Run, entry: Entry, result: str | Exception | None) -> Recalled:
    """Compare; a copy that could not be read is no proof that it is gone."""
    if isinstance(result, Exception):
        reason = str(result) if isinstance(result, ExodusError) else f"{type(result).__name__}: {result}"
        return Recalled(entry.key, entry.bytes, None, Verdict.CRITICAL, reason)
    if result == entry.sha256:
        if entry.state is ObjectState.LOST:
            run.catalogue.change([Change(entry, Event.COPY_FOUND, "its copy is right again")], run.clock.now())
        return Recalled(entry.key, entry.bytes, result, Verdict.OK, "as proven")
    what = "is missing" if result is None else f"differs: it reads back as {result}"
    reason = f"the copy of {printable(entry.key)}, {printable(entry.copy or '')}, {what}"
    if entry.state is not ObjectState.LOST:
        run.catalogue.change([Change(entry, Event.COPY_LOST, reason)], run.clock.now())
    return Recalled(entry.key, entry.bytes, result, Verdict.CRITICAL, reason)

"""The story of `verify`: read archived copies again, and compare them with what was proven."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.batches import batches
from exodus_storage_guard.errors import ObjectMissing
from exodus_storage_guard.model import Entry, ObjectState, ProvenCopy, Verdict
from exodus_storage_guard.state.contract import Change
from exodus_storage_guard.tiering.archive import Archive
from exodus_storage_guard.tiering.recall import Recalled
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.tiering.workers import Pulse
from exodus_storage_guard.transitions import Event

_BATCH = 64


@dataclass(frozen=True, slots=True)
class _Look:
    """Name a copy to be read; `lost` is the object that is lost without it."""

    copy: ProvenCopy
    lost: Entry | None = None


def verify(run: Run, sample: int | None) -> Iterator[Recalled]:
    """Verify every copy, older ones too, or a random sample; what is missing or differs is noted, and is an error."""
    archive = run.proving_archive
    pulse = Pulse(run.clock)
    workers = run.workers(pulse)
    looks: Iterator[_Look] = chain(map(_Look, run.catalogue.copies()), _lost(run))
    if sample is not None:
        looks = iter(_sampled(looks, sample))
    for batch in batches(looks, _BATCH):
        here = list[_Look]()
        for look in batch:
            if told := run.elsewhere(look.copy.key, look.copy.name):  # nobody can look at it: neither right nor lost
                yield Recalled(look.copy.key, look.copy.stored.bytes, None, Verdict.WARNING, told)
            else:
                here.append(look)
        for look, result in workers.over(lambda look: _digest(run, archive, look.copy, pulse), here):
            yield _judged(run, look, result)


def _lost(run: Run) -> Iterator[_Look]:
    for entry in run.catalogue.in_state(ObjectState.LOST):
        if entry.copy is not None and entry.sha256 is not None:
            yield _Look(ProvenCopy(entry.copy, entry.stored, entry.sha256, entry.since), entry)


def _sampled(looks: Iterator[_Look], count: int) -> list[_Look]:
    """Choose from a stream, each with the same chance (Vitter's algorithm R)."""
    chosen: list[_Look] = []
    for number, look in enumerate(looks):
        place = number if number < count else random.randrange(number + 1)  # noqa: S311 - no secret
        if place < count:
            chosen[place : place + 1] = [look]
    return chosen


def _digest(run: Run, archive: Archive, copy: ProvenCopy, pulse: Pulse) -> str | None:
    try:
        return archive.sha256(copy.name, pulse.moved)
    except ObjectMissing:
        run.see_mark()  # of an archive that is away nothing is missing
        return None


def _judged(run: Run, look: _Look, result: str | Exception | None) -> Recalled:
    """Compare; a copy that could not be read is no proof that it is gone."""
    copy = look.copy
    if isinstance(result, Exception):
        reason = str(result) if isinstance(result, ExodusError) else f"{type(result).__name__}: {result}"
        return Recalled(copy.key, copy.stored.bytes, None, Verdict.CRITICAL, reason)
    if result == copy.sha256:
        if look.lost is not None:
            run.catalogue.change([Change(look.lost, Event.COPY_FOUND, "its copy is right again")], run.clock.now())
        return Recalled(copy.key, copy.stored.bytes, result, Verdict.OK, "as proven")
    what = "is missing" if result is None else f"differs: it reads back as {result}"
    reason = f"the copy of {printable(copy.key)}, {printable(copy.name)}, {what}"
    if look.lost is None:
        reason = _lose(run, copy, reason)
    return Recalled(copy.key, copy.stored.bytes, result, Verdict.CRITICAL, reason)


def _lose(run: Run, copy: ProvenCopy, reason: str) -> str:
    """Write down that a copy is lost; give the reason."""
    entry, now = run.catalogue.get(copy.key), run.clock.now()
    if entry is None or entry.copy != copy.name:
        reason = f"{reason}; it is an older one, and is known no more"
        run.catalogue.lose_copy(copy, now, reason)
    elif entry.state in (ObjectState.ARCHIVED, ObjectState.PREMIGRATED):
        run.catalogue.change([Change(entry, Event.COPY_LOST, reason)], now)
    return reason

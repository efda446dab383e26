"""Foresee when the store is full, from samples of what was used: pure functions.

Sweeps and restores say nothing of how fast a store fills: the steps in which they happened are cut out, bytes and time.
What is left rises as uploads have it rise, and its rate is the median of the slopes between all pairs of points
(Theil and Sen), which a quarter of wild points does not move.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, combinations, pairwise
from statistics import quantiles

Sample = tuple[datetime, int]
"""When it was measured, and how many bytes were used."""
Point = tuple[float, int]
"""How many seconds, and how many bytes, of rises come before."""

_SWEPT_SHARE = 0.01
"""A drop of more is a sweep's; one of less is a file that was written on the way, and part of the rate."""
_RESTORED_SHARE, _RESTORED_TIMES = 0.05, 10
"""A rise of more in one step, and of so many times the rate, is a restore's."""
_LEAST_SECONDS, _LEAST_POINTS = 24 * 3600.0, 8
_MOST_POINTS = 100
_FARTHEST = timedelta(days=100 * 365)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Foresee when the store is full; `between` is what the middle half of slopes says, None where that is never."""

    full_at: datetime
    between: tuple[datetime, datetime] | None


def forecast(samples: Sequence[Sample], limit_bytes: int) -> Forecast | None:
    """Foresee when so much is used, from samples that come oldest first; None where it does not fill.

    None as well where there is too little to go by: less than a day without sweeps and restores, or fewer than eight
    points of it. Uploads come by day and not by night: a morning's would foretell the end.
    """
    slopes = _slopes(rises(samples, limit_bytes))
    if not slopes:
        return None
    slow, usual, fast = quantiles(slopes, n=4, method="inclusive")
    full_at, soonest, latest = (_reached(samples[-1], limit_bytes, rate) for rate in (usual, fast, slow))
    if full_at is None:
        return None
    return Forecast(full_at, None if soonest is None or latest is None else (soonest, latest))


def rises(samples: Sequence[Sample], limit_bytes: int) -> list[Point]:
    """Put together the steps in which only uploads were at work, as if no sweep and no restore had been."""
    kept = [step for step in _steps(samples) if step[1] >= -_SWEPT_SHARE * limit_bytes]
    slopes = _slopes(_line(kept))
    usual = quantiles(slopes, n=4, method="inclusive")[1] if slopes else 0.0
    return _line(step for step in kept if not _is_restore(step, usual, limit_bytes))


def _steps(samples: Sequence[Sample]) -> list[Point]:
    """Give what passed between two samples, and what was used more; drops in a row are one: a sweep may take hours."""
    steps: list[Point] = []
    for (before_at, before), (at, used) in pairwise(samples):
        seconds, more = (at - before_at).total_seconds(), used - before
        if seconds <= 0:  # a clock was set back
            continue
        if more < 0 and steps and steps[-1][1] < 0:
            seconds, more = seconds + steps[-1][0], more + steps.pop()[1]
        steps.append((seconds, more))
    return steps


def _is_restore(step: Point, usual_rate: float, limit_bytes: int) -> bool:
    seconds, more = step
    return more > _RESTORED_SHARE * limit_bytes and more > _RESTORED_TIMES * max(0.0, usual_rate) * seconds


def _line(steps: Iterable[Point]) -> list[Point]:
    """Put steps together, the first at nothing."""
    return list(accumulate(steps, lambda one, step: (one[0] + step[0], one[1] + step[1]), initial=(0.0, 0)))


def _slopes(line: Sequence[Point]) -> list[float]:
    """Give the slopes between all pairs of points, in bytes a second; none where there is too little to go by."""
    if len(line) < _LEAST_POINTS or line[-1][0] < _LEAST_SECONDS:
        return []
    every = -(-len(line) // _MOST_POINTS)
    return [(more - less) / (later - sooner) for (sooner, less), (later, more) in combinations(line[::every], 2)]


def _reached(last: Sample, limit_bytes: int, bytes_per_second: float) -> datetime | None:
    """Say when so much is used at this rate; None for never, and for what nobody will live to see."""
    at, used = last
    if bytes_per_second <= 0:
        return None
    seconds = max(0, limit_bytes - used) / bytes_per_second
    try:
        return at + timedelta(seconds=seconds) if seconds < _FARTHEST.total_seconds() else None
    except OverflowError:
        return None

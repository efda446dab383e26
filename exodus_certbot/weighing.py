"""Decide whether what got worse in one lineage may hold up another: nginx loads all of them or none."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from exodus_certbot import ages
from exodus_certbot.decide import Judged
from exodus_certbot.faults import Fault, explained, owner, some
from exodus_certbot.model import Pair, Verdict

# Between two runs of certbot's own timer: who waits longer than that may never be looked at again before the end.
LAST_CHANCE = timedelta(hours=25)


@dataclass(frozen=True, slots=True)
class Weighed:
    """Say why nothing may be loaded, or what is loaded in spite of being worse; both are empty where nothing is."""

    against: tuple[str, ...] = ()
    in_spite_of: str = ""


def weighed(found: Sequence[Fault], judged: Iterable[Judged], wanted: Iterable[Judged], now: datetime) -> Weighed:
    """Weigh what is worse against what cannot wait; nothing outweighs what nginx itself would not load."""
    pressing = _pressing(judged, {fault.pair for fault in found}, now)
    changing = (item.expectation.pair for item in wanted if item.row.verdict is Verdict.STALE)
    reasons = explained(found, [pair for pair in changing if pair is not None])
    if not found or not pressing or any(not fault.is_loadable for fault in found):
        return Weighed(reasons)
    return Weighed(in_spite_of=_in_spite_of(found, pressing, now))


def _pressing(judged: Iterable[Judged], faulty: Collection[Pair], now: datetime) -> tuple[Judged, ...]:
    """Select what would be mended by a reload, and has ended or ends before anybody may look again."""
    return tuple(
        item
        for item in judged
        if item.row.verdict is Verdict.STALE
        and item.served is not None
        and item.served.not_after <= now + LAST_CHANCE
        and item.expectation.pair not in faulty
        and _is_better(item, now)
    )


def _is_better(item: Judged, now: datetime) -> bool:
    new, old = item.expectation.certificate, item.served
    return new is not None and old is not None and new.not_before <= now < new.not_after > old.not_after


def _in_spite_of(found: Sequence[Fault], pressing: Sequence[Judged], now: datetime) -> str:
    """Say who could not wait, what got worse by it, and what to do about that."""
    ends = {owner(item.expectation.pair): item.served for item in pressing if item.expectation.pair and item.served}
    first = min(ends.values(), key=lambda leaf: leaf.not_after)
    left = f"{'expired' if first.not_after <= now else 'had only'} {ages.left(first, now)}"
    why = f"{some(tuple(ends))} could not wait ({left} {'ago' if first.not_after <= now else 'left'})"
    worse, remedies = (
        "; ".join(dict.fromkeys(said)) for said in zip(*((f.what, f.remedy) for f in found), strict=True)
    )
    return (
        f"loaded in spite of it: {worse}; {why}, and a reload loads every certificate there is; what next: {remedies}"
    )

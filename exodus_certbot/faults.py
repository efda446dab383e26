"""What is worse about a certificate on disk, and how that is told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exodus_certbot.model import Pair


@dataclass(frozen=True, slots=True)
class Fault:
    """Say what is worse about a pair of files, and what the operator can do about it.

    `is_loadable` tells that nginx itself would load it.
    """

    pair: Pair
    what: str
    remedy: str
    is_loadable: bool = True


def renew(pair: Pair, options: str = "") -> str:
    """Say how to get a better certificate into the files of a pair."""
    if pair.lineage is None:
        return f"put a better one into {pair.source.shown}"
    return f"certbot renew --cert-name {pair.lineage.name} {options}--force-renewal"


def explained(found: Sequence[Fault], wanted: Iterable[Pair]) -> tuple[str, ...]:
    """Say what is wrong, who has to wait for whom, and what to do; `wanted` is what the run is for."""
    if not found:
        return ()
    faulty = {owner(fault.pair): None for fault in found}
    waiting = [name for name in dict.fromkeys(map(owner, wanted)) if name not in faulty]
    held = f"a reload loads every certificate there is, so {some(waiting)} must wait for {some(tuple(faulty))}"
    remedies = dict.fromkeys(fault.remedy for fault in found)
    whats = dict.fromkeys(fault.what for fault in found)
    next_steps = f"what next: {'; '.join(remedies)}; then: exodus-certbot reconcile"
    return (*whats, *([held] if waiting else []), next_steps)


def owner(pair: Pair) -> str:
    """Name what a pair of files is of: its lineage, else the file."""
    return pair.source.shown if pair.lineage is None else pair.lineage.name


def some(names: Sequence[str], most: int = 3) -> str:
    """Name the first of many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

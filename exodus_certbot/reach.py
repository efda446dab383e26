"""Decide what to say of certificates that no handshake reaches: that they are unproven, or that nobody gets them."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from exodus_certbot.decide import Judged
from exodus_certbot.model import Expectation, Verdict
from exodus_common.render import printable

_MOST_NAMED = 3


def is_unseen(item: Judged) -> bool:
    """Tell whether nginx loads a file when it starts and someone is shown it, while nobody was asked for it."""
    expectation, has_file = item.expectation, item.expectation.pair is not None
    # Of what is asked for at one name in place of many, nothing is hidden.
    hidden = has_file and item.observation is None and bool(expectation.service.not_probed or expectation.excepted)
    return hidden and not (expectation.to_nobody or expectation.service.opened_late)


def unproven(judged: Sequence[Judged]) -> str:
    """Say which certificates no handshake has shown, of none that another listener shows; or nothing."""
    proven = {item.expectation.pair for item in judged if item.row.verdict is Verdict.OK}
    open_ones = [item for item in judged if is_unseen(item) and item.expectation.pair not in proven]
    named = [_shown(item.expectation) for item in open_ones[:_MOST_NAMED]]
    more = f" and {len(open_ones) - _MOST_NAMED} more" if len(open_ones) > _MOST_NAMED else ""
    return f"unproven, for nobody can be asked: {'; '.join(named)}{more}" if named else ""


def _shown(expectation: Expectation) -> str:
    service = expectation.service
    where = service.listener.address if service.listener.port is None else f"port {service.listener.port}"
    return printable(f"{service.name or chr(34) * 2} at {where} ({expectation.not_probed})")


def nobody_gets(scope: Iterable[Expectation], lineages: Collection[Path]) -> tuple[str, ...]:
    """Say for each lineage that nginx is configured with why no client is shown it, and what to do."""
    of: dict[Path, list[Expectation]] = {}
    for item in scope:
        lineage = item.pair.lineage if item.pair is not None else None
        if lineage is not None and lineage in lineages:
            of.setdefault(lineage, []).append(item)
    return tuple(
        printable(
            f"no client is shown {lineage}: {items[0].service.name or 'its server'}: {items[0].not_probed}; "
            "mend nginx's configuration, then run: exodus-certbot reconcile"
        )
        for lineage, items in of.items()
        if all(item.to_nobody or item.gone for item in items)
    )

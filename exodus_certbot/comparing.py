"""Compare what a reload would load with what is served: look at files and at the wire, then have it decided."""

from collections.abc import Iterable, Sequence

from exodus_certbot import weighing, worse
from exodus_certbot.certbot import on_disk
from exodus_certbot.chain import Chain
from exodus_certbot.decide import Judged
from exodus_certbot.inventory import Run
from exodus_certbot.model import Pair
from exodus_certbot.tls import chains, sent_chain, suites
from exodus_certbot.tls.served import Question
from exodus_certbot.weighing import Weighed
from exodus_common.errors import ExodusError

_MOST_SECONDS = 10.0


def weighed(run: Run, judged: Sequence[Judged], wanted: Sequence[Judged]) -> Weighed:
    """Say whether anything may be loaded now; a reload loads all that was `judged`, also what is not `wanted`."""
    compared = [_compared(run, pair, items) for pair, items in _by_pair(judged).items()]
    usable = {one: suites.usable(one) for one in {item.expectation.service.suites for item in judged}}
    now = run.clock.now()
    return weighing.weighed(worse.faults(compared, usable, now), judged, wanted, now)


def _by_pair(judged: Iterable[Judged]) -> dict[Pair, tuple[Judged, ...]]:
    """Group what is served by the files it would come from; a reload does nothing to those opened at each handshake."""
    found: dict[Pair, list[Judged]] = {}
    for item in judged:
        pair = item.expectation.pair
        if pair is not None and not pair.source.opened_late:
            found.setdefault(pair, []).append(item)
    return {pair: tuple(items) for pair, items in found.items()}


def _compared(run: Run, pair: Pair, items: tuple[Judged, ...]) -> worse.Compared:
    known = worse.Compared(pair, items)
    key_fault = on_disk.key_fault(pair) if known.stale else ""
    chain, lacks = on_disk.chain(pair), on_disk.lacks(pair)
    is_suspect = worse.is_suspect(chain, lacks, run.clock.now())
    sent = _sent(run, known) if is_suspect else None
    return worse.Compared(pair, items, key_fault, lacks, chain, sent)


def _sent(run: Run, known: worse.Compared) -> Chain | None:
    """Ask one of those who serve the leaf for its chain; where none shows it, look into certbot's archive."""
    answering = [item for item in (known.stale or known.items) if item.row.served_sha256 is not None]
    for item in answering[:1]:
        seconds = min(run.deadline.remaining_seconds(), _MOST_SECONDS)
        ders = sent_chain.ask(Question.of(item.expectation), seconds) if seconds > 0 else ()
        try:
            if ders and chains.sha256(ders[0]) == item.row.served_sha256:
                return chains.chain_of(ders)
        except ExodusError:
            continue
    served = known.stale[0].row.served_sha256 if known.stale else None
    return on_disk.earlier_chain(known.pair, served)

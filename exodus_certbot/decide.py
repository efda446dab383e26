"""Decide, without looking at anything: what an observation means, whether to reload, how a whole run went."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from exodus_certbot import ages
from exodus_certbot.ages import Renewal
from exodus_certbot.expect import key_type_of
from exodus_certbot.model import Certificate, Expectation, Listener, Observation, Overall, Row, Verdict
from exodus_certbot.server_names import is_covered

_SEVERITY = {
    Verdict.OK: Overall.OK,
    Verdict.NOT_PROBED: Overall.OK,
    Verdict.EXCEPTED: Overall.OK,
    Verdict.EXPIRING: Overall.WARNING,
    Verdict.STALE: Overall.CRITICAL,
    Verdict.EXPIRED: Overall.CRITICAL,
    Verdict.UNREACHABLE: Overall.CRITICAL,
}
_RANK = [Overall.OK, Overall.WARNING, Overall.UNKNOWN, Overall.CRITICAL]


@dataclass(frozen=True, slots=True)
class Judged:
    """Keep an expectation together with what was observed and the row that reports both."""

    expectation: Expectation
    observation: Observation | None
    row: Row

    @property
    def served(self) -> Certificate | None:
        """Give the certificate that was shown, where one was."""
        return self.observation.certificate if self.observation is not None else None

    @property
    def is_over(self) -> bool:
        """Tell whether nobody is shown what no file has any more, so that there is nothing to report."""
        return self.expectation.gone and self.row.served_sha256 is None


def judge(
    expectation: Expectation,
    observation: Observation | None,
    now: datetime,
    warn_days: float | None = None,
    renewal: Renewal | None = None,
) -> Judged:
    """Compare what was served with what is on disk; `observation` is None where nobody was asked.

    `renewal` is by which rule certbot renews it, None where it does not.
    """
    served = observation.certificate if observation else None
    expected = expectation.certificate
    verdict, reason = _verdict(expectation, observation, expected, now, warn_days, renewal)
    listener = expectation.service.listener
    row = Row(
        name=expectation.service.name,
        address=listener.address,
        port=listener.port,
        key_type=key_type_of(expectation) or (served.key_type if served else None),
        lineage=expectation.pair.lineage if expectation.pair else None,
        expected_sha256=expected.sha256 if expected else None,
        served_sha256=served.sha256 if served else None,
        not_after=served.not_after if served else None,
        verdict=verdict,
        reason=_full_reason(listener, reason, observation),
        transport="quic" if listener.quic else "tcp",
    )
    return Judged(expectation, observation, row)


def _full_reason(listener: Listener, reason: str, observation: Observation | None) -> str:
    """Put the way in which was asked before a reason, and behind it what else is to be known."""
    remark = observation.remark if observation else ""
    said = f"{reason}; {remark}" if remark else reason
    return f"{listener.manner}: {said}" if listener.manner else said


def _verdict(
    expectation: Expectation,
    observation: Observation | None,
    expected: Certificate | None,
    now: datetime,
    warn_days: float | None,
    renewal: Renewal | None,
) -> tuple[Verdict, str]:
    if expectation.excepted:
        return Verdict.EXCEPTED, expectation.not_probed
    if expectation.not_probed or observation is None:
        return Verdict.NOT_PROBED, expectation.not_probed or "nobody was asked"
    served = observation.certificate
    if expectation.gone:
        return _verdict_of_gone(expectation, observation, now)
    if served is None and observation.refused and expectation.unshowable:
        return Verdict.NOT_PROBED, f"no client can be shown it: {expectation.unshowable}"
    if served is None:
        return Verdict.UNREACHABLE, _of_several(observation, "failed", observation.failure)
    if expected is not None and served.sha256 != expected.sha256:
        return Verdict.STALE, _of_several(observation, "show another one", _stale_reason(served, expected, now))
    age = ages.verdict(served, now, warn_days, renewal)
    if age is not None:
        return age
    if expected is None and expectation.service.of_acme_module:
        return (
            Verdict.OK,
            f"nginx's own ACME module renews it, {ages.left(served, now)} left{_coverage_note(expectation, served)}",
        )
    if expected is None:
        return Verdict.NOT_PROBED, f"{_why_unknown(expectation)}; what it serves is valid for {ages.left(served, now)}"
    return Verdict.OK, f"as on disk, {ages.left(served, now)} left" + _coverage_note(expectation, served)


def _of_several(observation: Observation, what: str, reason: str) -> str:
    """Say how many answers a reason is about where others were right: then somebody else answers, too."""
    if not 0 < observation.wrong < observation.asked:
        return reason
    differ = f"answers differ: {observation.wrong} of {observation.asked} {what}"
    return f"{differ}: {reason}; does somebody else listen there, too? see: ss -ltnp"


def _verdict_of_gone(expectation: Expectation, observation: Observation, now: datetime) -> tuple[Verdict, str]:
    served, where = observation.certificate, expectation.pair.source.shown if expectation.pair else ""
    if served is None:
        return Verdict.NOT_PROBED, "no client is shown one any more"
    reason = (
        f"serves an {served.key_type} certificate ({_time_left(served, now)}) that is in no file any more: "
        f"{where} has another kind of key now"
    )
    return Verdict.STALE, _of_several(observation, "show one", reason)


def _time_left(served: Certificate, now: datetime) -> str:
    return f"{ages.left(served, now)} left" if served.not_after > now else f"expired {ages.left(served, now)} ago"


def _stale_reason(served: Certificate, expected: Certificate, now: datetime) -> str:
    if served.key_type is not expected.key_type:
        return f"serves an {served.key_type} certificate where the one on disk is {expected.key_type}"
    left = _time_left(served, now)
    newer = "a newer one" if expected.not_before > served.not_before else "another one"
    return f"serves {served.sha256[:12]} ({left}); on disk is {newer}, {expected.sha256[:12]}"


def _why_unknown(expectation: Expectation) -> str:
    if expectation.pair is not None:
        return expectation.pair.problem
    return "a variable in ssl_certificate: which file nginx means is decided at each handshake"


def _coverage_note(expectation: Expectation, served: Certificate) -> str:
    return "" if is_covered(expectation.service.name, served.names) else "; the certificate does not have this name"


def needs_reload(judged: Iterable[Judged], unread: int = 0) -> str:
    """Say why a reload is needed, or nothing: only where what is served is not what is on disk.

    `unread` counts the certificates that nobody can be asked for and that changed since nginx read them.
    """
    counts = ((len(stale(judged)), "stale"), (unread, "not yet read"))
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def needs_deployment(judged: Sequence[Judged], unread: int = 0) -> str:
    """Say why a lineage that was just renewed needs a reload, or nothing.

    A listener that cannot be reached is a reason too: the configuration may be as new as the certificate. Only where
    nginx opens the file at each handshake would a reload change nothing.
    """
    late = (item.expectation.service.opened_late for item in judged if item.row.verdict is Verdict.UNREACHABLE)
    unreachable = sum(not opened_late for opened_late in late)
    return needs_reload(judged, unread) or (f"{unreachable} unreachable" if unreachable else "")


def stale(judged: Iterable[Judged]) -> tuple[Judged, ...]:
    """Select what a reload would replace by another certificate."""
    return tuple(item for item in judged if item.row.verdict is Verdict.STALE)


def wrong(judged: Iterable[Judged]) -> tuple[Judged, ...]:
    """Select what shows another certificate than it should, or none."""
    return tuple(item for item in judged if item.row.verdict in (Verdict.STALE, Verdict.UNREACHABLE))


def overall(rows: Iterable[Row]) -> Overall:
    """Give the worst of the rows' verdicts."""
    return worst(_SEVERITY[row.verdict] for row in rows)


def worst(verdicts: Iterable[Overall]) -> Overall:
    """Give the worst of several verdicts."""
    return max(verdicts, key=_RANK.index, default=Overall.OK)


def summary(rows: Sequence[Row]) -> str:
    """Say in one line how many listeners are in which state, the worst first."""
    if not rows:
        return "nginx is configured with no TLS listener"
    order = sorted(Verdict, key=lambda verdict: -_RANK.index(_SEVERITY[verdict]))
    counts = [(verdict, sum(row.verdict is verdict for row in rows)) for verdict in order]
    return ", ".join(f"{count} {verdict}" for verdict, count in counts if count)

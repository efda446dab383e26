"""What an observation means: every verdict, at its boundary and on each side of it."""

from datetime import UTC, datetime, timedelta
from itertools import combinations_with_replacement

from exodus_certbot import decide, expect
from exodus_certbot.model import (
    Certificate,
    CertificateSource,
    Expectation,
    KeyType,
    Listener,
    Observation,
    Overall,
    Pair,
    Service,
    Verdict,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NAME = "exodus.example"
SECOND = timedelta(seconds=1)


def certificate(
    sha256: str = "aa",
    *,
    days: float = 90,
    left: timedelta = timedelta(days=60),
    key_type: KeyType = KeyType.ECDSA,
    names: tuple[str, ...] = (NAME,),
) -> Certificate:
    end = NOW + left
    return Certificate(sha256, key_type, names, end - timedelta(days=days), end)


def pair_of(on_disk: Certificate | None, file: str = "/live/fullchain.pem", problem: str = "") -> Pair:
    return Pair(CertificateSource(file, "/live/privkey.pem"), on_disk, None, problem)


def expecting(pair: Pair | None, *, name: str = NAME, not_probed: str = "", opened_late: bool = False) -> Expectation:
    source = CertificateSource("$certificate", "$key", opened_late) if pair is None else pair.source
    source = CertificateSource(source.certificate, source.key, opened_late)
    service = Service(name, name, Listener("0.0.0.0", 443, "127.0.0.1"), (source,))
    return Expectation(service, pair, not_probed=not_probed)


def judged(
    on_disk: Certificate | None, served: Certificate | None, *, warn_days: float | None = None, name: str = NAME
) -> decide.Judged:
    observation = Observation(served, "" if served else "connection refused")
    return decide.judge(expecting(pair_of(on_disk), name=name), observation, NOW, warn_days)


def verdict_of(served: Certificate, *, warn_days: float | None = None) -> Verdict:
    return judged(served, served, warn_days=warn_days).row.verdict


def test_the_certificate_on_disk_is_ok_and_any_other_is_stale() -> None:
    assert judged(certificate("aa"), certificate("aa")).row.verdict is Verdict.OK
    assert judged(certificate("aa"), certificate("bb")).row.verdict is Verdict.STALE


def test_stale_wins_over_expired_since_a_reload_would_mend_both() -> None:
    row = judged(certificate("new"), certificate("old", left=-SECOND)).row
    assert row.verdict is Verdict.STALE
    assert "expired" in row.reason


def test_a_newer_certificate_on_disk_is_called_newer() -> None:
    older = certificate("old", left=timedelta(days=20))
    assert "on disk is a newer one" in judged(certificate("new"), older).row.reason
    assert "on disk is another one" in judged(older, certificate("new")).row.reason


def test_no_answer_is_unreachable_with_the_reason() -> None:
    row = judged(certificate(), None).row
    assert (row.verdict, row.reason, row.served_sha256) == (Verdict.UNREACHABLE, "connection refused", None)


def test_what_was_not_asked_is_not_probed_and_never_ok() -> None:
    row = decide.judge(expecting(pair_of(certificate()), not_probed="QUIC"), None, NOW).row
    assert (row.verdict, row.reason) == (Verdict.NOT_PROBED, "QUIC")


def test_a_computed_certificate_is_judged_by_its_age_alone() -> None:
    def found(left: timedelta) -> Verdict:
        return decide.judge(expecting(None), Observation(certificate(left=left)), NOW).row.verdict

    assert found(timedelta(days=60)) is Verdict.NOT_PROBED
    assert found(timedelta(days=1)) is Verdict.EXPIRING
    assert found(timedelta()) is Verdict.EXPIRED


def test_a_certificate_is_expired_from_its_very_last_moment_on() -> None:
    assert verdict_of(certificate(left=timedelta())) is Verdict.EXPIRED
    assert verdict_of(certificate(left=SECOND)) is Verdict.EXPIRING


def test_a_certificate_of_tomorrow_is_as_bad_as_an_expired_one() -> None:
    tomorrow = certificate(days=90, left=timedelta(days=90) + SECOND)
    assert verdict_of(tomorrow) is Verdict.EXPIRED
    assert verdict_of(certificate(days=90, left=timedelta(days=90))) is Verdict.OK


def test_warn_days_replaces_the_default() -> None:
    assert verdict_of(certificate(left=SECOND), warn_days=0) is Verdict.OK
    assert verdict_of(certificate(left=timedelta(days=60)), warn_days=60) is Verdict.OK
    assert verdict_of(certificate(left=timedelta(days=60) - SECOND), warn_days=60) is Verdict.EXPIRING


def test_a_name_the_certificate_lacks_is_mentioned() -> None:
    other = certificate(names=("other.example",))
    assert "does not have this name" in judged(other, other).row.reason
    assert "does not have this name" not in judged(certificate(), certificate()).row.reason


def test_only_what_is_stale_asks_for_a_reload() -> None:
    fine, stale, silent = (
        judged(certificate(), certificate()),
        judged(certificate(), certificate("bb")),
        judged(certificate(), None),
    )
    assert decide.needs_reload([fine, silent]) == ""
    assert decide.needs_reload([fine, stale, stale]) == "2 stale"
    assert decide.needs_deployment([fine]) == ""
    assert decide.needs_deployment([fine, silent]) == "1 unreachable"


def test_an_unreachable_listener_whose_files_are_opened_at_each_handshake_asks_for_no_reload() -> None:
    late = decide.judge(expecting(None, opened_late=True), Observation(None, "refused"), NOW)
    assert decide.needs_deployment([late]) == ""


def test_what_nobody_can_be_asked_for_and_nginx_has_not_read_asks_for_a_reload() -> None:
    fine, stale = judged(certificate(), certificate()), judged(certificate(), certificate("bb"))
    assert decide.needs_reload([fine], 2) == "2 not yet read"
    assert decide.needs_reload([fine, stale], 1) == "1 stale, 1 not yet read"
    assert decide.needs_deployment([fine], 1) == "1 not yet read"


def test_what_nginx_renews_itself_is_judged_by_its_dates() -> None:
    source = CertificateSource("$acme_certificate", "$acme_certificate_key", opened_late=True)
    expectation = Expectation(Service(NAME, NAME, Listener("0.0.0.0", 443, "127.0.0.1"), (source,)), None)
    verdicts = {
        left: decide.judge(expectation, Observation(certificate(left=timedelta(days=left))), NOW).row.verdict
        for left in (60, 5, -1)
    }
    assert verdicts == {60: Verdict.OK, 5: Verdict.EXPIRING, -1: Verdict.EXPIRED}
    assert decide.judge(expectation, Observation(None, "refused"), NOW).row.verdict is Verdict.UNREACHABLE


def test_the_overall_verdict_is_the_worst() -> None:
    order = [Overall.OK, Overall.WARNING, Overall.UNKNOWN, Overall.CRITICAL]
    for better, worse in combinations_with_replacement(order, 2):
        assert decide.worst([better, worse]) is decide.worst([worse, better]) is worse
    assert decide.worst([]) is Overall.OK


def test_the_summary_names_the_worst_first() -> None:
    rows = [judged(certificate(), certificate()).row] * 2 + [judged(certificate(), certificate("bb")).row]
    assert decide.summary(rows) == "1 stale, 2 ok"
    assert decide.summary([]) == "nginx is configured with no TLS listener"


def service_with(*sources: CertificateSource) -> Service:
    return Service(NAME, NAME, Listener("0.0.0.0", 443, "127.0.0.1"), sources)


def test_each_key_type_of_a_server_is_expected_and_forced_only_where_there_are_several() -> None:
    rsa = pair_of(certificate("rsa", key_type=KeyType.RSA), "/rsa.pem")
    ecdsa = pair_of(certificate("ecdsa"), "/ecdsa.pem")
    pairs = {rsa.source: rsa, ecdsa.source: ecdsa}

    both = expect.expectations([service_with(rsa.source, ecdsa.source)], pairs)
    one = expect.expectations([service_with(rsa.source)], pairs)

    assert [(item.pair, item.force_key_type) for item in both] == [(rsa, KeyType.RSA), (ecdsa, KeyType.ECDSA)]
    assert [(item.pair, item.force_key_type) for item in one] == [(rsa, None)]


def test_a_kind_of_key_that_no_file_has_any_more_is_asked_for_once_for_each_server() -> None:
    renewed = pair_of(certificate("renewed"), "/renewed.pem")
    other = pair_of(certificate("other"), "/other.pem")
    pairs = {renewed.source: renewed, other.source: other}
    services = [service_with(renewed.source, other.source)] * 2

    def asked(earlier: dict[Pair, KeyType]) -> list[tuple[Pair | None, KeyType | None, bool]]:
        found = expect.expectations(services, pairs, earlier=lambda pair: [earlier[pair]] if pair in earlier else [])
        return [(item.pair, item.force_key_type, item.gone) for item in found]

    kept = [(renewed, None, False), (other, None, False)]
    of_both = [(renewed, KeyType.ECDSA, False), (other, KeyType.ECDSA, False)]
    assert asked({}) == asked({renewed: KeyType.ECDSA}) == kept * 2
    assert asked({renewed: KeyType.RSA}) == [*of_both, (renewed, KeyType.RSA, True), *of_both]


def test_what_no_file_has_any_more_is_stale_where_it_is_shown_and_nothing_where_it_is_not() -> None:
    pair = pair_of(certificate("new"))
    gone = Expectation(service_with(pair.source), pair, KeyType.RSA, gone=True)

    shown = decide.judge(gone, Observation(certificate("old", key_type=KeyType.RSA)), NOW)
    refused = decide.judge(gone, Observation(None, "alert", refused=True), NOW)

    assert (shown.row.verdict, shown.row.key_type, shown.row.expected_sha256) == (Verdict.STALE, KeyType.RSA, None)
    assert "is in no file any more" in shown.row.reason
    assert (shown.is_over, refused.is_over) == (False, True)
    assert decide.needs_reload([shown]) == "1 stale"


def test_of_two_certificates_of_one_key_type_the_last_is_served() -> None:
    first, last = pair_of(certificate("first"), "/first.pem"), pair_of(certificate("last"), "/last.pem")
    pairs = {first.source: first, last.source: last}

    replaced, served = expect.expectations([service_with(first.source, last.source)], pairs)

    assert "a later ssl_certificate" in replaced.not_probed
    assert (served.pair, served.not_probed) == (last, "")

"""Which listeners an operator's `except_listeners` means, and which one is asked where many would show the same."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_certbot import decide, reach, settings
from exodus_certbot.asked_once import MOST_QUESTIONS, asked_once
from exodus_certbot.exceptions import excepting, findings_of
from exodus_certbot.listener_pattern import ListenerPattern
from exodus_certbot.model import (
    Certificate,
    CertificateSource,
    Expectation,
    KeyType,
    Listener,
    Overall,
    Pair,
    Service,
    Verdict,
)

NOW = datetime(2026, 11, 24, tzinfo=UTC)
WEB = Listener("0.0.0.0", 443, "127.0.0.1")


def expecting(name: str, listener: Listener = WEB, file: str = "/live/a.pem") -> Expectation:
    source = CertificateSource(file, "/live/key.pem")
    certificate = Certificate(file, KeyType.ECDSA, (name,), NOW, NOW)
    return Expectation(Service(name, name, listener, (source,)), Pair(source, certificate, None))


@pytest.mark.parametrize(
    ("written", "name", "listener", "is_meant"),
    [
        ("192.0.2.10:443", "a.example", Listener("192.0.2.10", 443, "192.0.2.10"), True),
        ("192.0.2.10:443", "a.example", Listener("192.0.2.10", 8443, "192.0.2.10"), False),
        ("192.0.2.10:443", "a.example", Listener("192.0.2.1", 443, "192.0.2.1"), False),
        ("192.0.2.10:443", "a.example", Listener("0.0.0.0", 443, "192.0.2.10"), True),
        ("127.0.0.1:443", "a.example", WEB, True),
        ("0.0.0.0:443", "a.example", WEB, True),
        ("*:443", "a.example", WEB, True),
        ("*:8443", "a.example", WEB, False),
        ("[::1]:8443", "a.example", Listener("::1", 8443, "::1"), True),
        ("[0:0:0:0:0:0:0:1]:8443", "a.example", Listener("::1", 8443, "::1"), True),
        ("unix:/run/tls.sock", "a.example", Listener("unix:/run/tls.sock", None, "unix:/run/tls.sock"), True),
        ("unix:/run/tls.sock", "a.example", Listener("unix:/run/b.sock", None, "unix:/run/b.sock"), False),
        ("a.example", "a.example", WEB, True),
        ("A.Example", "a.example", WEB, True),
        ("a.example", "b.a.example", WEB, False),
        ("*.internal.example", "a.internal.example", WEB, True),
        ("*.internal.example", "a.b.internal.example", WEB, True),
        ("*.internal.example", "*.internal.example", WEB, True),
        ("*.internal.example", "internal.example", WEB, False),
        ("*.internal.example", "ainternal.example", WEB, False),
        ("a.*.example", "a.b.example", WEB, True),
        ("a.example", "axexample", WEB, False),
        ("b\xfccher.example", "xn--bcher-kva.example", WEB, True),
        ("*.b\xfccher.example", "a.xn--bcher-kva.example", WEB, True),
        ("xn--bcher-kva.example", "b\xfccher.example", WEB, True),
        ("_", "_", WEB, True),
    ],
)
def test_an_exception_means_the_listeners_it_names_and_no_other(
    written: str, name: str, listener: Listener, is_meant: bool
) -> None:
    (found,) = excepting([written], [expecting(name, listener)])

    assert found.excepted is is_meant
    assert (written in found.not_probed) is is_meant


def test_what_is_excepted_is_fine_says_by_which_exception_and_is_loaded_with_its_lineage() -> None:
    (expectation,) = excepting(["b.example", "*.example"], [expecting("a.example")])

    judged = decide.judge(expectation, None, NOW)

    assert (judged.row.verdict, judged.row.reason) == (
        Verdict.EXCEPTED,
        'excepted by except_listeners = "*.example"',
    )
    assert decide.overall([judged.row]) is Overall.OK
    assert decide.summary([judged.row]) == "1 excepted"
    assert reach.is_unseen(judged)
    assert decide.needs_reload([judged]) == ""


def test_an_exception_that_means_nothing_is_found() -> None:
    expectations = [expecting("a.example")]

    (found,) = findings_of(["a.example", "*:443", "b.example"], expectations)

    assert '"b.example"' in found.message
    assert findings_of(["b.example"], []) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "*",
        "*.",
        "a..example",
        "*a.example",
        "192.0.2.10",
        "192.0.2.999:443",
        "192.0.2.10:0",
        "192.0.2.10:65536",
        "192.0.2.10:https",
        "::1:443",
        "[::1]",
        "[::g]:443",
        "a.example:443",
        "unix:tls.sock",
        "~^a",
        "a b",
        "-a.example",
    ],
)
def test_an_exception_that_cannot_be_read_is_a_wrong_setting(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"except_listeners\[1\]: .*allowed"):
        settings.Settings(except_listeners=("a.example", wrong))


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(["192.0.2.1", "::1"]), st.integers(1, 65535))
def test_every_text_is_a_pattern_or_refused_and_matching_never_fails(
    written: str, name: str, address: str, port: int
) -> None:
    try:
        pattern = ListenerPattern.parse(written)
    except ValueError:
        return
    assert pattern.fits_name(name) in (True, False)
    assert pattern.fits_endpoint(address, port) in (True, False)


def test_names_with_one_certificate_are_one_question_over_quic_and_each_their_own_over_tcp() -> None:
    quic = replace(WEB, quic=True)
    names = [expecting(f"n{number}.example", listener) for number in range(1000) for listener in (WEB, quic)]
    other = expecting("other.example", quic, "/live/other.pem")

    asked = [item for item in asked_once([*names, other]) if not item.not_probed]

    over_quic = [item.service.name for item in asked if item.service.listener.quic]
    assert over_quic == ["n0.example", "other.example"]
    assert len(asked) == 1002
    assert "asked for n0.example" in asked_once(names)[3].not_probed


def test_more_certificates_than_a_run_has_time_for_are_not_asked_for_over_quic_and_that_is_said() -> None:
    quic = replace(WEB, quic=True)
    many = [expecting(f"n{number}.example", quic, f"/live/{number}.pem") for number in range(MOST_QUESTIONS + 2)]

    found = asked_once(many)

    assert sum(not item.not_probed for item in found) == MOST_QUESTIONS
    assert "only 200" in found[-1].not_probed


def test_two_rows_of_one_address_are_told_apart_by_how_they_are_asked() -> None:
    rows = [decide.judge(expecting("a.example", replace(WEB, quic=quic)), None, NOW).row for quic in (False, True)]

    assert [(row.transport, row.reason) for row in rows] == [
        ("tcp", "nobody was asked"),
        ("quic", "QUIC: nobody was asked"),
    ]

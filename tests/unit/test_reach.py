"""What is said of certificates that no handshake reaches."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exodus_certbot import decide, reach
from exodus_certbot.model import (
    Certificate,
    CertificateSource,
    Expectation,
    KeyType,
    Listener,
    Observation,
    Pair,
    Service,
)

NOW, END = datetime(2026, 11, 24, tzinfo=UTC), datetime(2027, 1, 24, tzinfo=UTC)
LINEAGE, LEAF = Path("/live/a"), Certificate("aa", KeyType.ECDSA, ("a.example",), NOW, END)
SOURCE = CertificateSource("/live/a/fullchain.pem", "/live/a/privkey.pem")
HIDDEN = Service("~^b", None, Listener("0.0.0.0", 443, "127.0.0.1"), (SOURCE,), "a regular expression")


def judged(service: Service, *, also: str = "") -> decide.Judged:
    """Judge a service that shows what is on disk wherever it is asked."""
    pair = Pair(SOURCE, LEAF, LINEAGE)
    asked = None if service.not_probed or also else Observation(LEAF)
    reason = service.not_probed or also
    return decide.judge(Expectation(service, pair, not_probed=reason, replaced=bool(also)), asked, NOW)


ASKED = replace(HIDDEN, name="a.example", sni="a.example", not_probed="")
NOBODYS = replace(HIDDEN, to_nobody=True)
LATE = replace(HIDDEN, sources=(replace(SOURCE, opened_late=True),))


def test_what_nobody_can_be_asked_for_is_unproven_unless_another_listener_shows_the_same_file() -> None:
    expected = "unproven, for nobody can be asked: ~^b at port 443 (a regular expression)"
    assert reach.unproven([judged(HIDDEN)]) == expected
    assert reach.unproven([judged(HIDDEN), judged(ASKED)]) == ""


@pytest.mark.parametrize("service", [ASKED, NOBODYS, LATE])
def test_what_is_asked_or_shown_to_nobody_or_opened_at_each_handshake_is_not_unproven(service: Service) -> None:
    assert reach.unproven([judged(service)]) == ""
    assert not reach.is_unseen(judged(service))


def test_only_a_few_are_named() -> None:
    many = [judged(replace(HIDDEN, name=f"~{number}")) for number in range(5)]
    assert reach.unproven(many).endswith("~2 at port 443 (a regular expression) and 2 more")


def test_a_lineage_that_no_client_is_shown_is_told_with_the_reason() -> None:
    replaced = judged(ASKED, also="a later ssl_certificate of the same key type replaces it")
    for item in (judged(NOBODYS), replaced):
        (said,) = reach.nobody_gets([item.expectation], [LINEAGE])
        assert said.startswith("no client is shown /live/a: ")
        assert item.expectation.not_probed in said


@pytest.mark.parametrize("service", [ASKED, HIDDEN])
def test_a_lineage_that_some_client_is_shown_is_not(service: Service) -> None:
    assert reach.nobody_gets([judged(NOBODYS).expectation, judged(service).expectation], [LINEAGE]) == ()
    assert reach.nobody_gets([judged(NOBODYS).expectation], [Path("/live/other")]) == ()

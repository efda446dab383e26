"""When a renewal is overdue: no alarm while certbot does its work, and one in time when it stops."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exodus_certbot import ages
from exodus_certbot.ages import Renewal
from exodus_certbot.certbot import rules
from exodus_certbot.certbot.renewal_files import RenewalFile, parse
from exodus_certbot.model import Certificate, KeyType, RenewalWindow, Verdict

BEGIN = datetime(2026, 11, 24, tzinfo=UTC)
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
RUNS = 800  # 400 days of Debian's certbot.timer: 00:00 and 12:00, each up to 12 h late
LIVES = [timedelta(hours=160), 6 * DAY, 45 * DAY, 64 * DAY, 90 * DAY]
VERSIONS = [(2, 1, 0), (4, 0, 0), (5, 8, 0)]


def issued(at: datetime, life: timedelta) -> Certificate:
    return Certificate("aa", KeyType.ECDSA, ("exodus.example",), at, at + life)


def window_of(certificate: Certificate) -> RenewalWindow:
    """Give the window that Let's Encrypt's Boulder suggests (core/objects.go, RenewalInfoSimple)."""
    life = certificate.not_after - certificate.not_before
    ideal = certificate.not_after - (life / 2 if life < 10 * DAY else life / 3)
    return RenewalWindow("a", ideal - life * 0.02, ideal + life * 0.02)


class Certbot:
    """Decide as certbot of a version does whether to renew (storage.py before 4.1, renewal.py since)."""

    def __init__(self, version: tuple[int, ...], *, ca_has_windows: bool, random: Random) -> None:
        self._version, self._random, self._asked_at = version, random, BEGIN - DAY
        self._reads_windows = ca_has_windows and version >= (4, 1)

    def renews(self, certificate: Certificate, now: datetime) -> bool:
        life, left = certificate.not_after - certificate.not_before, certificate.not_after - now
        if self._version < (4,):
            return left < 30 * DAY
        if self._reads_windows and now - self._asked_at >= 6 * HOUR:
            self._asked_at = now
            window = window_of(certificate)
            assert window.start
            assert window.end
            return now > window.start + (window.end - window.start) * self._random.random()
        return left < (life / 2 if life < 10 * DAY else life / 3)


@given(
    life=st.sampled_from(LIVES),
    version=st.sampled_from(VERSIONS),
    window_is_known=st.booleans(),
    seed=st.integers(0, 2**32),
    last_renewal=st.integers(0, RUNS),
)
@settings(max_examples=60, deadline=None)
def test_400_days_of_debians_timer_raise_no_alarm_and_a_certbot_that_stops_raises_one_in_time(
    life: timedelta, version: tuple[int, ...], window_is_known: bool, seed: int, last_renewal: int
) -> None:
    random = Random(seed)  # noqa: S311 - a timer's jitter
    certbot = Certbot(version, ca_has_windows=window_is_known, random=random)
    certificate = issued(BEGIN, life)

    def verdict(now: datetime) -> tuple[Verdict, str] | None:
        window = window_of(certificate) if window_is_known else None
        return ages.verdict(certificate, now, renewal=Renewal(window, certbot_version=version))

    for number in range(last_renewal):
        now = BEGIN + number * 12 * HOUR + random.choice([0.0, 1.0, random.random()]) * 12 * HOUR
        assert verdict(now) is None, f"run {number}: {verdict(now)}"
        if certbot.renews(certificate, now):
            certificate = issued(now, life)

    overdue_at = ages.overdue_at(
        certificate, Renewal(window_of(certificate) if window_is_known else None, None, version)
    )
    told = verdict(overdue_at + SECOND)
    assert told
    assert told[0] is Verdict.EXPIRING
    assert certificate.not_after - overdue_at > life / 4


@pytest.mark.parametrize(
    ("days", "version", "days_left"),
    [
        pytest.param(6, (4, 0, 0), 3, id="below ten days: half of its life"),
        pytest.param(45, (4, 0, 0), 15, id="a third of its life"),
        pytest.param(90, (), 30, id="unknown certbot: the newest one's rule"),
        pytest.param(45, (2, 1, 0), 30, id="before certbot 4: 30 days"),
        pytest.param(398, (2, 1, 0), 30, id="before certbot 4, a long life: 30 days"),
    ],
)
def test_without_a_window_it_is_overdue_a_day_of_the_timer_after_certbots_own_rule(
    days: int, version: tuple[int, ...], days_left: int
) -> None:
    certificate, rule = issued(BEGIN, days * DAY), Renewal(certbot_version=version)
    overdue_at = certificate.not_after - days_left * DAY + 25 * HOUR

    assert ages.verdict(certificate, overdue_at, renewal=rule) is None
    told = ages.verdict(certificate, overdue_at + SECOND, renewal=rule)
    assert told
    assert told[0] is Verdict.EXPIRING
    assert "certbot renews it before" in told[1]


def test_the_ca_s_window_comes_before_certbots_rule() -> None:
    certificate = issued(BEGIN, 90 * DAY)
    rule = Renewal(RenewalWindow("a", BEGIN + 10 * DAY, BEGIN + 12 * DAY))

    assert ages.overdue_at(certificate, rule) == BEGIN + 12 * DAY + 25 * HOUR
    told = ages.verdict(certificate, BEGIN + 14 * DAY, renewal=rule)
    assert told
    assert "its CA wants it renewed before" in told[1]
    silent = Renewal(RenewalWindow("a", problem="silent"))
    assert ages.overdue_at(certificate, silent) == BEGIN + 60 * DAY + 25 * HOUR


def test_what_the_operator_wrote_into_the_renewal_file_is_certbots_rule() -> None:
    certificate, window = issued(BEGIN, 90 * DAY), RenewalWindow("a", BEGIN + 58 * DAY, BEGIN + 62 * DAY)

    assert ages.due_at(certificate, Renewal(renew_before=10 * DAY)) == BEGIN + 80 * DAY
    assert ages.due_at(certificate, Renewal(window, 10 * DAY, (2, 1, 0))) == BEGIN + 80 * DAY
    assert ages.due_at(certificate, Renewal(window, 10 * DAY, (5, 8, 0))) == window.end


def test_where_life_is_too_short_for_the_timer_half_of_what_is_left_is_waited_for() -> None:
    certificate = issued(BEGIN, 2 * DAY)

    assert ages.overdue_at(certificate, Renewal()) == BEGIN + 36 * HOUR
    assert (
        ages.overdue_at(certificate, Renewal(RenewalWindow("a", BEGIN, certificate.not_after))) == certificate.not_after
    )


@pytest.mark.parametrize(("days", "days_left"), [(90, 21), (398, 21), (45, 15 - 25 / 24), (6, 3 - 25 / 24)])
def test_what_nobody_is_known_to_renew_is_expiring_at_21_days_or_where_certbot_would_be_late(
    days: int, days_left: float
) -> None:
    certificate = issued(BEGIN, days * DAY)
    at = certificate.not_after - days_left * DAY

    assert ages.verdict(certificate, at) is None
    assert ages.verdict(certificate, at + SECOND)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30 days", 30 * DAY),
        ("30", 30 * DAY),
        ("1 week 2 days", 9 * DAY),
        ("3 days, 4 hours", 3 * DAY + 4 * HOUR),
        ("2w", 14 * DAY),
        ("", None),
        ("soon", None),
        ("5 fortnights", None),
        ("-3 days", None),
    ],
)
def test_an_interval_is_read_as_certbot_reads_it_or_not_at_all(text: str, expected: timedelta | None) -> None:
    assert rules.interval(text) == expected


def renewal_file(head: str = "", params: str = "authenticator = webroot\n") -> RenewalFile:
    from pathlib import Path

    return parse(Path("/etc/letsencrypt/renewal/a.conf"), f"{head}[renewalparams]\n{params}")


def test_the_rule_is_that_of_the_newer_of_the_certbot_that_wrote_the_file_and_the_one_at_hand() -> None:
    file = renewal_file("version = 2.1.0\nrenew_before_expiry = 40 days\n")

    (old,) = rules.of_lineages([file], (), ()).values()
    (new,) = rules.of_lineages([file], (), (5, 8, 0)).values()

    assert (old.certbot_version, old.renew_before) == ((2, 1, 0), 40 * DAY)
    assert new.certbot_version == (5, 8, 0)


@pytest.mark.parametrize("params", ["", "authenticator = webroot\nautorenew = False\n"])
def test_what_certbot_does_not_renew_has_no_rule(params: str) -> None:
    assert rules.of_lineages([renewal_file(params=params)], (), ()) == {}

"""Certificates that live 6 or 45 days, from a CA that says when it wants them renewed (RFC 9773)."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exodus_certbot import deploy
from exodus_certbot.settings import Settings
from exodus_common.clock import SystemClock
from tests.integration.conftest import StartNginx
from tests.parts.certbot import certbots
from tests.parts.command import ExodusCertbot, Ran
from tests.parts.configuration import workers_as_myself
from tests.parts.site import NAME, Issued, Site, issued_with

DAY = timedelta(days=1)
# The whole matrix with `make test-all`, a pair of it with `make test`.
PAIRS = [
    pytest.param((6, "newest"), id="6-days-newest"),
    pytest.param((45, "2.1.0"), id="45-days-2.1.0"),
    *(
        pytest.param((days, version), id=f"{days}-days-{version}", marks=pytest.mark.full)
        for days, version in [(6, "2.1.0"), (6, "4.0.0"), (45, "4.0.0"), (45, "newest")]
    ),
]


@pytest.fixture(scope="module", params=PAIRS)
def short(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Issued]]:
    """Issue one certificate that lives so many days."""
    days, version = request.param
    folder = tmp_path_factory.mktemp("short")
    with issued_with(certbots()[version], folder, newest_pebble=True, lifetime_days=days) as issued:
        yield days, issued


@pytest.fixture
def site(short: tuple[int, Issued], tmp_path: Path, start_nginx: StartNginx, exodus_certbot: ExodusCertbot) -> Site:
    """Serve a copy of what was issued."""
    site = Site.copied_from(short[1], tmp_path, exodus_certbot)
    start_nginx(site.configuration(), main=workers_as_myself())
    return site


class Later(SystemClock):
    """The machine's clock, ahead by so much."""

    def __init__(self, by: timedelta) -> None:
        self._by = by

    def now(self) -> datetime:
        return super().now() + self._by


def trusting(site: Site) -> dict[str, str]:
    return {"REQUESTS_CA_BUNDLE": str(site.certbot.pebble.ca_bundle)}


def window_of(checked: Ran) -> tuple[datetime, datetime]:
    (renewal,) = checked.json["renewals"]
    assert (renewal["lineage"], renewal["problem"]) == (NAME, "")
    start, end = (datetime.fromisoformat(renewal[name]) for name in ("start", "end"))
    return start, end


def test_the_plugin_has_a_short_lived_certificate_served_and_nothing_is_alarmed(
    site: Site, exodus_certbot: ExodusCertbot, short: tuple[int, Issued]
) -> None:
    site.certbot.use_plugin(NAME)
    before = site.on_disk()

    renewed = site.certbot.renew()
    checked = exodus_certbot("check", "--json")

    assert renewed.exit_code == 0, renewed.all_output
    assert site.served() == {site.on_disk()} != {before}
    assert (checked.exit_code, checked.json["verdict"]) == (0, "ok")
    (row,) = checked.json["listeners"]
    left = datetime.fromisoformat(row["not_after"]) - datetime.now(UTC)
    assert short[0] * DAY - timedelta(hours=1) < left <= short[0] * DAY


def test_the_alarm_comes_a_day_of_the_timer_after_certbots_own_rule_where_the_ca_is_silent(
    site: Site, exodus_certbot: ExodusCertbot, short: tuple[int, Issued]
) -> None:
    settings = Settings(nginx_conf=str(exodus_certbot.conf), certbot_dir=exodus_certbot.certbot_dir)
    life = short[0] * DAY
    overdue = (life / 2 if short[0] < 10 else life * 2 / 3) + timedelta(hours=25)

    verdicts = [
        deploy.check(settings, Later(by), {"STATE_DIRECTORY": str(exodus_certbot.state_dir)}).listeners[0].verdict
        for by in (overdue - timedelta(hours=1), overdue + timedelta(hours=1), life + timedelta(hours=1))
    ]

    assert verdicts == ["ok", "expiring", "expired"]


def test_the_alarm_comes_a_day_of_the_timer_after_the_cas_window(
    site: Site, exodus_certbot: ExodusCertbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(site.certbot.pebble.ca_bundle))
    settings = Settings(nginx_conf=str(exodus_certbot.conf), certbot_dir=exodus_certbot.certbot_dir)
    environ = {"STATE_DIRECTORY": str(exodus_certbot.state_dir)}
    report = deploy.check(settings, SystemClock(), environ)
    (end,) = [window.end for window in report.renewals if window.end]
    left = report.listeners[0].not_after - end if report.listeners[0].not_after else DAY
    slack = min(timedelta(hours=25), left / 2)

    def reconciled(by: timedelta) -> str:
        """Ask nobody: the window is remembered."""
        return deploy.reconcile(settings, Later(by), environ).listeners[0].verdict

    until_end = end - datetime.now(UTC)
    assert reconciled(until_end + slack - timedelta(hours=1)) == "ok"
    assert reconciled(until_end + slack + timedelta(hours=1)) == "expiring"


def test_check_shows_when_the_ca_wants_it_renewed_and_asks_again_only_when_told(
    site: Site, exodus_certbot: ExodusCertbot, short: tuple[int, Issued]
) -> None:
    life = short[0] * DAY
    asked_before = site.certbot.pebble.requests

    first = exodus_certbot("check", "--json", env=trusting(site))
    asked_once = site.certbot.pebble.requests
    text = exodus_certbot("check", env=trusting(site))

    start, end = window_of(first)
    ideal = datetime.now(UTC) + life * 2 / 3
    assert start < ideal < end
    assert end - start == 2 * DAY
    assert asked_once > asked_before
    assert f"renewal of {NAME}: its CA suggests {start:%Y-%m-%dT%H:%M:%SZ} to {end:%Y-%m-%dT%H:%M:%SZ}" in text.stdout
    assert site.certbot.pebble.requests == asked_once


def test_a_ca_that_is_not_trusted_or_not_there_hides_nothing_else(site: Site, exodus_certbot: ExodusCertbot) -> None:
    checked = exodus_certbot("check", "--json", "--timeout", "20")

    assert (checked.exit_code, checked.json["verdict"]) == (0, "ok")
    (renewal,) = checked.json["renewals"]
    assert renewal["start"] is None
    assert "did not answer" in renewal["problem"]


def test_doctor_says_when_the_cas_window_has_passed_and_not_before(
    site: Site, exodus_certbot: ExodusCertbot, monkeypatch: pytest.MonkeyPatch, short: tuple[int, Issued]
) -> None:
    from exodus_certbot import doctor

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(site.certbot.pebble.ca_bundle))
    settings = Settings(nginx_conf=str(exodus_certbot.conf), certbot_dir=exodus_certbot.certbot_dir)
    _, end = window_of(exodus_certbot("check", "--json", env=trusting(site)))

    def overdue(after_window: timedelta) -> list[str]:
        clock = Later(end + after_window - datetime.now(UTC))
        environ = {"STATE_DIRECTORY": str(exodus_certbot.state_dir), "PATH": "/usr/bin:/bin"}
        return [one.remedy for one in doctor.doctor(settings, clock, environ) if "overdue" in one.message]

    assert not overdue(-timedelta(hours=1))
    assert not overdue(timedelta(minutes=10))
    assert overdue(timedelta(hours=25)) == [f"certbot renew --cert-name {NAME}"]


def test_a_memory_of_windows_that_is_damaged_is_made_anew(site: Site, exodus_certbot: ExodusCertbot) -> None:
    window = window_of(exodus_certbot("check", "--json", env=trusting(site)))
    memory = exodus_certbot.state_dir / "ari.json"
    kept = json.loads(memory.read_text())
    (key,) = kept

    for damaged in (
        "",
        "[]",
        '{"a": 1}',
        json.dumps({key: {"ask_again_at": "soon"}}),
        json.dumps({key: kept[key] | {"start": ""}}),
    ):
        memory.write_text(damaged)
        assert window_of(exodus_certbot("check", "--json", env=trusting(site))) == window

"""Timers that are off or failing are told, and those that are on are not."""

from exodus_certbot.certbot import timers
from exodus_certbot.certbot.timers import Units
from exodus_certbot.findings import Finding, Severity


def machine(*, certbot: str = "active", ours: str = "active", result: str = "success", loaded: str = "loaded") -> Units:
    return {
        "certbot.timer": {"LoadState": loaded, "ActiveState": certbot},
        "snap.certbot.renew.timer": {"LoadState": "not-found", "ActiveState": "inactive"},
        "exodus-certbot.timer": {"LoadState": loaded, "ActiveState": ours},
        "certbot.service": {"Result": result},
        "exodus-certbot.service": {"Result": "success"},
    }


def told(units: Units | None) -> list[Finding]:
    return [one for one in timers.findings_of(units) if one.severity is not Severity.OK]


def test_nothing_is_told_where_both_timers_are_on() -> None:
    assert told(machine()) == []


def test_without_certbots_timer_nothing_renews() -> None:
    (found,) = told(machine(certbot="inactive"))

    assert (found.severity, found.message) == (Severity.CRITICAL, "is off: nothing renews")
    assert found.remedy == "systemctl enable --now certbot.timer"


def test_without_our_timer_a_missed_reload_stays_missed() -> None:
    (found,) = told(machine(ours="inactive"))

    assert (found.severity, found.subject) == (Severity.WARNING, "exodus-certbot.timer")
    assert found.remedy == "systemctl enable --now exodus-certbot.timer"
    assert timers.is_on(machine(), timers.OURS)
    assert not timers.is_on(machine(ours="failed"), timers.OURS)


def test_timers_that_are_not_installed_are_told_as_such() -> None:
    certbots, ours = told(machine(certbot="inactive", ours="inactive", loaded="not-found"))

    assert (certbots.severity, "cannot be known" in certbots.message) == (Severity.WARNING, True)
    assert "install" in ours.remedy


def test_snaps_timer_counts_as_well() -> None:
    snap = {"snap.certbot.renew.timer": {"LoadState": "loaded", "ActiveState": "active"}}

    assert told({**machine(certbot="inactive"), **snap}) == []


def test_a_service_whose_last_run_failed_is_critical() -> None:
    (found,) = told(machine(result="exit-code"))

    assert (found.severity, found.subject) == (Severity.CRITICAL, "certbot.service")
    assert found.remedy.startswith("journalctl --unit certbot.service")


def test_without_systemd_nothing_is_known() -> None:
    (found,) = told(None)

    assert found.severity is Severity.WARNING
    assert not timers.is_on(None, timers.OURS)

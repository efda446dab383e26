"""The door to systemd's timers: whether something renews, and something repairs."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from exodus_certbot.findings import Finding, critical, ok, warning
from exodus_common import seeing
from exodus_common.errors import ExodusError
from exodus_common.process import run

OURS = "exodus-certbot.timer"
_CERTBOTS = ("certbot.timer", "snap.certbot.renew.timer")
_OUR_SERVICE = "exodus-certbot.service"
_SERVICES = ("certbot.service", "snap.certbot.renew.service", _OUR_SERVICE)
_CERTBOT = re.compile(r"(?<!exodus-)certbot\b")
_PROPERTIES = "Id,LoadState,ActiveState,Result,ExecStart"
_CRON = (Path("/etc/crontab"), Path("/etc/cron.d"), Path("/var/spool/cron/crontabs"))
_SECONDS = 10.0

Units = Mapping[str, Mapping[str, str]]
"""Map a unit's name to its properties, as systemd names them."""


def units() -> Units | None:
    """Ask systemd; None where there is none to be asked."""
    argv = ["systemctl", "show", f"--property={_PROPERTIES}", *_CERTBOTS, OURS, *_SERVICES]
    try:
        answered = run(argv, timeout_seconds=_SECONDS)
    except ExodusError:
        return None
    if answered.exit_code != 0:
        return None
    blocks = answered.stdout.decode("utf-8", "replace").split("\n\n")
    told = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
    return {unit["Id"]: unit for unit in told if "Id" in unit}


def commands(found: Units | None, cron: Iterable[Path] = _CRON) -> tuple[str, ...]:
    """Give the command lines by which systemd or cron runs certbot, as far as we may read them."""
    starts = [(found or {}).get(service, {}).get("ExecStart", "") for service in _SERVICES if service != _OUR_SERVICE]
    by_systemd = [start.partition("argv[]=")[2].partition(" ; ")[0] for start in starts]
    return tuple(line for line in (*by_systemd, *_cron_lines(cron)) if _CERTBOT.search(line))


def _cron_lines(places: Iterable[Path]) -> Iterator[str]:
    for place in places:
        with suppress(OSError):
            for file in sorted(place.iterdir()) if seeing.is_folder(place) else [place]:
                text = file.read_text("utf-8", "replace")
                yield from (line.strip() for line in text.splitlines() if not line.lstrip().startswith("#"))


def is_on(found: Units | None, timer: str) -> bool:
    """Tell whether a timer waits for its time."""
    return bool(found) and (found or {}).get(timer, {}).get("ActiveState") == "active"


def findings_of(found: Units | None) -> Iterator[Finding]:
    """Judge the timers, and how the last runs of what they start ended."""
    if not found:
        message = "there is no systemd to ask: whether anything runs certbot and reconcile cannot be known"
        yield warning("timers", message, "see that cron runs, often: exodus-certbot reconcile --quiet")
        return
    yield _certbots(found)
    if is_on(found, OURS):
        yield ok(OURS, "is on")
    else:
        yield warning(OURS, "is off: a reload that is missed stays missed", _switch_on(found, OURS))
    for service in _SERVICES:
        if found.get(service, {}).get("Result", "success") != "success":
            yield critical(service, "its last run failed", f"journalctl --unit {service} --since -2d")


def _certbots(found: Units) -> Finding:
    on = [timer for timer in _CERTBOTS if is_on(found, timer)]
    if on:
        return ok(on[0], "is on")
    there = [timer for timer in _CERTBOTS if found.get(timer, {}).get("LoadState") == "loaded"]
    if there:
        return critical(there[0], "is off: nothing renews", _switch_on(found, there[0]))
    message = "there is no timer of certbot's: whether anything renews cannot be known"
    return warning("certbot.timer", message, "see that cron, or a timer of yours, runs: certbot renew")


def _switch_on(found: Units, timer: str) -> str:
    if found.get(timer, {}).get("LoadState") == "loaded":
        return f"systemctl enable --now {timer}"
    return f"install {timer} (docs/install.md: the timer), then: systemctl enable --now {timer}"

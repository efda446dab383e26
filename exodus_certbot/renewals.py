"""Find out by which rule certbot renews what nginx uses, so that its age is judged by that, and whether it can."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from exodus_certbot.acme import ari
from exodus_certbot.certbot import renew_run, renewable, renewal_files, rules, standalone
from exodus_certbot.certbot.plans import Plans
from exodus_certbot.certbot.renewal_files import RenewalFile
from exodus_certbot.findings import Finding, critical
from exodus_certbot.inventory import Run
from exodus_certbot.model import Expectation, RenewalWindow
from exodus_certbot.nginx import listening
from exodus_certbot.settings import state_dir


def asked(
    run: Run, expected: Sequence[Expectation], environ: Mapping[str, str]
) -> tuple[Run, tuple[RenewalWindow, ...]]:
    """Ask the CAs for their windows, and give a run that judges by them, where they have none by certbot's own rule."""
    files = _files_of(run, expected)
    windows = information(run, environ).windows(files)
    return _judging_by(run, files, windows), windows


def remembered(run: Run, expected: Sequence[Expectation], environ: Mapping[str, str]) -> Run:
    """Give a run that judges by what the CAs said last; ask nobody."""
    files = _files_of(run, expected)
    return _judging_by(run, files, information(run, environ).remembered(files))


def information(run: Run, environ: Mapping[str, str]) -> ari.RenewalInformation:
    """Open the memory of the CAs' windows."""
    return ari.RenewalInformation(state_dir(environ) / ari.MEMORY, run.clock, run.deadline)


def prospects(run: Run, made: Plans) -> Iterator[Finding]:
    """Judge whether the next renewals can succeed."""
    if made.problem:
        see = "mend cli.ini (in /etc/letsencrypt, or below ~/.config); see: certbot renew --dry-run"
        yield critical("certbot", f"it rejects its own settings, and renews nothing: {made.problem}", see)
    scripts = (renew_run.scripts(run.certbot_dir, kind) for kind in ("pre", "post"))
    machine = renewable.Machine(partial(standalone.why_not, held=listening.held_places()), *scripts)
    for plan in made.plans:
        yield from renewable.findings_of(plan, machine)


def _files_of(run: Run, expected: Sequence[Expectation]) -> list[RenewalFile]:
    used: set[Path | None] = {item.pair.lineage for item in expected if item.pair is not None}
    return [file for file in renewal_files.all_in(run.certbot_dir) if file.live in used]


def _judging_by(run: Run, files: Sequence[RenewalFile], windows: Sequence[RenewalWindow]) -> Run:
    return replace(run, renewals=rules.of_lineages(files, windows, rules.installed_version()))

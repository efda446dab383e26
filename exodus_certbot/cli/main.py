"""The command `exodus-certbot`: arguments in, one story called, outcome printed."""

import argparse
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

from exodus_certbot import adopt, findings, settings
from exodus_certbot.certbot import handover
from exodus_certbot.cli import options, report
from exodus_certbot.cli.report import Format
from exodus_certbot.model import Overall, Report
from exodus_certbot.settings import Settings
from exodus_common import program, stopping
from exodus_common.clock import SystemClock
from exodus_common.errors import ExodusError, SettingsInvalid, UsageError
from exodus_common.output import complain, say
from exodus_common.render import json_text, printable
from exodus_common.settings import Source

_NAME = "exodus-certbot"
_Environ = Mapping[str, str]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code, as CONTRACT.md has them."""
    return program.ended(_NAME, partial(_run, argv))


def _run(argv: Sequence[str] | None) -> int:
    arguments = options.parser().parse_args(argv)
    level = logging.INFO if arguments.verbose else logging.WARNING
    logging.basicConfig(level=level, format=f"{_NAME}: %(message)s")
    try:
        source = settings.source(arguments.config, os.environ)
        chosen = options.overriding(source.build(Settings), arguments)
        options.refuse_what_is_missing(chosen, arguments, source.file)
        if arguments.command == "config":
            return _config(arguments, source, chosen)
        with stopping.heard(), _packages():
            return _FACES[arguments.command](arguments, chosen, os.environ)
    except (UsageError, SettingsInvalid) as error:
        if arguments.format == "nagios":
            return _fail(error, arguments)
        complain(f"{_NAME}: {printable(str(error))}")
        return error.exit_code
    except ExodusError as error:
        return _fail(error, arguments)


def _config(arguments: argparse.Namespace, source: Source, chosen: Settings) -> int:
    from exodus_common import in_force  # every other command starts faster without it

    as_json = arguments.format == "json"
    if arguments.show:
        say(in_force.shown(source, chosen, options.given(arguments), as_json=as_json))
    elif not arguments.quiet:
        say(in_force.checked(source, as_json=as_json))
    return 0


def _check(arguments: argparse.Namespace, chosen: Settings, environ: _Environ) -> int:
    from exodus_certbot import deploy

    return _told(arguments, deploy.check(chosen, SystemClock(), environ))


def _reconcile(arguments: argparse.Namespace, chosen: Settings, environ: _Environ) -> int:
    from exodus_certbot import deploy

    return _told(arguments, deploy.reconcile(chosen, SystemClock(), environ))


def _deploy(arguments: argparse.Namespace, chosen: Settings, environ: _Environ) -> int:
    from exodus_certbot import deploy

    lineages = _lineages(arguments, environ)
    if handover.plugin_does_it(lineages, environ):
        left = "left to certbot's plugin exodus-nginx, which this certbot calls next"
        return _told(arguments, Report(Overall.OK, left, reloaded=False, listeners=()))
    return _told(arguments, deploy.deploy(chosen, lineages, SystemClock(), environ))


def _preflight(arguments: argparse.Namespace, chosen: Settings, environ: _Environ) -> int:
    from exodus_certbot import preflight

    return _found(arguments, preflight.preflight(chosen, SystemClock(), arguments.names, arguments.webroot, environ))


def _doctor(arguments: argparse.Namespace, chosen: Settings, environ: _Environ) -> int:
    from exodus_certbot import doctor

    return _found(arguments, doctor.doctor(chosen, SystemClock(), environ))


def _adopt(arguments: argparse.Namespace, chosen: Settings, environ: _Environ) -> int:
    if bool(arguments.lineages) == arguments.all:
        raise UsageError("adopt: name lineages, or say --all")
    certbot_dir = chosen.certbot_dir or settings.DEFAULT_CERTBOT_DIR
    if not settings.is_folder(certbot_dir):
        raise ExodusError(f"no certbot here: {certbot_dir} does not exist; name certbot's folder with --certbot-dir")
    state = settings.state_dir(environ)
    changes = adopt.adopt(certbot_dir, state, arguments.lineages, environ, undo=arguments.undo)
    if arguments.format == "json":
        say(json_text({"verdict": Overall.OK, "lineages": changes}))
    elif not arguments.quiet:
        lines = [f"{change.lineage}: {change.message}" for change in changes] or ["certbot has no lineages here"]
        say("\n".join(printable(line) for line in lines))
    return 0


_FACES: dict[str, Callable[[argparse.Namespace, Settings, _Environ], int]] = {
    "deploy": _deploy,
    "reconcile": _reconcile,
    "check": _check,
    "preflight": _preflight,
    "doctor": _doctor,
    "adopt": _adopt,
}


@contextmanager
def _packages() -> Iterator[None]:
    """Say which package is missing: the base distribution requires none (docs/decisions/0002)."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise ExodusError(
            f"the Python package {package} is missing: apt install python3-{package}, "
            "or pip install 'exodus-certbot[certbot]'"
        ) from error


def _lineages(arguments: argparse.Namespace, environ: _Environ) -> list[Path]:
    named = arguments.lineage or [Path(environ[name]) for name in ("RENEWED_LINEAGE",) if environ.get(name)]
    if not named:
        raise UsageError("deploy: name a lineage with --lineage, or let certbot set RENEWED_LINEAGE")
    return cast(list[Path], named)


def _told(arguments: argparse.Namespace, outcome: Report) -> int:
    """Print what a story reports."""
    if not (arguments.quiet and outcome.verdict in (Overall.OK, Overall.WARNING)):
        every_row = arguments.command == "check" or arguments.verbose
        say(report.show(outcome, arguments.format, every_row=every_row))
    return report.exit_code(outcome, arguments.format)


def _found(arguments: argparse.Namespace, found: tuple[findings.Finding, ...]) -> int:
    """Print what a story found."""
    is_fine = findings.verdict(found) in (Overall.OK, Overall.WARNING)
    if not (arguments.quiet and is_fine):
        say(findings.show(found, as_json=arguments.format == "json"))
    return 0 if is_fine else 1


def _fail(error: ExodusError, arguments: argparse.Namespace) -> int:
    """Report an error in the format that was asked for, so that whoever reads it need not read two."""
    output: Format = arguments.format
    verdict = getattr(error, "verdict", Overall.UNKNOWN)
    outcome = Report(verdict, str(error), reloaded=False, listeners=())
    if output == "text":
        complain(f"{_NAME}: {printable(str(error))}")
    elif arguments.command in ("preflight", "doctor"):
        say(findings.show((findings.critical("exodus-certbot", str(error), "see the message"),), as_json=True))
    else:
        say(report.show(outcome, output))
    return report.exit_code(outcome, output) if output == "nagios" else error.exit_code

"""The command `exodus-certbot`: arguments in, one story called, outcome printed."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import cast

from exodus_certbot import __version__, adopt, handover, report, settings
from exodus_certbot.model import Overall, Report
from exodus_certbot.report import Format
from exodus_certbot.settings import Settings
from exodus_common.clock import SystemClock
from exodus_common.errors import ExodusError, SettingsInvalid, UsageError
from exodus_common.render import json_text, printable


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code, as CONTRACT.md has them."""
    # Ignored by whoever started us, it would make every program we run look as if it had exited with 0.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    arguments = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if arguments.verbose else logging.WARNING, format="exodus-certbot: %(message)s"
    )
    try:
        if arguments.command == "adopt":
            return _adopt(arguments, os.environ)
        outcome = _run(arguments, os.environ)
    except (UsageError, SettingsInvalid) as error:
        print(f"exodus-certbot: {printable(str(error))}", file=sys.stderr)
        return error.exit_code
    except ExodusError as error:
        return _fail(error, arguments.format)
    if not (arguments.quiet and outcome.verdict in (Overall.OK, Overall.WARNING)):
        every_row = arguments.command == "check" or arguments.verbose
        _print(report.show(outcome, arguments.format, every_row=every_row))
    return report.exit_code(outcome, arguments.format)


def _run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Report:
    chosen, clock = _settings(arguments, environ), SystemClock()
    try:
        from exodus_certbot import deploy
    except ModuleNotFoundError as error:
        # The base distribution requires nothing (docs/decisions/0002), so `cryptography` may be missing.
        raise ExodusError(
            f"the Python package {error.name} is missing: apt install python3-cryptography, "
            "or pip install 'exodus-certbot[certbot]'"
        ) from error
    if arguments.command == "check":
        return deploy.check(chosen, clock)
    if arguments.command == "reconcile":
        return deploy.reconcile(chosen, clock, environ)
    lineages = _lineages(arguments, environ)
    if handover.plugin_does_it(lineages, environ):
        left = "left to certbot's plugin exodus-nginx, which this certbot calls next"
        return Report(Overall.OK, left, reloaded=False, listeners=())
    return deploy.deploy(chosen, lineages, clock, environ)


def _adopt(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    if bool(arguments.lineages) == arguments.all:
        raise UsageError("adopt: name lineages, or say --all")
    certbot_dir = _settings(arguments, environ).certbot_dir or settings.DEFAULT_CERTBOT_DIR
    changes = adopt.adopt(certbot_dir, settings.state_dir(environ), arguments.lineages, undo=arguments.undo)
    if arguments.format == "json":
        _print(json_text({"verdict": Overall.OK, "lineages": changes}))
    elif not arguments.quiet:
        lines = [f"{change.lineage}: {change.message}" for change in changes] or ["certbot has no lineages here"]
        _print("\n".join(printable(line) for line in lines))
    return 0


def _lineages(arguments: argparse.Namespace, environ: Mapping[str, str]) -> list[Path]:
    named = arguments.lineage or [Path(environ[name]) for name in ("RENEWED_LINEAGE",) if environ.get(name)]
    if not named:
        raise UsageError("deploy: name a lineage with --lineage, or let certbot set RENEWED_LINEAGE")
    return cast(list[Path], named)


def _settings(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    """Let options on the command line replace what the settings file says."""
    from_file = settings.load(arguments.config, environ)
    named = {field.name: getattr(arguments, field.name, None) for field in fields(Settings)}
    try:
        return replace(from_file, **{name: value for name, value in named.items() if value is not None})
    except ValueError as error:
        raise UsageError(str(error)) from error


def _fail(error: ExodusError, output: Format) -> int:
    """Report an error in the format that was asked for, so that whoever reads it need not read two."""
    verdict = getattr(error, "verdict", Overall.UNKNOWN)
    outcome = Report(verdict, str(error), reloaded=False, listeners=())
    if output == "text":
        print(f"exodus-certbot: {printable(str(error))}", file=sys.stderr)
    else:
        _print(report.show(outcome, output))
    return report.exit_code(outcome, output) if output == "nagios" else error.exit_code


def _print(text: str) -> None:
    # certbot gives up a lineage whose hook prints what is not UTF-8: ASCII always is.
    sys.stdout.write(text.encode("ascii", "backslashreplace").decode("ascii") + "\n")


def _parser() -> argparse.ArgumentParser:
    common = _common_options()
    parser = argparse.ArgumentParser(
        prog="exodus-certbot",
        description="Make nginx serve the certificate that is on disk, and prove it over TLS.",
        epilog="Exit codes: 0 done, 1 promise not kept, 2 wrong usage, 75 try later, 78 settings are wrong.",
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.set_defaults(format="text", quiet=False, verbose=False, config=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    story = commands.add_parser("deploy", parents=[common], help="the deploy hook: validate, reload, verify")
    story.add_argument(
        "--lineage",
        metavar="DIR",
        action="append",
        type=Path,
        help="a lineage, such as /etc/letsencrypt/live/example.org (may be repeated; default: $RENEWED_LINEAGE)",
    )
    commands.add_parser("reconcile", parents=[common], help="repair what is served wherever it is not what is on disk")
    look = commands.add_parser("check", parents=[common], help="compare what is served with what is on disk; read-only")
    taken = commands.add_parser(
        "adopt", parents=[common], help="have certbot call the plugin exodus-nginx for lineages"
    )
    taken.add_argument("lineages", metavar="LINEAGE", nargs="*", help="its name, or its folder")
    taken.add_argument("--all", action="store_true", help="all whose installer is none or nginx")
    taken.add_argument("--undo", action="store_true", help="put back what was there before")
    look.add_argument("--format", choices=("text", "json", "nagios", "prometheus"), default=argparse.SUPPRESS)
    return parser


def _common_options() -> argparse.ArgumentParser:
    """Make the options that may stand before or after the command; absent ones leave no trace."""
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--config", metavar="FILE", type=Path, help=f"settings (default: {settings.DEFAULT_FILE})")
    options.add_argument("--nginx", metavar="BINARY", help="the nginx program (default: the one on PATH)")
    options.add_argument("--nginx-conf", metavar="FILE", help="its main configuration file (default: its built-in one)")
    options.add_argument("--certbot-dir", metavar="DIR", type=Path, help="certbot's folder (default: /etc/letsencrypt)")
    options.add_argument("--connect", metavar="ADDRESS", help="ask this address in place of the listen address")
    options.add_argument(
        "--timeout",
        metavar="SECONDS",
        dest="timeout_seconds",
        type=float,
        help="end a run after this time (default: 60)",
    )
    options.add_argument("--json", dest="format", action="store_const", const="json", help="print JSON")
    options.add_argument("-q", "--quiet", action="store_true", help="print nothing when all is well")
    options.add_argument("-v", "--verbose", action="store_true", help="tell each step on standard error")
    return options


if __name__ == "__main__":
    sys.exit(main())

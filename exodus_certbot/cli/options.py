"""What the command line of `exodus-certbot` may say."""

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from exodus_certbot import settings
from exodus_certbot.settings import Settings
from exodus_common import __version__
from exodus_common.errors import SettingsInvalid, UsageError

_HELP = {
    "deploy": "the deploy hook: validate, reload, verify",
    "reconcile": "repair what is served wherever it is not what is on disk",
    "check": "compare what is served with what is on disk; read-only",
    "preflight": "before renewing: would the CA's challenge be answered?",
    "doctor": "find out why a renewal could go wrong; read-only",
    "adopt": "have certbot call the plugin exodus-nginx for lineages",
    "config": "the settings: whether they are right, or which are in force and where each comes from",
}


def parser() -> argparse.ArgumentParser:
    """Describe the commands and their options, which CONTRACT.md fixes."""
    parser = argparse.ArgumentParser(
        prog="exodus-certbot",
        description="Make nginx serve the certificate that is on disk, and prove it over TLS.",
        epilog="Exit codes: 0 done, 1 promise not kept, 2 wrong usage, 75 try later, 78 settings are wrong.",
        parents=[_common_options()],
    )
    parser.set_defaults(format="text", quiet=False, verbose=False, config=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    of = {name: commands.add_parser(name, parents=[_common_options()], help=text) for name, text in _HELP.items()}
    of["deploy"].add_argument(
        "--lineage",
        metavar="DIR",
        action="append",
        type=Path,
        help="a lineage, such as /etc/letsencrypt/live/example.org (may be repeated; default: $RENEWED_LINEAGE)",
    )
    of["check"].add_argument("--format", choices=("text", "json", "nagios", "prometheus"), default=argparse.SUPPRESS)
    of["preflight"].add_argument("names", metavar="NAME", nargs="*", help="default: all that certbot renews that way")
    of["preflight"].add_argument("--webroot", metavar="DIR", type=Path, help="default: the one in the renewal file")
    of["adopt"].add_argument("lineages", metavar="LINEAGE", nargs="*", help="its name, or its folder")
    of["adopt"].add_argument("--all", action="store_true", help="all whose installer is none or nginx")
    of["adopt"].add_argument("--undo", action="store_true", help="put back what was there before")
    which = of["config"].add_mutually_exclusive_group(required=True)
    which.add_argument("--check", action="store_true", help="whether they are right")
    which.add_argument("--show", action="store_true", help="each, with where it comes from; secrets are not shown")
    return parser


def _common_options() -> argparse.ArgumentParser:
    """Make the options that may stand before or after the command; absent ones leave no trace.

    Each parser needs its own: the default that `set_defaults` gives one of them would be that of all who share it.
    """
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
    options.add_argument("--version", action="version", version=f"exodus-certbot {__version__}")
    return options


def overriding(from_file: Settings, arguments: argparse.Namespace) -> Settings:
    """Let options replace what the settings file says."""
    try:
        return replace(from_file, **given(arguments))
    except ValueError as error:
        raise UsageError(str(error)) from error


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Give the settings that options were given for."""
    named = {field.name: getattr(arguments, field.name, None) for field in fields(Settings)}
    return {name: value for name, value in named.items() if value is not None}


def refuse_what_is_missing(chosen: Settings, arguments: argparse.Namespace, file: Path) -> None:
    """Raise SettingsInvalid where a path that was set leads nowhere, and UsageError where the command's own does."""
    for key, problem in settings.missing(chosen):
        is_option = getattr(arguments, key, None) is not None
        raise SettingsInvalid(f"--{key.replace('_', '-')}: {problem}" if is_option else f"{file}: {key}: {problem}")
    webroot = getattr(arguments, "webroot", None)
    if webroot is not None and not settings.is_folder(webroot):
        raise UsageError(f"--webroot: found {str(webroot)!r}, no folder; allowed: the folder that nginx serves")

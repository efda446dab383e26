"""The command `exodus-storage-guard`: arguments in, one story called, errors told once."""

import argparse
import logging
import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Literal

from exodus_common import program, stopping
from exodus_common.errors import ExodusError, SettingsInvalid, UsageError
from exodus_common.output import complain, say
from exodus_common.render import json_text, nagios, printable
from exodus_common.settings import Source
from exodus_storage_guard import privileges, settings
from exodus_storage_guard.cli import options, roots_file
from exodus_storage_guard.cli.commands import FACES, read_list
from exodus_storage_guard.cli.context import Context
from exodus_storage_guard.errors import UploadRefused, Why
from exodus_storage_guard.model import Verdict

_NAME = "exodus-storage-guard"
_UNKNOWN: Literal[3] = 3


def main(argv: list[str] | None = None) -> int:
    """Run the command; give its exit code, as CONTRACT.md has them."""
    return program.ended(_NAME, partial(_run, argv))


def _run(argv: list[str] | None) -> int:
    arguments = options.parser().parse_args(argv)
    level = logging.INFO if arguments.verbose else logging.WARNING
    logging.basicConfig(level=level, format=f"{_NAME}: %(message)s")
    return _told(arguments, partial(_begun, arguments))


def _begun(arguments: argparse.Namespace) -> int:
    source = settings.source(arguments.config, os.environ)
    found = source.build(settings.Settings)
    if arguments.command == "init" or getattr(arguments, "check", False):
        from exodus_storage_guard.cli import readable  # every other command starts faster without it

        readable.see_that_the_guard_can_read(source, found)
    if arguments.command == "config":
        return _config(arguments, source, found)
    read_list(arguments)
    target = options.written(arguments)
    if target and privileges.will_change(found.state, found.admission.socket):
        return roots_file.written(
            Path(target), lambda name: _told(arguments, partial(_as_guard, arguments, found, name))
        )
    return _as_guard(arguments, found, target)


def _config(arguments: argparse.Namespace, source: Source, found: settings.Settings) -> int:
    from exodus_common import in_force  # every other command starts faster without it

    if arguments.show:
        say(in_force.shown(source, found, as_json=arguments.json))
    elif not arguments.quiet:
        say(in_force.checked(source, as_json=arguments.json))
    return 0


def _told(arguments: argparse.Namespace, work: Callable[[], int]) -> int:
    """Do some work; give its exit code, and tell what went wrong."""
    try:
        return work()
    except UploadRefused as refusal:
        return _refuse(refusal, as_json=arguments.json)
    except ExodusError as error:
        if getattr(arguments, "format", "") == "nagios":
            say(nagios(_UNKNOWN, str(error), ()))
            return _UNKNOWN
        if arguments.json and not isinstance(error, UsageError | SettingsInvalid):
            say(json_text({"verdict": Verdict.CRITICAL, "reason": str(error)}))
        complain(f"{_NAME}: {printable(str(error))}")
        return error.exit_code


def _as_guard(arguments: argparse.Namespace, found: settings.Settings, target: str) -> int:
    """Run the verb as the user whose the state is, writing to that target where it writes to one."""
    options.write_to(arguments, target)
    with nullcontext() if arguments.command == "serve" else stopping.heard():  # uvicorn has its own way to end
        makes = arguments.command in ("init", "rebuild")
        privileges.become_owner(found.state, found.admission.socket, makes=makes)
        return FACES[arguments.command](Context(arguments, found))


def _refuse(refusal: UploadRefused, *, as_json: bool) -> int:
    if as_json:
        fields = {"refused": True, "reason": refusal.reason, "retry_after_seconds": refusal.retry_after_seconds}
        say(json_text(fields))
    else:
        complain(f"{_NAME}: refused: {printable(refusal.reason)}; {_when(refusal)}")
    return refusal.exit_code


def _when(refusal: UploadRefused) -> str:
    """Say when to come back, or who knows more: a plan knows of room, and of nothing that a setting refuses."""
    if refusal.retry_after_seconds is not None:
        return f"try again in {refusal.retry_after_seconds} s"
    return "no sweep can help" + (": see exodus-storage-guard plan" if refusal.why is Why.FULL else "")

"""Find out what certbot is going to do with each lineage: told by certbot itself, else read from its renewal files."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exodus_certbot import settings as our_settings
from exodus_certbot.certbot import as_certbot, hook_commands, links, renewal_files, typed_values
from exodus_certbot.certbot.plan import Plan
from exodus_certbot.certbot.renewal_files import RenewalFile
from exodus_common.errors import ExodusError
from exodus_common.process import run

_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Plans:
    """Hold the plan of every lineage; `problem` is why certbot itself rejects its own settings."""

    plans: tuple[Plan, ...]
    problem: str = ""


def made(certbot_dir: Path, python: str | None, environ: Mapping[str, str]) -> Plans:
    """Ask certbot by its own Python where that is known; what it does not answer is read."""
    told, problem = _asked(certbot_dir, python, environ) if python else ({}, "")
    paths = renewal_files.paths_in(certbot_dir)
    return Plans(tuple(_plan(path, told.get(str(path)), environ) for path in paths), problem)


def _asked(certbot_dir: Path, python: str, environ: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    clean = {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
    try:
        with tempfile.TemporaryDirectory() as scratch:
            argv = [python, "-P", as_certbot.__file__, str(certbot_dir), scratch]
            answered = run(argv, timeout_seconds=_SECONDS, env=clean)
        if answered.exit_code == os.EX_USAGE or b"certbot: error:" in answered.stderr:
            lines = answered.stderr.decode("utf-8", "replace").strip().splitlines()
            return {}, lines[-1].strip() if lines else "it does not say why"
        found = json.loads(answered.stdout.decode("utf-8", "replace").splitlines()[-1])
    except (ExodusError, OSError, ValueError, IndexError):
        return {}, ""
    return (found, "") if isinstance(found, dict) else ({}, "")


def _plan(path: Path, told: Any, environ: Mapping[str, str]) -> Plan:
    try:
        file = renewal_files.read(path)
    except ExodusError as error:
        return Plan(RenewalFile(path), str(error))
    problem, remedy = _read(file)
    if not isinstance(told, dict) or not links.can_be_seen(file):
        settings = typed_values.given(file.params)
        return Plan(file, problem, remedy, settings, faults=hook_commands.faults(settings, environ))
    settings = {name: text for name, value in told.get("settings", {}).items() if (text := _text(value))}
    account = settings.get("account")
    return Plan(
        file,
        _in_its_words(told.get("problem", ""), problem, file),
        remedy,
        settings,
        known=settings.get("known") != "False",
        has_account=not account or our_settings.is_folder(Path(settings.get("accounts_dir", "/")) / account),
        faults=hook_commands.faults(settings, environ),
    )


def _read(file: RenewalFile) -> tuple[str, str]:
    """Say why certbot passes over a lineage, as its files have it, and what mends that."""
    fault = links.fault(file) if links.can_be_seen(file) else ""
    if fault:
        return fault, links.remedy(file)
    if "authenticator" not in file.params:
        return "it names no authenticator", ""
    value = typed_values.fault(file.params)
    if value is None:
        return "", ""
    return value.message, f"in {file.path}, mend or take out the line `{value.option} = {value.value}`"


def _in_its_words(told: str, read: str, file: RenewalFile) -> str:
    """Give certbot's own complaint; of links and of what is missing we say more."""
    return told and (told if typed_values.fault(file.params) else read or told)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(str(each) for each in value)
    return "" if value is None else str(value)

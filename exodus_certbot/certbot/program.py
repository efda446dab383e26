"""The door to the certbot on PATH: whether its own Python can load our plugin."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exodus_common.errors import ExodusError
from exodus_common.process import run

# What certbot does with its entry points; `deploy` is what the plugin imports once it has work.
_QUESTION = """
from importlib.metadata import entry_points
found = [entry for entry in entry_points(group="certbot.plugins") if entry.name == "exodus-nginx"]
if not found:
    raise SystemExit("it is not installed there")
found[0].load()
import exodus_certbot.deploy
"""
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class CertbotProgram:
    """Name a certbot by the file on PATH, and the Python that runs it; None where that is not to be seen."""

    path: str
    python: str | None


def find_certbot(environ: Mapping[str, str]) -> CertbotProgram | None:
    """Find the certbot that a person or a timer gets; None where there is none."""
    path = shutil.which("certbot", path=f"{environ.get('PATH', os.defpath)}:/usr/local/bin:/usr/bin:/snap/bin")
    return CertbotProgram(path, _python_of(Path(path))) if path else None


def python_of_certbot(environ: Mapping[str, str]) -> str | None:
    """Find the Python of the certbot on PATH; None where there is no certbot, or it is no Python program."""
    found = find_certbot(environ)
    return found.python if found else None


def _python_of(script: Path) -> str | None:
    """Read the interpreter from a script's first line; pip writes a second one where the first would be too long."""
    try:
        with script.open("rb") as file:
            lines = file.read(2048).decode("utf-8", "replace").splitlines()[:2]
    except OSError:
        return None
    words = [line.removeprefix("#!").removeprefix("'''exec'").split() for line in lines if line[:2] in ("#!", "''")]
    named = [found[1] if found[0] == "/usr/bin/env" and len(found) > 1 else found[0] for found in words if found]
    pythons = [shutil.which(name.strip('"')) for name in named if "python" in Path(name.strip('"')).name]
    return next((python for python in pythons if python), None)


def why_not_loadable(python: str, environ: Mapping[str, str]) -> str:
    """Ask a certbot's own Python for our plugin; say why it cannot load it, nothing where it can.

    The environment is a timer's: without what a person's shell tells Python.
    """
    clean = {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
    try:
        answered = run([python, "-P", "-c", _QUESTION], timeout_seconds=_SECONDS, env=clean)
    except ExodusError as error:
        return str(error)
    lines = answered.stderr.decode("utf-8", "replace").strip().splitlines()
    return "" if answered.exit_code == 0 else (lines or [f"exit code {answered.exit_code}"])[-1]

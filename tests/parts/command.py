"""Run our command as an operator does: as a process of its own, with its real exit code and output."""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.parts import warm

ROOT = Path(__file__).resolve().parents[2]


@cache
def _code() -> Path:
    """Copy our code, and what it imports, to where everybody may read it: a checkout's home may be closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="exodus-code-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for package in (ROOT / "exodus_certbot", ROOT / "hooks/exodus_common"):
        shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("cryptography", "cffi", "_cffi_backend"):
        found = find_spec(name)
        if found is not None and found.submodule_search_locations:
            shutil.copytree(found.submodule_search_locations[0], folder / name)
        elif found is not None and found.origin:
            shutil.copy(found.origin, folder)
    for file in (folder, *folder.rglob("*")):
        file.chmod(0o755 if file.is_dir() else 0o644)
    return folder


def for_somebody_else(environment: Mapping[str, str]) -> dict[str, str]:
    """Give an environment in which another user runs this checkout's code."""
    return {**environment, "PYTHONPATH": str(_code())}


@dataclass(frozen=True)
class Ran:
    """What a command left."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Read standard output as JSON."""
        assert self.stdout, self.stderr
        return json.loads(self.stdout)

    def listed(self, *fields: str) -> list[tuple[Any, ...]]:
        """Give some fields of every listener in the JSON report, in an order that does not depend on nginx."""
        return sorted((tuple(row[field] for field in fields) for row in self.json["listeners"]), key=repr)

    @property
    def all_output(self) -> str:
        """Give whatever a person could see."""
        return self.stdout + self.stderr


@dataclass(frozen=True)
class ExodusCertbot:
    """Our command with the options that point it at an nginx and a certbot tree of the test's own."""

    conf: Path
    certbot_dir: Path
    state_dir: Path
    python: str = sys.executable

    @property
    def environment(self) -> dict[str, str]:
        """Give the environment the command runs in: this checkout's code, a state folder of the test's own."""
        paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'hooks'}", "STATE_DIRECTORY": str(self.state_dir)}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RENEWED_", "EXODUS_"))}
        return inherited | paths

    @property
    def program(self) -> list[str]:
        """Give what runs this checkout's command, without options."""
        return [self.python, "-P", "-m", "exodus_certbot"]

    def argv(self, *arguments: str) -> list[str]:
        """Give the whole command line."""
        return [*self.program, *arguments, "--nginx-conf", str(self.conf), "--certbot-dir", str(self.certbot_dir)]

    def __call__(self, *arguments: str, env: dict[str, str] | None = None, timeout: float = 90) -> Ran:
        """Run one command to its end."""
        done = warm.run(self.argv(*arguments), env=self.environment | (env or {}), timeout=timeout)
        return Ran(done.returncode, done.stdout.decode("ascii"), done.stderr.decode("utf-8", "replace"))

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start one command and leave it running."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.argv(*arguments), env=self.environment, stdout=pipe, stderr=pipe)

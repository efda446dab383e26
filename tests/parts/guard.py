"""A platform's store as the guard finds it: folders, settings, our command; all of the test's own."""

import hashlib
import json
import os
import random
import string
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exodus_common.clock import SystemClock
from exodus_storage_guard import settings
from exodus_storage_guard.tiering import sweep
from exodus_storage_guard.tiering.run import Run
from tests.parts import warm
from tests.parts.command import ROOT, Ran
from tests.parts.mounts import Namespace
from tests.parts.waiting import wait_until

DAY_SECONDS = 86400
MIB = 1024 * 1024


def apk_key(number: int, handle: str = "org.example.app") -> str:
    """Give a key as Exodus makes them: sixty random letters, and the app's handle."""
    letters = random.Random(number).choices(string.ascii_lowercase, k=60)  # noqa: S311 - no secret
    return f"{''.join(letters)}_{handle}{number}.apk"


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def swept(run: Run) -> sweep.Report:
    """Sweep down to the low mark, in this very process."""
    return sweep.sweep(run, None, premigrated_only=False, start_at_high=False, progress=lambda done, aim: None)


@dataclass(frozen=True)
class Guarded:
    """A store, an archive and a state in one folder, with the settings that name them."""

    folder: Path
    state_url: str | None = None

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    @property
    def state(self) -> Path:
        return self.folder / "state/state.db"

    @property
    def config(self) -> Path:
        return self.folder / "guard.toml"

    def write(self, **tables: dict[str, Any] | None) -> "Guarded":
        """Make the folders, and settings with these tables over the usual ones; None leaves a table out."""
        for place in (self.store, self.archive, self.state.parent):
            place.mkdir(parents=True, exist_ok=True)
        usual: dict[str, dict[str, Any]] = {
            "store": {"url": f"directory://{self.store}"},
            "archive": {"url": f"directory://{self.archive}"},
            "capacity": {"source": "budget", "total_bytes": "100 MiB"},
            "admission": {"emergency_reserve": "1 MiB"},
            "sweep": {"premigrate": "0%"},
            "state": {"url": self.state_url or f"sqlite:///{self.state}"},
        }
        for name, table in tables.items():
            if table is None:
                usual.pop(name)
            else:
                usual[name] = usual.get(name, {}) | table
        lines = []
        for name, table in usual.items():
            lines += [
                f"[{name}]",
                *(f"{key} = {json.dumps(value)}" for key, value in table.items() if value is not None),
            ]
        self.config.write_text("\n".join(lines) + "\n")
        return self

    def put(self, key: str, *, size: int = MIB, days: float = 400, content: bytes | None = None) -> Path:
        """Store an object that is so many days old."""
        path = self.store / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(os.fsencode(key)).randbytes(size) if content is None else content)  # noqa: S311
        at = time.time() - days * DAY_SECONDS
        os.utime(path, (at, at))
        return path

    def fill(self, count: int, *, size: int = MIB, oldest: float = 400, newest: float = 1) -> list[str]:
        """Store APKs of all ages between two, oldest first; give their keys in that order."""
        step = (oldest - newest) / max(1, count - 1)
        keys = [apk_key(number) for number in range(count)]
        for number, key in enumerate(keys):
            self.put(key, size=size, days=oldest - number * step)
        return keys

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EXODUS_")}
        inherited |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'hooks'}", "EXODUS_STORAGE_GUARD_CONFIG": str(self.config)}
        return inherited | {"PATH": f"{self.programs}:{os.environ['PATH']}"}

    @property
    def programs(self) -> Path:
        """Name the folder whose programs are found first."""
        return self.folder / "bin"

    def command(self, program: str) -> None:
        """Have a script be found as the command that an admission has make room."""
        self.programs.mkdir(exist_ok=True)
        file = self.programs / "exodus-storage-guard"
        file.write_text(program)
        file.chmod(0o755)

    def nobody_makes_room(self) -> None:
        """Have no sweep be started but those of a test."""
        self.command("#!/bin/sh\n")

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "exodus_storage_guard", *arguments]

    def __call__(self, *arguments: str, timeout: float = 60, stdin: bytes = b"") -> Ran:
        """Run one command to its end."""
        done = warm.run(self.argv(*arguments), env=self.environment, stdin=stdin, timeout=timeout)
        said, complained = done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode("utf-8", "replace")
        return Ran(done.returncode, said, complained)

    def powerless(self, *arguments: str) -> Ran:
        """Run one command as a user whom the modes of files bind, also where the tests are root's."""
        drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", "--"]
        argv = [*(drop if os.geteuid() == 0 else []), *self.argv(*arguments)]
        done = subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        return Ran(done.returncode, done.stdout, done.stderr)

    def inside(self, namespace: Namespace, *arguments: str) -> Ran:
        """Run one command in a mount namespace."""
        argv = namespace.argv(self.argv(*arguments))
        done = subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        return Ran(done.returncode, done.stdout, done.stderr)

    def run(self, **doors: Any) -> Run:
        """Open the doors in this very process, with some of them replaced."""
        return replace(Run.begin(settings.load(self.config, {}), SystemClock()), **doors)

    def is_at_work(self) -> bool:
        """Tell whether a command with these settings runs; between two steps the catalogue shows nothing of a sweep."""
        wanted = f"EXODUS_STORAGE_GUARD_CONFIG={self.config}".encode()
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # of somebody else's, or gone meanwhile
                if wanted in environment.read_bytes().split(b"\0"):
                    return True
        return False

    def wait_until_at_rest(self) -> None:
        """Wait until the sweeps have ended that uploads had started."""
        wait_until(lambda: not self.is_at_work(), "the sweeps that uploads had started did not end")

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start one command and leave it running."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.argv(*arguments), env=self.environment, stdout=pipe, stderr=pipe)

    def stored(self) -> set[str]:
        """Name what is in the store, as anybody sees it."""
        return {str(path.relative_to(self.store)) for path in self.store.rglob("*") if path.is_file()}

    def contents(self) -> dict[str, str]:
        """Map everything that is in the store to its SHA-256."""
        return {key: sha256_of(self.store / key) for key in self.stored()}

    def archived(self) -> dict[str, str]:
        """Map every copy in the archive to its SHA-256, as anybody with a shell finds them."""
        manifests = [path for path in self.archive.rglob("*.manifest.json") if ".exodus-" not in str(path)]
        return {
            json.loads(path.read_text())["key"]: sha256_of(path.with_name(path.name.removesuffix(".manifest.json")))
            for path in manifests
        }

    def lose_catalogue(self) -> None:
        """Lose all that the catalogue has."""
        for path in self.state.parent.iterdir():
            path.unlink()
        if self.state_url is not None:
            import psycopg  # late: the demo, which has no need of it, does without

            with psycopg.connect(self.state_url, autocommit=True) as connection:
                connection.execute("DROP SCHEMA exodus_storage_guard CASCADE")

    def states(self) -> dict[str, int]:
        """Count objects by state, as status tells."""
        objects = self("status", "--json").json["objects"]
        return {state: total["count"] for state, total in objects.items() if total["count"]}

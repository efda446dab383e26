"""The door to the command that makes room, which runs with the rights that the caller need not have."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from exodus_common.errors import ExodusError
from exodus_common.process import run
from exodus_common.terminal import printable
from exodus_storage_guard.errors import ObjectMissing, StoreFailed
from exodus_storage_guard.model import Need

_log = logging.getLogger(__name__)
_RELEASE_SECONDS, _FETCH_SECONDS = 60.0, 3600.0


class Sweeper(Protocol):
    """Make room on behalf of an admission."""

    def release(self, need: Need) -> None:
        """Release what is premigrated until there is so much room, and come back."""

    def look(self) -> None:
        """Have the store measured, which takes a secret that the caller need not have, and come back."""

    def start_sweep(self, need: Need | None) -> bool:
        """Start a sweep that goes on by itself: until there is so much room, or down to the low watermark.

        Tell whether one is at work now.
        """

    def fetch(self, key: str, target: BinaryIO) -> None:
        """Write an object, archived or not, to a file; raise `ObjectMissing` or `StoreFailed`."""


@dataclass
class Command:
    """Ask `exodus-storage-guard`, run as the same user; `config` is the settings file where it is not the usual one."""

    config: Path | None
    _started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def release(self, need: Need) -> None:
        """Run `sweep --need N --premigrated-only` to its end."""
        self._run(self._argv(*_options(need), "--premigrated-only"))

    def look(self) -> None:
        """Run a sweep that needs nothing: it measures."""
        self._run(self._argv("--need", "0", "--premigrated-only"))

    def _run(self, argv: Sequence[str]) -> None:
        try:
            done = run(argv, timeout_seconds=_RELEASE_SECONDS)
        except ExodusError as error:
            _log.warning("no room was made: %s", error)
            return
        if done.exit_code != 0 and done.stderr:
            _log.warning("no room was made: %s", done.stderr.decode("utf-8", "replace").strip()[-500:])

    def start_sweep(self, need: Need | None) -> bool:
        """Start `sweep` in a session of its own, unless the one that was started last still runs."""
        self._started = [process for process in self._started if process.poll() is None]
        if self._started:
            return True
        argv = self._argv(*_options(need))
        null = subprocess.DEVNULL
        try:
            self._started.append(subprocess.Popen(argv, stdin=null, stdout=null, stderr=null, start_new_session=True))
        except OSError as error:
            _log.warning("no sweep was started: %s: %s", argv[0], error.strerror)
        return bool(self._started)

    def fetch(self, key: str, target: BinaryIO) -> None:
        """Run `fetch KEY -`, its output into the file."""
        argv = [*self._program(), "fetch", *self._config(), "--", key, "-"]
        null, pipe = subprocess.DEVNULL, subprocess.PIPE
        try:
            done = subprocess.run(argv, stdin=null, stdout=target, stderr=pipe, timeout=_FETCH_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StoreFailed(f"{printable(key)} was not fetched: {error}") from error
        if done.returncode != 0:
            said = printable(done.stderr.decode("utf-8", "replace").strip()[-500:])
            raise ObjectMissing(f"{printable(key)} was not fetched: {said}")

    def _argv(self, *arguments: str) -> Sequence[str]:
        return [*self._program(), "sweep", *arguments, "--quiet", *self._config()]

    def _config(self) -> Sequence[str]:
        return [] if self.config is None else ["--config", str(self.config)]

    def _program(self) -> Sequence[str]:
        found = shutil.which("exodus-storage-guard")
        return [found] if found else [sys.executable, "-P", "-m", "exodus_storage_guard"]


def _options(need: Need | None) -> Sequence[str]:
    if need is None:
        return ()
    until = () if need.reservation is None else ("--until-reserved", need.reservation)
    return ("--need", str(need.bytes), *until)

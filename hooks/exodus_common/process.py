"""Run one command to its end, or end it."""

import errno
import os
import selectors
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile

from exodus_common import stopping
from exodus_common.clock import Deadline, SystemClock
from exodus_common.errors import ExodusError
from exodus_common.terminal import printable

MOST_OUTPUT_BYTES = 256 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENOEXEC)
_LONGEST_SELECT_SECONDS = 3600.0  # epoll counts milliseconds in 31 bits
_REAP_SECONDS = 1.0


class CommandTimedOut(ExodusError):
    """Say that a command was killed since it, or what it left behind, did not end in time."""


class CommandMissing(ExodusError):
    """Say that a command is not installed or cannot be executed."""


class CommandTooLoud(ExodusError):
    """Say that a command was killed since it wrote more than is read."""


@dataclass(frozen=True)
class Finished:
    """What a command that ended by itself left: its exit code (minus the signal's number when killed) and output."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)


def run(
    argv: Sequence[str],
    *,
    timeout_seconds: float,
    env: Mapping[str, str] | None = None,
    most_output_bytes: int = MOST_OUTPUT_BYTES,
) -> Finished:
    """Run `argv` without a shell, input or terminal until it has ended and its output is closed.

    `env` is the whole environment (default: ours, with messages in English); `most_output_bytes` bounds both outputs
    together. Raises CommandMissing, CommandTimedOut, CommandTooLoud; the last two once its process group is killed.
    """
    deadline = Deadline.after(timeout_seconds, SystemClock())
    started: list[subprocess.Popen[bytes]] = []
    try:
        # A signal that comes while it is being started would leave it behind: nobody had it in hand yet.
        with stopping.put_off():
            started.append(_start(argv, _english_environment() if env is None else env))
        stdout, stderr = _read_all(started[0], argv, deadline, most_output_bytes)
        exit_code = started[0].wait(deadline.remaining_seconds())
    except (TimeoutError, subprocess.TimeoutExpired):
        raise CommandTimedOut(_why_timed_out(started[0], argv, timeout_seconds)) from None
    finally:
        for child in started:
            _end(child)
    return Finished(tuple(argv), exit_code, stdout, stderr)


def _english_environment() -> dict[str, str]:
    # LANGUAGE goes as well: glibc lets it win over LC_ALL unless that is plain C.
    inherited = {name: value for name, value in os.environ.items() if name != "LANGUAGE"}
    return inherited | {"LC_ALL": "C.UTF-8"}


def _start(argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # Then the kernel forgets how children end, and subprocess reports 0 for every one.
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        raise ExodusError(f"cannot learn how {_shown(argv)} ends: SIGCHLD is ignored; start us with its default action")
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=env, start_new_session=True, bufsize=0
        )
    except OSError as error:
        if error.errno in _MISSING:
            raise CommandMissing(
                f"cannot execute {printable(argv[0])}: {error.strerror}; install it or correct its path"
            ) from error
        raise ExodusError(f"cannot start {_shown(argv)}: {error.strerror}; see the limits of this machine") from error


def _read_all(
    child: subprocess.Popen[bytes], argv: Sequence[str], deadline: Deadline, most_bytes: int
) -> tuple[bytes, bytes]:
    outputs = {stream: bytearray() for stream in (child.stdout, child.stderr) if stream is not None}
    with selectors.DefaultSelector() as selector:
        for stream, output in outputs.items():
            selector.register(stream, selectors.EVENT_READ, output)
        while selector.get_map():
            if deadline.is_past():
                raise TimeoutError
            _read_ready(selector, min(deadline.remaining_seconds(), _LONGEST_SELECT_SECONDS))
            if sum(map(len, outputs.values())) > most_bytes:
                raise CommandTooLoud(f"killed {_shown(argv)}: it wrote more than {most_bytes} bytes")
    stdout, stderr = map(bytes, outputs.values())
    return stdout, stderr


def _read_ready(selector: selectors.BaseSelector, wait_seconds: float) -> None:
    for key, _ in selector.select(wait_seconds):
        chunk = os.read(key.fd, _CHUNK_BYTES)
        key.data.extend(chunk)
        if not chunk:
            selector.unregister(key.fileobj)


def _end(child: subprocess.Popen[bytes]) -> None:
    # Only while the child is not reaped is its number, and so the group's, certainly still its own.
    if child.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        # A child stuck in the kernel (a dead network disk) cannot be killed: leave it rather than hang with it.
        with suppress(subprocess.TimeoutExpired):
            child.wait(_REAP_SECONDS)
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()


def _why_timed_out(child: subprocess.Popen[bytes], argv: Sequence[str], timeout_seconds: float) -> str:
    # WNOWAIT: looks without reaping, for _end still needs the group.
    ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    why = "it ended, but a process that it started kept its output open" if ended else "it had not ended"
    return f"killed {_shown(argv)} after {timeout_seconds:g} s: {why}; run it by hand, or allow more time"


def _shown(argv: Sequence[str]) -> str:
    # What follows an option may be a secret.
    return printable(" ".join(takewhile(lambda argument: not argument.startswith("-"), argv)))

"""Start other programs, and leave none of them behind."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.parts.command import Ran

_SECONDS_TO_START = 30.0
_SECONDS_TO_END = 20.0


def run(argv: Sequence[str], *, env: Mapping[str, str], together: bool = False, timeout_seconds: float = 100) -> Ran:
    """Run a program to its end; where that is not waited for, end it with all that it started.

    With `together` standard error goes where standard output goes, as on a terminal. What is not UTF-8 is an error.
    """
    stderr = subprocess.STDOUT if together else subprocess.PIPE
    with subprocess.Popen(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, process_group=0
    ) as process:
        try:
            said, complained = process.communicate(timeout=timeout_seconds)
        except BaseException:
            with suppress(ProcessLookupError):  # it may have just ended
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return Ran(process.returncode, said.decode(), (complained or b"").decode())


@contextmanager
def running(argv: Sequence[str], *, env: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server for the time of a block, its output in `log`; then end this very process."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, process_group=0
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_answers(process: "subprocess.Popen[bytes]", asked: Callable[[], object], log: Path) -> None:
    """Ask a server again and again until it answers; where it ends or never does, show its log."""
    deadline = time.monotonic() + _SECONDS_TO_START
    while (silence := _silence(asked)) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not silence, f"{process.args!r} does not answer ({silence}); its log:\n{end_of(log)}"


def _silence(asked: Callable[[], object]) -> str:
    try:
        asked()
    except OSError as error:
        return repr(error)
    return ""


def end_of(log: Path, lines: int = 20) -> str:
    """Give the last lines of a log, which need not exist."""
    try:
        return "\n".join(log.read_text(errors="backslashreplace").splitlines()[-lines:])
    except FileNotFoundError:
        return f"(there is no {log})"

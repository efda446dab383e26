"""Start our commands some thousand times: each as a process of its own, forked from one that has imported it before.

An interpreter that starts and imports takes 0.2 s of a processor, which was half of all that the tests took. What such
a process does is what the command does; what it cannot show (what an interpreter makes of its environment) is tested
with real starts, and with `EXODUS_COLD_STARTS` every command has one.
"""

import atexit
import json
import os
import select
import selectors
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from signal import SIGKILL
from time import monotonic
from typing import BinaryIO, cast

_SERVER = Path(__file__).with_name("warm_server.py")
_READ_BY_INTERPRETER = ("PYTHON", "LC_", "LANG", "LD_", "TZ")
_IMPORTED = {
    "exodus_certbot": ("cli.main", "deploy", "doctor", "preflight"),
    "exodus_storage_guard": (
        *("cli.main", "tiering.sweep", "tiering.initialise", "tiering.recall", "tiering.rebuild", "tiering.verify"),
        *("stores.opening", "stores.s3.bucket", "stores.ssh.door", "state.opening", "state.sqlite"),
    ),
}
_AT_ONCE_BYTES = 1 << 16


def run(
    argv: Sequence[str], *, env: Mapping[str, str], stdin: bytes = b"", timeout: float
) -> "subprocess.CompletedProcess[bytes]":
    """Run a program to its end, as `subprocess.run` does that captures output; one of our commands is forked."""
    *interpreter, package = argv[:4]
    ours = interpreter == [sys.executable, "-P", "-m"] and package in _IMPORTED
    if not ours or "EXODUS_COLD_STARTS" in os.environ:
        return subprocess.run(argv, env=env, input=stdin, capture_output=True, timeout=timeout, check=False)
    with ExitStack() as opened:
        begun = _Begun(_server(package, _for_interpreter(env)), argv[4:], env, opened)
        try:
            begun.converse(stdin, timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(argv, timeout, bytes(begun.stdout), bytes(begun.stderr)) from None
        finally:
            begun.kill()
    return subprocess.CompletedProcess(argv, begun.exit_code, bytes(begun.stdout), bytes(begun.stderr))


def _for_interpreter(env: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in env.items() if name.startswith(_READ_BY_INTERPRETER)))


@cache
def _server(package: str, variables: tuple[tuple[str, str], ...]) -> socket.socket:
    """Start a process that imports a command, with what the interpreter reads of its environment."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    imported = [f"{package}.{name}" for name in _IMPORTED[package]]
    argv = [sys.executable, "-P", str(_SERVER), str(theirs.fileno()), package, *imported]
    others = {name: value for name, value in os.environ.items() if not name.startswith(_READ_BY_INTERPRETER)}
    server = subprocess.Popen(argv, env=others | dict(variables), pass_fds=[theirs.fileno()])
    theirs.close()
    atexit.register(server.wait)  # after the next one, whose end it hears of
    atexit.register(ours.close)
    return ours


class _Begun:
    """A command that runs, with pipes to its standard files, and one by which its end is told."""

    def __init__(
        self, server: socket.socket, arguments: Sequence[str], env: Mapping[str, str], opened: ExitStack
    ) -> None:
        """Have the server start it."""
        theirs, self._stdin = _pipe(opened)
        reads, writes = zip(*(_pipe(opened) for _ in range(3)), strict=True)
        wanted = {"arguments": arguments, "environment": dict(env), "folder": str(Path.cwd()), "umask": _umask()}
        socket.send_fds(server, [json.dumps(wanted).encode()], [file.fileno() for file in (theirs, *writes)])
        for file in (theirs, *writes):
            file.close()
        self.stdout, self.stderr, self._told = bytearray(), bytearray(), bytearray()
        self._said = dict(zip(reads, (self.stdout, self.stderr, self._told), strict=True))

    @property
    def exit_code(self) -> int:
        """Give what it ended with."""
        return int(self._told.split()[1])

    def converse(self, stdin: bytes, timeout: float) -> None:
        """Pass on what goes in and what comes out until nobody can say more; raise `TimeoutError` where that lasts."""
        deadline = monotonic() + timeout
        with selectors.DefaultSelector() as ready:
            ready.register(self._stdin, selectors.EVENT_WRITE)
            for file in self._said:
                ready.register(file, selectors.EVENT_READ)
            while ready.get_map():
                if monotonic() >= deadline:
                    raise TimeoutError
                for key, _ in ready.select(deadline - monotonic()):
                    file = cast(BinaryIO, key.fileobj)
                    if file is self._stdin:
                        stdin = self._pass_on(stdin)
                    if not (stdin if file is self._stdin else self._read(file)):
                        ready.unregister(file)
                        file.close()

    def _pass_on(self, stdin: bytes) -> bytes:
        """Write a part; give what is left, which is nothing where nobody reads it."""
        if not stdin:
            return b""
        try:
            return stdin[os.write(self._stdin.fileno(), stdin[: select.PIPE_BUF]) :]
        except BrokenPipeError:
            return b""

    def _read(self, file: BinaryIO) -> bytes:
        said = os.read(file.fileno(), _AT_ONCE_BYTES)
        self._said[file].extend(said)
        return said

    def kill(self) -> None:
        """End it where it runs still."""
        told = self._told.split()
        if len(told) == 1:
            with suppress(ProcessLookupError):
                os.kill(int(told[0]), SIGKILL)


def _pipe(opened: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    read, write = os.pipe()
    return opened.enter_context(os.fdopen(read, "rb", 0)), opened.enter_context(os.fdopen(write, "wb", 0))


def _umask() -> int:
    """Read it where it can be read without being changed, which other threads would notice: in proc(5)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)

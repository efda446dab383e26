"""The door to another machine: OpenSSH's client, and over there a POSIX shell that runs what we wrote, and no key.

A name travels as octal escapes of its bytes, which printf(1) turns back: no shell ever reads it as anything but data.
"""

import os
import shutil
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import IO

from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.errors import KeyRefused, ObjectChanged, ObjectMissing, StoreFailed, StoreFull
from exodus_storage_guard.stores.contract import MOST_SMALL_BYTES, Chunks, Moved, nobody
from exodus_storage_guard.stores.locations import Remote
from exodus_storage_guard.stores.ssh.scripts import ANOTHER, IN_THE_WAY, MISSING

_CHUNK_BYTES = 256 * 1024
_PATIENCE = 30  # times the deadline
_LOOK_SECONDS = 0.25
_MOST_SESSIONS = 8  # sshd's MaxSessions is 10
_SSH_FAILED = 255
_FOLDER = "exodus-ssh-"
_READY = b"exodus ready\n"
_MOST_ANSWER_BYTES = MOST_SMALL_BYTES  # the longest that is asked for at once
_MOST_SAID_BYTES, _MOST_KEPT_BYTES = 4096, 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Key:
    """Say which key opens the door, and which file says whose door it is."""

    identity_file: Path
    known_hosts_file: Path


class SshDoor:
    """Run scripts of ours in a folder of another machine, over one connection. Threads may share it."""

    def __init__(self, where: Remote, key: Key, timeout_seconds: float) -> None:
        """Name the machine and the folder; nobody is asked before something is."""
        self._where, self._key, self._timeout_seconds = where, key, timeout_seconds
        self._lock, self._sessions = threading.Lock(), threading.BoundedSemaphore(_MOST_SESSIONS)
        self._master: tuple[int, subprocess.Popen[bytes], tempfile.TemporaryDirectory[str]] | None = None

    @property
    def name(self) -> str:
        """Name the machine and the folder."""
        user = f"{self._where.user}@" if self._where.user else ""
        return printable(f"ssh://{user}{self._where.host}:{self._where.port}{self._where.path}")

    def ask(self, script: str, *names: str, content: Iterable[bytes] = (), patient: Moved | None = None) -> bytes:
        """Run a script, `$a`, `$b`, … being the names, and `content` its input; give what it wrote.

        What may be silent for longer than the deadline allows is waited for if somebody is told so meanwhile.
        """
        found = bytearray()
        with self.session(script, *names, content=content, patient=patient) as answer:
            for chunk in answer:
                found += chunk
                if len(found) > _MOST_ANSWER_BYTES:
                    raise StoreFailed(f"{self.name}: an answer has more than {_MOST_ANSWER_BYTES} bytes: it is none")
        return bytes(found)

    @contextmanager
    def session(
        self, script: str, *names: str, content: Iterable[bytes] = (), patient: Moved | None = None
    ) -> Iterator[Chunks]:
        """Run a script and stream what it writes; what it fails with is raised once that is at its end."""
        with self._sessions, tempfile.TemporaryFile() as errors:
            process = self._start(self._argv(_command(self._where, script, names)), errors)
            seconds = self._timeout_seconds * (1 if patient is None else _PATIENCE)
            watch = _Watch(process, errors, seconds, patient or nobody)
            try:
                self._feed(process, content, watch)
                yield self._answer(process, errors, watch, names)
            finally:
                watch.stop()
                _end(process)

    def _feed(self, process: "subprocess.Popen[bytes]", content: Iterable[bytes], watch: "_Watch") -> None:
        assert process.stdin is not None
        try:
            for chunk in content:
                process.stdin.write(chunk)
                watch.beat()
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended, and says itself why

    def _answer(
        self, process: "subprocess.Popen[bytes]", errors: IO[bytes], watch: "_Watch", names: tuple[str, ...]
    ) -> Chunks:
        assert process.stdout is not None
        while chunk := os.read(process.stdout.fileno(), _CHUNK_BYTES):
            watch.beat()
            yield chunk
        exit_code = process.wait()
        if watch.has_bitten:
            raise StoreFailed(f"{self.name}: no answer for {watch.seconds:g} s (sweep.request_timeout_seconds)")
        if exit_code != 0:
            raise self.failure(exit_code, _last_words(errors), printable(names[0]) if names else "")

    def failure(self, exit_code: int, said: bytes, key: str) -> ExodusError:
        """Say what a script that exited so, and said so, has failed with."""
        lines = said.decode("utf-8", "replace").split("\n")
        last = printable(" ".join(line.strip() for line in lines if line.strip())[-300:])
        where = f"{self.name}: {key}" if key else self.name
        if exit_code == MISSING:
            return ObjectMissing(f"{self.name}: there is no {key}")
        if exit_code == ANOTHER:
            return ObjectChanged(f"{self.name}: there is another {key}, or it has other than its bytes")
        if exit_code == IN_THE_WAY:
            return KeyRefused(f"{where}: a link or a file is in the way, and links are not followed")
        if exit_code == _SSH_FAILED:
            return StoreFailed(f"{self.name}: ssh: {last or 'the connection was lost'}{_next(last)}")
        if "No space left" in last or "quota exceeded" in last:
            return StoreFull(f"{where}: {last}")
        if "File name too long" in last:
            return KeyRefused(f"{where}: the name is too long for that filesystem")
        if "Permission denied" in last or "Operation not permitted" in last:
            return StoreFailed.for_lack_of_a_right(f"{where}: {last}")
        return StoreFailed(f"{where}: {last or f'exit status {exit_code}'}")

    def _argv(self, command: str) -> list[str]:
        return [*self._ssh(), "-o", "ControlMaster=no", "-S", str(self._socket()), *self._target(), command]

    def _target(self) -> list[str]:
        return [*(["-l", self._where.user] if self._where.user else []), "--", self._where.host]

    def _ssh(self) -> list[str]:
        seconds = max(1, round(self._timeout_seconds / 4))
        options = ["BatchMode=yes", "StrictHostKeyChecking=yes", f"ConnectTimeout={seconds}"]
        options += [f"ServerAliveInterval={seconds}", "ServerAliveCountMax=3", "ClearAllForwardings=yes"]
        options += ["ForwardAgent=no", "RequestTTY=no", "LogLevel=ERROR"]
        options += [f"IdentityFile={_option(self._key.identity_file)}", "IdentitiesOnly=yes"]
        options += [f"UserKnownHostsFile={_option(self._key.known_hosts_file)}", "GlobalKnownHostsFile=/dev/null"]
        # Nobody's configuration is read: what lies in a home, or in /etc/ssh, is not what the settings say.
        return ["ssh", "-F", "none", "-p", str(self._where.port), *(word for one in options for word in ("-o", one))]

    def _socket(self) -> Path:
        """Give the socket of the connection that all sessions share, made when there is none (any more)."""
        with self._lock:
            if self._master is None or self._master[0] != os.getpid() or self._master[1].poll() is not None:
                if self._master is not None and self._master[0] == os.getpid():
                    _end(self._master[1])
                self._master = self._connected()
                weakref.finalize(self, _end_ours, *self._master[:2])
            return Path(self._master[2].name) / "s"

    def _connected(self) -> "tuple[int, subprocess.Popen[bytes], tempfile.TemporaryDirectory[str]]":
        """Connect; the connection lasts as long as its input, which closes when this process ends, however it does."""
        _remove_what_the_killed_left()
        folder = tempfile.TemporaryDirectory(prefix=f"{_FOLDER}{os.getpid()}-", ignore_cleanup_errors=True)
        argv = [*self._ssh(), "-M", "-S", str(Path(folder.name) / "s"), *self._target()]
        with tempfile.TemporaryFile() as errors:
            process = self._start([*argv, f"echo {_READY.decode().strip()} && exec cat"], errors)
            watch = _Watch(process, errors, self._timeout_seconds, nobody)
            said = _greeting(process)
            if not said:
                process.wait()  # it has closed its output, and says by its end why
            watch.stop()
            if said != _READY:
                exit_code = _end(process)
                if watch.has_bitten:
                    raise StoreFailed(f"{self.name}: no answer for {watch.seconds:g} s (sweep.request_timeout_seconds)")
                raise self._unready(said) if said else self.failure(exit_code, _last_words(errors), "")
        return os.getpid(), process, folder

    def _unready(self, said: bytes) -> StoreFailed:
        """Say what to do about an account that writes what nobody asked for."""
        first = printable(" ".join(said.removesuffix(_READY).decode("utf-8", "replace").split())[:100])
        what = f'{self.name}: the account over there writes "{first}" to its standard output'
        if said.endswith(_READY):
            return StoreFailed(
                f"{what} before a command is run, and it would be taken for an answer: have what its shell starts with "
                "(.bashrc, /etc/profile, ForceCommand) write to standard error, or nothing"
            )
        return StoreFailed(
            f"{what} and runs no command: an archive needs an account with a shell, and not one that does sftp alone"
        )

    def _start(self, argv: list[str], errors: IO[bytes]) -> "subprocess.Popen[bytes]":
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(
                argv, stdin=pipe, stdout=pipe, stderr=errors, env=os.environ | {"LC_ALL": "C.UTF-8"}, bufsize=0
            )
        except OSError as error:
            raise StoreFailed(f"{self.name}: cannot execute {argv[0]}: {error.strerror}; install it") from error


def _remove_what_the_killed_left() -> None:
    """Remove the folders of connections whose process was killed; one that may still be at work keeps its own."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        pid = folder.name.removeprefix(_FOLDER).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            with suppress(OSError):  # somebody else's, or being removed at this moment
                if folder.stat(follow_symlinks=False).st_uid == os.getuid():
                    shutil.rmtree(folder, ignore_errors=True)


def _greeting(process: "subprocess.Popen[bytes]") -> bytes:
    """Read what comes first, up to what we had it say; some of what comes in its place."""
    assert process.stdout is not None
    said = b""
    while not said.endswith(_READY) and len(said) < _MOST_SAID_BYTES:
        line = process.stdout.readline(_MOST_SAID_BYTES)
        if not line:
            break
        said += line
    return said


def _last_words(errors: IO[bytes]) -> bytes:
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - _MOST_SAID_BYTES))
    return errors.read(_MOST_SAID_BYTES)


def _end(process: "subprocess.Popen[bytes]") -> int:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    return process.wait()


def _end_ours(pid: int, process: "subprocess.Popen[bytes]") -> None:
    """End a connection with the process that made it: a session whose end never comes would keep it for ever."""
    if pid == os.getpid():
        _end(process)


class _Watch:
    """End a program that is silent for too long, or complains without an end; tell somebody that it is waited for."""

    def __init__(self, process: "subprocess.Popen[bytes]", errors: IO[bytes], seconds: float, waiting: Moved) -> None:
        self.seconds, self.has_bitten = seconds, False
        self._process, self._waiting, self._errors = process, waiting, os.dup(errors.fileno())
        self._beat = threading.Event()
        self._stopped = False
        threading.Thread(target=self._look, daemon=True).start()

    def beat(self) -> None:
        self._beat.set()

    def stop(self) -> None:
        self._stopped = True
        self._beat.set()

    def _look(self) -> None:
        try:
            self._look_on()
        finally:
            os.close(self._errors)

    def _look_on(self) -> None:
        silent_since = time.monotonic()
        while not self._stopped:
            if os.fstat(self._errors).st_size > _MOST_KEPT_BYTES:
                self._process.kill()
                return
            if self._beat.wait(min(_LOOK_SECONDS, self.seconds)):
                self._beat.clear()
                silent_since = time.monotonic()
            elif time.monotonic() - silent_since < self.seconds:
                self._waiting(0)
            else:
                self.has_bitten = True
                self._process.kill()
                return


def _command(where: Remote, script: str, names: tuple[str, ...]) -> str:
    """Put a script together; sh runs it, whatever shell the account has."""
    named = "".join(
        f"{letter}=$(printf '{_octal(name)}.'); {letter}=${{{letter}%.}}; " for letter, name in _lettered(names)
    )
    whole = f"LC_ALL=C; export LC_ALL; cd {quote(str(where.path))} || exit 1; {named}{script}"
    return f"exec sh -c {quote(whole)}"


def _lettered(names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    return zip("abcdefgh", names, strict=False)


def _octal(name: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(name))


def _option(path: Path) -> str:
    """Write a path for ssh_config(5), where a percent sign and quotes have a meaning."""
    return '"' + str(path).replace("%", "%%").replace('"', '\\"') + '"'


def _next(said: str) -> str:
    """Say what to do about what ssh said."""
    hints = {
        "Host key verification failed": "; compare the key with the machine's own, then write it into known_hosts_file",
        "Permission denied": "; is identity_file the right key, and in authorized_keys over there?",
        "Connection refused": "; is sshd running there, on this port?",
    }
    return next((hint for words, hint in hints.items() if words in said), "")

"""The door to /proc: what the kernel tells everybody about a process, without the rights of a debugger."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from signal import SIGHUP

_PROC = Path("/proc")
_READS_ALL = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH (linux/capability.h)."""


@dataclass(frozen=True, slots=True)
class Process:
    """Name one process for good: the kernel gives a process id again, but not with the same start time."""

    pid: int
    started_ticks: int


@dataclass(frozen=True)
class Status:
    """Hold the fields of /proc/PID/status at one moment (proc(5)); none of a process that is gone."""

    text: bytes

    @cached_property
    def _fields(self) -> dict[bytes, list[bytes]]:
        lines = (line.split(b":", 1) for line in self.text.splitlines())
        return {line[0]: line[1].split() for line in lines if len(line) == 2}

    @property
    def uid(self) -> int | None:
        """Give the user whose rights the process has."""
        return self._effective(b"Uid")

    @property
    def gid(self) -> int | None:
        """Give the group whose rights the process has."""
        return self._effective(b"Gid")

    @property
    def groups(self) -> tuple[int, ...]:
        """Give the other groups whose rights it has."""
        return tuple(map(int, self._fields.get(b"Groups", [])))

    @property
    def reads_all(self) -> bool:
        """Tell whether it may read every file, whoever owns it."""
        return bool(self._mask(b"CapEff") & _READS_ALL)

    @property
    def is_contained(self) -> bool:
        """Tell whether it runs in a process namespace below ours, as in a container."""
        return len(self._fields.get(b"NSpid", [])) > 1

    @property
    def awaits_signals(self) -> bool:
        """Tell whether it sleeps until a signal comes and none is on its way.

        While an nginx master works it blocks the signals that it obeys (ngx_process_cycle.c): only in its sigsuspend
        is nothing blocked.
        """
        pending = self._mask(b"SigPnd") | self._mask(b"ShdPnd")
        return bool(self._fields) and not self._mask(b"SigBlk") and not pending & (1 << (SIGHUP - 1))

    def _effective(self, name: bytes) -> int | None:
        found = self._fields.get(name, [])
        return int(found[1]) if len(found) > 1 else None

    def _mask(self, name: bytes) -> int:
        return int((self._fields.get(name) or [b"0"])[0], 16)


def pids() -> list[int]:
    """List the processes that there are."""
    return [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208 - names only


def process(pid: int) -> Process | None:
    """Name the process that has this id now; None where none has, or it has ended and waits for its parent."""
    fields = _stat(pid) if pid > 0 else []
    return Process(pid, int(fields[19])) if fields and fields[0] != b"Z" else None


def parent(pid: int) -> int:
    """Give the id of the parent, 0 where there is none to be seen."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def title(pid: int) -> bytes:
    """Give the command line as it is now: nginx writes what a process is in its place."""
    return bytes_of(_PROC / str(pid) / "cmdline").rstrip(b"\0 ")


def status(pid: int) -> Status:
    """Read what the kernel says of its user, namespaces and signals."""
    return Status(bytes_of(_PROC / str(pid) / "status"))


def unit(pid: int) -> str | None:
    """Name the systemd service whose control group the process is in, if any."""
    lines = bytes_of(_PROC / str(pid) / "cgroup").decode("utf-8", "replace").splitlines()
    paths = [line.split(":", 2)[2] for line in lines if line.startswith("0::") or ":name=systemd:" in line]
    names = [path.rsplit("/", 1)[-1] for path in paths]
    return next((name for name in names if name.endswith(".service")), None)


def program(pid: int) -> str | None:
    """Give the path of the program it runs; None where we may not see it."""
    return _link(pid, "exe")


def root(pid: int) -> str | None:
    """Give the folder that it takes for the root of all files; None where we may not see it."""
    return _link(pid, "root")


def folder(pid: int) -> str | None:
    """Give the folder that its relative paths start from; None where we may not see it."""
    return _link(pid, "cwd")


def mounts(pid: int) -> bytes:
    """Read the table of the mounts that it sees; empty where there is none."""
    return bytes_of(_PROC / str(pid) / "mountinfo")


def has_our_network(pid: int) -> bool:
    """Tell whether its sockets are in the network namespace that ours are in; True where that is not to be seen.

    Who may not see the namespace itself knows it by its files: each namespace has its own.
    """
    theirs, ours = _link(pid, "ns/net"), _link(os.getpid(), "ns/net")
    if theirs is not None and ours is not None:
        return theirs == ours
    try:
        return (_PROC / str(pid) / "net/tcp").stat().st_ino == (_PROC / "self/net/tcp").stat().st_ino
    except OSError:
        return True


def sockets(pid: int) -> Iterator[int]:
    """Give the inodes of the sockets that it holds; none where we may not see them."""
    try:
        descriptors = os.listdir(_PROC / str(pid) / "fd")  # noqa: PTH208 - names only
    except OSError:
        return
    for descriptor in descriptors:
        found = _link(pid, f"fd/{descriptor}") or ""
        if found.startswith("socket:["):
            yield int(found[len("socket:[") : -1])


def bytes_of(path: Path) -> bytes:
    """Read a file that may go away at any moment; empty where there is none."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _link(pid: int, name: str) -> str | None:
    try:
        return str((_PROC / str(pid) / name).readlink())
    except OSError:
        return None


def _stat(pid: int) -> list[bytes]:
    """Split /proc/PID/stat after the command's name, which may itself hold blanks and parentheses (proc(5))."""
    return bytes_of(_PROC / str(pid) / "stat").rpartition(b")")[2].split()

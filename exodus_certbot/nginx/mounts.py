"""The door to what a process sees at a path: the mounts of its namespace, which the kernel tells everybody.

A service of systemd often has a mount namespace of its own with the very same files (`ProtectSystem=`): so not the
namespaces are compared, but which file system, and which place in it, is behind a path in each of them.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from exodus_certbot.nginx import proc

_ESCAPED = re.compile(rb"\\([0-7]{3})")
_MOST_LINKS = 40

Place = tuple[bytes, str]
"""Name a file for every process: its file system, and its path in that."""


@dataclass(frozen=True, slots=True)
class _Mount:
    number: bytes
    device: bytes
    root: str
    point: str


@dataclass(frozen=True, slots=True)
class Mounts:
    """Hold the mounts that one process sees (proc_pid_mountinfo(5))."""

    top: _Mount | None
    on: dict[tuple[bytes, str], _Mount]

    @classmethod
    def of(cls, mountinfo: bytes) -> "Mounts":
        """Read a table of mounts."""
        lines = [line.split() for line in mountinfo.splitlines()]
        mounts = [(fields[1], _Mount(fields[0], fields[2], _text(fields[3]), _text(fields[4]))) for fields in lines]
        numbers = {mount.number for _, mount in mounts}
        top = next((one for parent, one in mounts if one.point == "/" and parent not in numbers - {one.number}), None)
        return cls(top, {(parent, mount.point): mount for parent, mount in mounts if mount is not top})

    def place_of(self, path: str) -> Place | None:
        """Say which file a path without links means; None where its root is no mount, as after chroot(2)."""
        mount = self.top
        if mount is None:
            return None
        for above in _prefixes(path):
            while (mount.number, above) in self.on:
                mount = self.on[mount.number, above]
        return mount.device, f"{mount.root.rstrip('/')}/{path[len(mount.point) :].lstrip('/')}"


def _prefixes(path: str) -> Iterator[str]:
    """List the folders that lead to a path, from the root down, and the path itself."""
    yield "/"
    yield from (path[: found.start()] for found in re.finditer("(?<=[^/])/", path))
    yield path


def _text(field: bytes) -> str:
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), field))


def unlike(pid: int, paths: Iterable[str]) -> tuple[str, ...]:
    """List the paths at which a process sees another file than we do; none where its mounts are not to be seen."""
    theirs, ours = proc.mounts(pid), proc.mounts(os.getpid())
    if not theirs or theirs == ours:
        return ()
    one, other, folder = Mounts.of(theirs), Mounts.of(ours), cache(os.path.realpath)

    def differs(path: str) -> bool:
        return any(one.place_of(step) != other.place_of(step) for step in _steps(path, folder))

    return tuple(path for path in dict.fromkeys(paths) if differs(path))


def _steps(path: str, folder_of: Callable[[str], str]) -> Iterator[str]:
    """List the places that a path leads over, one for each link: each may lie on a mount of its own."""
    for _ in range(_MOST_LINKS):
        above, name = os.path.split(path)
        path = os.path.join(folder_of(above), name)  # noqa: PTH118 - nginx's text
        yield path
        try:
            path = os.path.join(os.path.dirname(path), os.readlink(path))  # noqa: PTH115, PTH118, PTH120 - nginx's text
        except (OSError, ValueError):
            return

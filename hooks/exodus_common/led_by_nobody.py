"""Reach what a person named, with root's rights, and be led nowhere by what another user has put in the way."""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from exodus_common.terminal import printable

_MOST_LINKS = 40  # as the kernel follows
_LOOKS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_ROOT = 0


@dataclass(frozen=True, slots=True)
class Reached:
    """Hold what was reached: `opened` to be written to, None where nothing is there; `beside` names it in its folder.

    Both stay what they are, whoever renames what meanwhile.
    """

    opened: int | None
    beside: Path


@contextmanager
def reached_by_root(path: Path) -> Iterator[Reached]:
    """Reach a file or the place for a new one, following root's own links alone; raise OSError where others lead.

    A pipe of another user's is refused as well: whoever opens it waits until he reads.
    """
    with ExitStack() as held:
        walk = _Walk(held, deque(path.parts))
        found, name = walk.through()
        opened = None if found is None else _opened(found, walk.at)
        if opened is not None:
            held.callback(os.close, opened)
        yield Reached(opened, Path(f"/proc/self/fd/{walk.folder}") / name)


@dataclass
class _Walk:
    """Go from folder to folder by descriptors: what is looked at is what is gone into."""

    held: ExitStack
    left: deque[str]
    folder: int = -1
    at: Path = field(default_factory=Path)
    links: int = 0

    def through(self) -> tuple[int | None, str]:
        """Give what the last name is, None where it is not there, and that name; `folder` is where it lies."""
        self._begin(".")
        found, name = self.folder, "."
        while self.left:
            name = self.left.popleft()
            if name in ("/", "//"):
                self._begin("/")
                found = self.folder
                continue
            try:
                found = self._hold(os.open(name, _LOOKS, dir_fd=self.folder))
            except FileNotFoundError:
                if self.left:
                    raise
                self.at /= name
                return None, name
            self._go(found, name)
        return found, name

    def _begin(self, folder: str) -> None:
        self.folder, self.at = self._hold(os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)), Path(folder)

    def _go(self, found: int, name: str) -> None:
        status = os.fstat(found)
        if stat.S_ISLNK(status.st_mode):
            self._follow(found, status.st_uid, self.at / name)
        elif self.left:
            self.folder, self.at = found, self.at / name
        else:
            self.at /= name

    def _follow(self, link: int, uid: int, at: Path) -> None:
        self.links += 1
        if uid != _ROOT:
            raise _refused(at, f"a link of the user {uid}'s, which root does not follow; name what it leads to")
        if self.links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        self.left.extendleft(reversed(Path(os.readlink("", dir_fd=link)).parts))

    def _hold(self, descriptor: int) -> int:
        self.held.callback(os.close, descriptor)
        return descriptor


def _opened(found: int, at: Path) -> int:
    status = os.fstat(found)
    if stat.S_ISFIFO(status.st_mode) and status.st_uid != _ROOT:
        raise _refused(at, f"a pipe of the user {status.st_uid}'s, for whom root does not wait; name a file")
    return os.open(f"/proc/self/fd/{found}", os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)


def _refused(at: Path, what: str) -> OSError:
    return OSError(errno.ELOOP, f"{printable(str(at))} is {what}")

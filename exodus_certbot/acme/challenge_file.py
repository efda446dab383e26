"""Put a challenge into a webroot and take it away again, whoever else may write there, and touch nothing besides.

Everything is opened from the folder above it (openat(2)), and what is there already keeps its mode, owner and content.
"""

import os
import stat
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from exodus_common.errors import ExodusError

_MOST_LINKS = 40  # as many as the kernel follows: path_resolution(7)
_AS_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_AS_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LinkOfOthers(ExodusError):
    """Say that a link on the way could lead us anywhere, since others than the trusted may change it."""


@contextmanager
def placed(folder: Path, name: str, content: str, trusted_uids: Collection[int]) -> Iterator[None]:
    """Have a new file for the time of a block; folders that were made for it go as well.

    Only links that nobody but the trusted users can have made are followed. Raises `LinkOfOthers`, and `ExodusError`
    where the file cannot be written.
    """
    with ExitStack() as undone:
        try:
            with _others_may_read():
                at = _opened(folder.absolute(), trusted_uids, undone)
                _write(at, name, content, undone)
        except OSError as error:
            raise ExodusError(f"cannot write a challenge into {folder}: {error.strerror}; run as root") from error
        except ValueError as error:
            raise ExodusError(f"cannot write a challenge into {folder}: {error}; mend the renewal file") from error
        yield


def is_held_by(holder: os.stat_result, uids: Collection[int]) -> bool:
    """Tell whether nobody but some users, and root's own group, may change what is in a folder."""
    by_group = holder.st_mode & stat.S_IWGRP and holder.st_gid != 0
    return holder.st_uid in uids and not by_group and not holder.st_mode & stat.S_IWOTH


@contextmanager
def _others_may_read() -> Iterator[None]:
    """Have what is new made with the mode we ask for: nginx's workers must read it, and a chmod would be a race."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def _opened(folder: Path, trusted_uids: Collection[int], undone: ExitStack) -> int:
    """Walk to a folder step by step, and make what is missing."""
    at, here, links = _open("/", None, undone), Path("/"), 0
    ahead = deque(folder.parts[1:])
    while ahead:
        part = ahead.popleft()
        try:
            at, here = _entered(part, at, undone), here / part
        except NotADirectoryError:
            if not stat.S_ISLNK(os.stat(part, dir_fd=at, follow_symlinks=False).st_mode):
                raise
            links += 1
            if links > _MOST_LINKS or not is_held_by(os.fstat(at), trusted_uids):
                raise LinkOfOthers(f"{here / part} is a link that others than root can lead elsewhere") from None
            ahead.extendleft(reversed(Path(os.readlink(part, dir_fd=at)).parts))
            if ahead[0] == "/":
                at, here = _open(ahead.popleft(), None, undone), Path("/")
    return at


def _entered(part: str, at: int | None, undone: ExitStack) -> int:
    """Open a folder, made first where there is none, without following a link."""
    try:
        return _open(part, at, undone)
    except FileNotFoundError:
        os.mkdir(part, 0o755, dir_fd=at)
        entered = _open(part, at, undone)
        undone.callback(_remove, part, at, os.fstat(entered))
        return entered


def _open(part: str, at: int | None, undone: ExitStack) -> int:
    opened = os.open(part, _AS_FOLDER, dir_fd=at)
    undone.callback(os.close, opened)
    return opened


def _write(at: int, name: str, content: str, undone: ExitStack) -> None:
    with os.fdopen(os.open(name, _AS_NEW_FILE, 0o644, dir_fd=at), "w", encoding="ascii") as file:
        undone.callback(_remove, name, at, os.fstat(file.fileno()))
        file.write(content)


def _remove(name: str, at: int | None, made: os.stat_result) -> None:
    """Take away what we made, where it is that still; a folder that somebody else uses meanwhile stays."""
    with suppress(OSError):
        found = os.stat(name, dir_fd=at, follow_symlinks=False)
        if (found.st_dev, found.st_ino) == (made.st_dev, made.st_ino):
            (os.rmdir if stat.S_ISDIR(found.st_mode) else os.unlink)(name, dir_fd=at)

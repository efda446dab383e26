"""Let one process at a time do a piece of work."""

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exodus_common.clock import Clock, Deadline
from exodus_common.errors import ExodusError, TryLater
from exodus_common.terminal import printable

_MOST_HOLDER_BYTES = 200


@contextmanager
def held(path: Path, *, wait_seconds: float, clock: Clock) -> Iterator[None]:
    """Hold the exclusive lock on `path` inside the block; raise TryLater when it is not free within `wait_seconds`.

    The file is made when absent and stays, since removing it would let two holders lock two files of one name.
    The kernel frees the lock when the process ends, however it ends.
    """
    descriptor = _open(path)
    try:
        _acquire(descriptor, path, wait_seconds, clock)
        _describe_holder(descriptor)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ExodusError(f"lock {path} is a symbolic link, which is not followed; remove it") from error
        raise ExodusError(
            f"cannot open lock {path}: {error.strerror}; run as root, or set STATE_DIRECTORY to a folder you may write"
        ) from error


def _acquire(descriptor: int, path: Path, wait_seconds: float, clock: Clock) -> None:
    for _ in Deadline.after(wait_seconds, clock).poll():
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except OSError as error:
            raise ExodusError(f"cannot lock {path}: {error.strerror}; put it on a local filesystem") from error
        return
    raise TryLater(
        f"{path} is still locked by {_holder(descriptor)} after {wait_seconds:g} s; try again when that has ended"
    )


def _describe_holder(descriptor: int) -> None:
    text = f"{os.getpid()} {Path(sys.argv[0]).name}\n"
    # On a full disk the lock holds all the same; only its description is missing.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(errors="surrogateescape")[:_MOST_HOLDER_BYTES], 0)


def _holder(descriptor: int) -> str:
    pid, _, command = os.pread(descriptor, _MOST_HOLDER_BYTES, 0).decode(errors="replace").strip().partition(" ")
    return f"pid {printable(pid)} ({printable(command)})" if pid else "another process"

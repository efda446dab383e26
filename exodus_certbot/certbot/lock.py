"""The door to certbot's own lock: while it is held, no certbot reads or writes the folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exodus_common.errors import ExodusError, TryLater
from exodus_common.render import printable

_TRIES = 5


@contextmanager
def held(certbot_dir: Path) -> Iterator[None]:
    """Hold the lock that certbot takes on its configuration folder (certbot/_internal/lock.py), without waiting.

    Raises TryLater while a certbot runs, ExodusError where the folder is not ours to lock.
    """
    path = certbot_dir / ".certbot.lock"
    descriptor = _locked(path)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # as certbot does, before it lets go
        os.close(descriptor)


def _locked(path: Path) -> int:
    for _ in range(_TRIES):
        descriptor = _open(path)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking, the certbot that had it may have removed it.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            raise TryLater(
                f"a certbot is at work in {printable(str(path.parent))}; try again when it is through"
            ) from None
        except FileNotFoundError:
            pass
        os.close(descriptor)
    raise TryLater(f"certbots come and go in {printable(str(path.parent))}; try again")


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ExodusError(f"cannot open {printable(str(path))}: {error.strerror}; run as root") from error

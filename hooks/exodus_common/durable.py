"""Write files that are either whole and on the disk, or not there."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from exodus_common.led_by_nobody import Reached, reached_by_root
from exodus_common.terminal import printable

TEMPORARY_PREFIX = ".exodus-"
"""Begins the name of what a power cut may leave beside a file; safe to remove when no writer runs."""
_MOST_LINKS = 40  # as the kernel follows


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data` so that a reader, or a power cut, meets the old file or the new one.

    The mode is exact, whatever the umask; a symbolic link at `path` is replaced, not followed. Raises OSError.
    """
    with replacing(path, mode=mode) as stream:
        stream.write(data)


@contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Give a stream whose content replaces `path` once the block ends well, as `write_atomically` does."""
    # The file's own name is no part of the temporary one: it may already be as long as a name can be.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY_PREFIX, suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


@contextmanager
def writing_to(path: Path, *, mode: int) -> Iterator[BinaryIO]:
    """Give a stream to what a person named: a file there is replaced once the block ends well, all else is written to.

    A device, a pipe, or an open descriptor (/dev/stdout) takes the bytes as they come; a link stays, and what it leads
    to is written; root follows no other user's. A file keeps its mode and, as far as we may, its owner; a new one gets
    `mode`. Raises OSError.
    """
    inherited = inherited_descriptor(path)
    if inherited is not None:
        with os.fdopen(os.dup(inherited), "wb") as there:  # opened anew, a file would be written from its beginning
            yield there
        return
    reaching = reached_by_root(path) if os.geteuid() == 0 else _reached(path)
    with reaching as reached, _written(reached, mode) as stream:
        yield stream


@contextmanager
def _reached(path: Path) -> Iterator[Reached]:
    """Open what is there, without changing it, which also asks whether we may write it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield Reached(None, path.resolve())
        return
    try:
        yield Reached(descriptor, path.resolve())
    finally:
        os.close(descriptor)


@contextmanager
def _written(reached: Reached, mode: int) -> Iterator[BinaryIO]:
    if reached.opened is None:
        with replacing(reached.beside, mode=mode) as stream:
            yield stream
        return
    status = os.fstat(reached.opened)
    if not stat.S_ISREG(status.st_mode):
        with os.fdopen(reached.opened, "wb", closefd=False) as there:
            yield there
        return
    with replacing(reached.beside, mode=stat.S_IMODE(status.st_mode) & 0o777) as stream:
        with suppress(PermissionError):  # only root gives files away
            os.fchown(stream.fileno(), status.st_uid, status.st_gid)
        yield stream


def inherited_descriptor(path: Path) -> int | None:
    """Tell which of our own descriptors a path stands for, as /dev/stdout and /dev/fd/3 do; None for any other path."""
    for _ in range(_MOST_LINKS):
        if path.parent.resolve() == Path(f"/proc/{os.getpid()}/fd") and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def cannot_write(path: Path, error: OSError) -> str:
    """Say why `writing_to` failed; where the folder is at fault, name it."""
    where = f"cannot write {printable(str(path))}: {error.strerror}"
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM) and os.access(path, os.W_OK):
        folder = printable(str(path.resolve().parent))
        return f"{where}; a file is written beside it first, and {folder} does not take one"
    return where


def sync_folder(folder: Path) -> None:
    """Return when the folder's entries (renames, removals) are on the disk; raise OSError when they may not be."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some filesystems (FUSE, CIFS) offer no fsync of folders: there is nothing to wait for.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)

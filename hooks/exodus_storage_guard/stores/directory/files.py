"""What a directory store does to single files, by their descriptors."""

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress

from exodus_storage_guard.instants import datetime_of
from exodus_storage_guard.model import StoredObject

_MODE, _USUAL_MODE = "mode", 0o640


def described(key: str, status: os.stat_result) -> StoredObject:
    """Tell contents apart: a file's time can be set back, the time of its inode cannot (inode(7))."""
    etag = f"{status.st_mtime_ns:x}-{status.st_ctime_ns:x}-{status.st_ino:x}"
    mode = f"{stat.S_IMODE(status.st_mode):o}"
    return StoredObject(key, status.st_size, etag, datetime_of(status.st_mtime_ns // 1000), metadata={_MODE: mode})


def own(descriptor: int, folder: int, metadata: Mapping[str, str]) -> None:
    """Give a file its mode, and where root makes it the owner of the folder it is in: others have to read it, too."""
    mode = metadata.get(_MODE, "")
    os.fchmod(descriptor, int(mode, 8) & 0o777 if mode.isdecimal() else _USUAL_MODE)
    if os.geteuid() == 0:
        above = os.fstat(folder)
        os.fchown(descriptor, above.st_uid, above.st_gid)


def own_folder(part: str, folder: int) -> None:
    """Give a folder that root makes the owner of the one it is in."""
    if os.geteuid() == 0:
        above = os.fstat(folder)
        os.chown(part, above.st_uid, above.st_gid, dir_fd=folder, follow_symlinks=False)


def give_name(folder: int, part: str, file: str) -> None:
    """Link, and not rename: a link refuses where there is a file of that name already."""
    try:
        os.link(part, file, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # FAT, CIFS and some of FUSE have no links.
        with suppress(FileNotFoundError):
            os.stat(file, dir_fd=folder, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(part, file, src_dir_fd=folder, dst_dir_fd=folder)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it: one call may write less."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]

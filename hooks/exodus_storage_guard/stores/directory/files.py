"""What a directory store does to single files, by their descriptors."""

import errno
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from exodus_storage_guard.instants import datetime_of
from exodus_storage_guard.model import StoredObject

_MODE = "mode"
_USUAL_MODE, _LEAST_MODE, _ANY_MODE = 0o640, 0o600, 0o664


def described(key: str, status: os.stat_result) -> StoredObject:
    """Tell contents apart: a file's time can be set back, the time of its inode cannot (inode(7))."""
    etag = f"{status.st_mtime_ns:x}-{status.st_ctime_ns:x}-{status.st_ino:x}"
    mode = f"{stat.S_IMODE(status.st_mode):o}"
    return StoredObject(key, status.st_size, etag, datetime_of(status.st_mtime_ns // 1000), metadata={_MODE: mode})


def own(descriptor: int, folder: int, metadata: Mapping[str, str]) -> None:
    """Give a file its mode, and where root makes it the owner of the folder it is in: others have to read it, too."""
    os.fchmod(descriptor, _mode(metadata.get(_MODE, "")))
    if os.geteuid() == 0:
        above = os.fstat(folder)
        os.fchown(descriptor, above.st_uid, above.st_gid)


def _mode(told: str) -> int:
    """Read a mode that anybody may have written: its owner can always read the file, and it is no program.

    Nor does everybody get to write it.
    """
    return int(told, 8) & _ANY_MODE | _LEAST_MODE if re.fullmatch("[0-7]{1,4}", told) else _USUAL_MODE


def own_folder(part: str, folder: int) -> None:
    """Give a folder that root makes the owner of the one it is in."""
    if os.geteuid() == 0:
        above = os.fstat(folder)
        os.chown(part, above.st_uid, above.st_gid, dir_fd=folder, follow_symlinks=False)


def give_name(folder: int, part: str, file: str, new_folder: int | None = None) -> None:
    """Link, and not rename: a link refuses where there is a file of that name already."""
    there = folder if new_folder is None else new_folder
    try:
        os.link(part, file, src_dir_fd=folder, dst_dir_fd=there, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # FAT, CIFS and some of FUSE have no links; and others' files may not be linked (proc(5), protected_hardlinks).
        with suppress(FileNotFoundError):
            os.stat(file, dir_fd=there, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(part, file, src_dir_fd=folder, dst_dir_fd=there)


def touched_at(folder: int) -> datetime | None:
    """Have a folder's inode changed, which takes no space, and give the time that it has got; None where it got none.

    A change of owner to nobody else changes nothing but that time (chown(2)), and not even that on some networks': what
    is older than this call tells nothing. Whoever is given None believes his own clock, as with a store that has none:
    a full store that nobody may free would stay full.
    """
    before = os.fstat(folder).st_ctime_ns
    with suppress(OSError):
        os.fchown(folder, -1, -1)
    after = os.fstat(folder).st_ctime_ns
    return datetime_of(after // 1000) if after != before else None


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it: one call may write less."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]

"""Remove exactly one file: what has its name is set aside first, under a name of ours, and looked at there.

Between a look at a name and its removal others may give it to a newer file. What turns out to be another one gets its
name back, unless there is a newer one yet. Only who looked at the file, and at its copy, removes it: whoever comes
after a crash knows neither, and gives it its name back.
"""

import errno
import os
import stat
from contextlib import suppress
from datetime import datetime

from exodus_storage_guard.stores.directory.files import give_name
from exodus_storage_guard.stores.leftovers import TAKEN
from exodus_storage_guard.stores.names import aside_name, identity, is_no_key, read_aside


def remove(folder: int, file: str, wanted: os.stat_result) -> bool:
    """Remove a file where it is this one yet; False where it is another, which stays.

    What cannot be removed is put back as well. Raises `OSError`.
    """
    aside = _set_aside(folder, file, wanted)
    try:
        is_it = _identity(os.stat(aside, dir_fd=folder, follow_symlinks=False)) == _identity(wanted)
        if is_it:
            os.unlink(aside, dir_fd=folder)
    except OSError:
        with suppress(OSError):
            _put_back(folder, aside, file)
        raise
    if not is_it:
        _put_back(folder, aside, file)
    above = aside.rpartition("/")[0]
    if above:
        os.rmdir(above, dir_fd=folder)
    os.fsync(folder)
    return is_it


def left_in(folder: int, before: datetime) -> list[str]:
    """Name what was set aside in a folder by somebody who is gone, since nobody has touched it after this."""
    left = list[str]()
    with os.scandir(folder) as entries:
        for entry in entries:
            file = read_aside(entry.name)
            if file == "" or (file and entry.is_file(follow_symlinks=False)):
                with suppress(FileNotFoundError):  # deleted meanwhile
                    if is_untouched(entry.stat(follow_symlinks=False), before):
                        left.append(entry.name)
    return left


def is_untouched(status: os.stat_result, before: datetime) -> bool:
    """Tell by the change of the inode: what is being written may have its object's time of change already."""
    return status.st_ctime < before.timestamp()


def end_removal(folder: int, aside: str) -> None:
    """Give what somebody who is gone had set aside, a file or those in a folder of ours, its name back.

    Raises `OSError`, `FileExistsError` where another file has that name by now: then both stay.
    """
    file = read_aside(aside)
    if file:
        _return(folder, aside, file)
        return
    inside = os.open(aside, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        with os.scandir(inside) as entries:
            files = [entry.name for entry in entries]
    finally:
        os.close(inside)
    for file in files:
        _return(folder, f"{aside}/{file}", file)
    with suppress(FileNotFoundError):
        os.rmdir(aside, dir_fd=folder)


def _return(folder: int, aside: str, file: str) -> None:
    set_aside = os.stat(aside, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(set_aside.st_mode) or is_no_key((file,)):
        raise OSError(errno.EINVAL, "it is nothing that is ever set aside")
    try:
        give_name(folder, aside, file)
    except FileExistsError:
        present = os.stat(file, dir_fd=folder, follow_symlinks=False)
        if not os.path.samestat(present, set_aside):  # else somebody was killed who had put it back
            raise FileExistsError(errno.EEXIST, TAKEN) from None
    os.fsync(folder)
    with suppress(FileNotFoundError):  # where there are no links it was renamed
        os.unlink(aside, dir_fd=folder)
    os.fsync(folder)


def _set_aside(folder: int, file: str, wanted: os.stat_result) -> str:
    aside = aside_name(file, _identity(wanted), os.fpathconf(folder, "PC_NAME_MAX"))
    above = aside.rpartition("/")[0]
    if above:
        os.mkdir(above, 0o700, dir_fd=folder)
    try:
        os.rename(file, aside, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        if above:
            with suppress(OSError):
                os.rmdir(above, dir_fd=folder)
        raise
    return aside


def _put_back(folder: int, aside: str, file: str) -> None:
    """Give a file its name back; where there is a newer one of that name, that has replaced it."""
    with suppress(FileExistsError):
        give_name(folder, aside, file)
    with suppress(FileNotFoundError):  # where there are no links it was renamed
        os.unlink(aside, dir_fd=folder)


def _identity(status: os.stat_result) -> str:
    seconds, nanoseconds = divmod(status.st_mtime_ns, 1_000_000_000)
    return identity(status.st_size, f"{seconds}.{nanoseconds:09d}0", status.st_ino)

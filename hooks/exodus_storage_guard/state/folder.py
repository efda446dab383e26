"""The folder that a state lies in: the guard's alone, and nothing in it is followed elsewhere."""

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exodus_common.terminal import printable
from exodus_storage_guard.errors import StateFailed

_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LOOK = "look what it is, remove it, and run: exodus-storage-guard init"
LISTING = ".listing-"
"""Begins the names of what a listing has of its own there, for the time that it takes."""


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """Give a descriptor of the folder, by which what lies in it is named; raise OSError where there is none."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def refuse_others(file: Path, sides: Iterable[str] = ()) -> None:
    """Raise `StateFailed` where somebody else than us could have made, or may exchange, this file of the state.

    And where what lies beside it under one of these names is no plain file. Raises FileNotFoundError where there is no
    such file, OSError where that cannot be seen.
    """
    with opened(file.parent) as folder:
        found = os.fstat(folder)
        if found.st_uid != os.geteuid():
            raise StateFailed(
                f"{_shown(file.parent)} belongs to {_user(found.st_uid)}, not to us: who runs as that may"
            )
        if found.st_mode & _OTHERS_WRITE:
            raise StateFailed(f"{_shown(file.parent)} {_open_to_others(found.st_mode)}; run: exodus-storage-guard init")
        _refuse_what_is_not_plain(folder, file)
        for name in sides:
            _refuse_planted(folder, file.with_name(name))


def refuse_planted(files: Iterable[Path]) -> None:
    """Raise `StateFailed` where anything but a plain file has a name of ours: whoever could write here once put it."""
    for file in files:
        with opened(file.parent) as folder:
            _refuse_planted(folder, file)


def refuse_folders(files: Iterable[Path]) -> None:
    """Raise `StateFailed` where a folder has the name of a file of ours that is made anew; all else we remove."""
    for file in files:
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(file.lstat().st_mode):
                raise StateFailed(f"{_shown(file)} is a folder, where the guard makes a file; {_LOOK}")


def _refuse_planted(folder: int, file: Path) -> None:
    """Refuse what SQLite would open or follow; whose a plain file is says nothing: uploaders once made them as well."""
    with suppress(FileNotFoundError):
        found = os.stat(file.name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise StateFailed(f"{_shown(file)} is {_kind(found)}, and the guard writes to no other's; {_LOOK}")
        ours = found.st_uid == os.geteuid()
        if not ours and not os.access(file.name, os.R_OK | os.W_OK, dir_fd=folder, effective_ids=True):
            raise StateFailed(f"{_shown(file)} belongs to {_user(found.st_uid)}, and we may not write to it; {_LOOK}")


def _kind(found: os.stat_result) -> str:
    kinds = {stat.S_IFREG: "a file of several names", stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder"}
    return kinds.get(stat.S_IFMT(found.st_mode), "no file")


def _refuse_what_is_not_plain(folder: int, file: Path) -> os.stat_result:
    found = os.stat(file.name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise StateFailed(
            f"{_shown(file)} is {_kind(found)}, and the guard writes to no other's: look what it is, and remove it"
        )
    if found.st_uid != os.geteuid():
        raise StateFailed(
            f"{_shown(file)} belongs to {_user(found.st_uid)}, not to us: move it away, and run: "
            "exodus-storage-guard init, then rebuild"
        )
    return found


def make_private(folder: Path, names: Collection[str]) -> None:
    """Make the folder where there is none; where others may write to it, take that right from them.

    Only where all that it holds begins with one of these names: a folder that is others' as well is refused.
    """
    folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    with opened(folder) as descriptor:
        found = os.fstat(descriptor)
        if not found.st_mode & _OTHERS_WRITE:
            return
        ours = (*names, LISTING)
        foreign = [name for name in os.listdir(descriptor) if not name.startswith(ours)]  # noqa: PTH208 - a descriptor
        if foreign:
            raise StateFailed(
                f"{_shown(folder)} {_open_to_others(found.st_mode)}, and {printable(foreign[0])} in it is not the "
                "guard's: name a folder of its own in state.url, or remove that"
            )
        os.fchmod(descriptor, _PRIVATE_FOLDER)


def make_file(file: Path) -> None:
    """Make an empty file for us alone; raise FileExistsError where there is anything of that name."""
    with opened(file.parent) as folder:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(file.name, flags, _PRIVATE_FILE, dir_fd=folder))


def is_private(file: Path) -> bool:
    """Tell whether a plain file of ours was never open to others; raise `StateFailed` where it is none of ours."""
    with opened(file.parent) as folder:
        return not _refuse_what_is_not_plain(folder, file).st_mode & _OTHERS


def _open_to_others(mode: int) -> str:
    return f"may be written by others than the guard (mode {stat.S_IMODE(mode):o})"


def _user(uid: int) -> str:
    return f"the user {uid}"


def _shown(path: Path) -> str:
    return printable(str(path))

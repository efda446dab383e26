"""Walk through a folder and those below it, without following a link; what cannot be looked at is named."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from exodus_storage_guard.stores.names import is_aside_folder, is_ours

_MKFS = "lost+found"  # root's alone, at the top of a filesystem

Entered = Callable[[str], AbstractContextManager[tuple[int, str]]]
"""Open the folder that a path's file is in, and name the file."""


@dataclass(frozen=True, slots=True)
class Found:
    """Name what was come by: in which folder (open, and its path below the first one), and what it is."""

    folder: int
    below: str
    name: str
    status: os.stat_result

    @property
    def key(self) -> str:
        """Give its path below the first folder."""
        return f"{self.below}{self.name}"

    @property
    def is_folder(self) -> bool:
        """Tell whether it is a folder that objects may lie in."""
        return stat.S_ISDIR(self.status.st_mode) and not is_aside_folder(self.name)

    @property
    def is_ours(self) -> bool:
        """Tell whether it is a file or a folder that we have made for what is no object."""
        if stat.S_ISDIR(self.status.st_mode):
            return is_aside_folder(self.name)
        return stat.S_ISREG(self.status.st_mode) and is_ours(self.name)


def walk(entered: Entered, unseen: dict[str, str], begin: Callable[[int, str], None] | None = None) -> Iterator[Found]:
    """Stream all that is no folder, and folders of ours; raise `OSError` where not even the first can be looked at.

    `unseen` is told what the keys of all that could not be looked at begin with, and why; `begin` is given each folder,
    and its path, before it is looked through.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            with entered(f"{below}any") as (folder, _):
                if begin is not None:
                    begin(folder, below)
                for found in _entries(folder, below, unseen):
                    if found.is_folder:
                        waiting.append(f"{found.key}/")
                    else:
                        yield found
        except FileNotFoundError:
            if not below:
                raise
        except OSError as error:
            if not below:
                raise
            unseen[below] = error.strerror or str(error)


def _entries(folder: int, below: str, unseen: dict[str, str]) -> Iterator[Found]:
    with os.scandir(folder) as entries:
        for item in entries:
            found = _looked_at(item, folder, below, unseen)
            if found is not None and found.key != _MKFS:
                yield found


def _looked_at(item: "os.DirEntry[str]", folder: int, below: str, unseen: dict[str, str]) -> Found | None:
    try:
        return Found(folder, below, item.name, item.stat(follow_symlinks=False))
    except FileNotFoundError:  # deleted meanwhile
        return None
    except PermissionError:  # as will be all that is in this folder
        raise
    except OSError as error:
        unseen[f"{below}{item.name}"] = error.strerror or str(error)
        return None

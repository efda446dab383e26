"""Measure a filesystem."""

import errno
import os
import shlex
from datetime import datetime
from pathlib import Path

from exodus_storage_guard.model import Capacity
from exodus_storage_guard.processes import user_name


def measure(path: Path, now: datetime) -> Capacity | None:
    """Measure the filesystem a path is on: used is the total less what an ordinary user may still write."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None  # `obstacle` tells why
    total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    files = found.f_favail if found.f_files else None  # btrfs and others count none
    return Capacity("filesystem", total, total - free, free, now, files)


def obstacle(path: Path) -> str:
    """Say what stands in the way of whoever wants to measure a filesystem, or to look into a folder, and what to do."""
    try:
        os.statvfs(path)
        may_enter = os.access(path, os.X_OK, effective_ids=True)
    except PermissionError:
        may_enter = False
    except FileNotFoundError as error:
        return f"{error.strerror}; is its disk mounted?"
    except OSError as error:
        return f"{error.strerror}"
    if may_enter:
        return "is its disk mounted?"
    who = f"{os.strerror(errno.EACCES)}: the user {user_name(os.geteuid())} may not enter it, or a folder above it"
    return f"{who}: give that user the right to (namei -l {shlex.quote(str(path))} shows who may)"

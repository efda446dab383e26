"""Measure a filesystem."""

import os
from datetime import datetime
from pathlib import Path

from exodus_storage_guard.model import Capacity


def measure(path: Path, now: datetime) -> Capacity | None:
    """Measure the filesystem a path is on: used is the total less what an ordinary user may still write."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    files = found.f_favail if found.f_files else None  # btrfs and others count none
    return Capacity("filesystem", total, total - free, free, now, files)


def why_unmeasured(path: Path) -> str:
    """Say in the system's own words why a filesystem cannot be measured, and what to look at."""
    try:
        os.statvfs(path)
    except FileNotFoundError as error:
        return f": {error.strerror}: is its disk mounted?"
    except OSError as error:
        return f": {error.strerror}"
    return ": is its disk mounted?"

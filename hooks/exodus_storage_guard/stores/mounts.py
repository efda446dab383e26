"""Look where folders lie, past links and bind mounts: a name says little (proc_pid_mountinfo(5))."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class _Part:
    """Say where a part of a filesystem is seen."""

    device: str
    path: PurePosixPath
    seen_at: Path


def lie_in_each_other(one: Path, other: Path) -> bool:
    """Tell whether a folder, or what is mounted below it, is or holds another, whatever both are called."""
    mine, theirs = _parts(one), _parts(other)
    return any(_shows(a, b) or _shows(b, a) for a in mine for b in theirs)


def share_space(one: Path, other: Path) -> bool:
    """Tell whether two folders lie on one filesystem: what goes from one into the other frees nothing."""
    mine, theirs = _parts(one), _parts(other)
    return bool(mine and theirs) and mine[0].device == theirs[0].device


def disk_of(folder: Path) -> Path | None:
    """Name where the disk is mounted that a folder is on; None where that is the root's, or cannot be told.

    By devices, not by the table of mounts: a sandbox shows a folder as a mount of its own, on the same disk.
    """
    with suppress(OSError):
        real = Path(os.path.realpath(folder, strict=True))
        return next((one for one in (real, *real.parents[:-1]) if _begins_a_disk(one)), None)
    return None


def is_mounted(point: Path) -> bool:
    """Tell whether a disk is mounted there, or nobody can tell."""
    try:
        return _begins_a_disk(point)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _begins_a_disk(folder: Path) -> bool:
    return folder.stat().st_dev != folder.parent.stat().st_dev


def _shows(outer: _Part, inner: _Part) -> bool:
    """Follow the table of mounts, and look: NFS calls all its roots /, and a mount may hide another."""
    if outer.device != inner.device or not inner.path.is_relative_to(outer.path):
        return False
    with suppress(OSError):
        return (outer.seen_at / inner.path.relative_to(outer.path)).samefile(inner.seen_at)
    return False


def _parts(folder: Path) -> list[_Part]:
    """Give the part that a folder is, then those that are mounted below it; none where that cannot be told."""
    real, mounts = Path(os.path.realpath(folder)), list(_mounts())
    with suppress(OSError):
        if not real.samefile(folder):  # /proc/PID/root leads into other mounts than ours
            return []
    above = [one for one in mounts if real.is_relative_to(one.seen_at)]
    if not above:
        return []
    on = max(reversed(above), key=lambda one: len(one.seen_at.parts))  # of several at one place the last is seen
    own = _Part(on.device, on.path / real.relative_to(on.seen_at), real)
    return [own, *(one for one in mounts if one.seen_at != real and one.seen_at.is_relative_to(real))]


def _mounts() -> Iterator[_Part]:
    with suppress(OSError):
        for line in os.fsdecode(_MOUNTS.read_bytes()).split("\n"):
            fields = line.split(" ")
            if len(fields) > 4:
                path, point = (_ESCAPED.sub(lambda found: chr(int(found[1], 8)), one) for one in fields[3:5])
                yield _Part(fields[2], PurePosixPath(path), Path(point))

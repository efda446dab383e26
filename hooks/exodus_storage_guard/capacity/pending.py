"""Decide how much of what was released is still on its way: pure functions; `now` is an argument.

A store may give space back late: MinIO renames what is deleted into a trash that it empties every few minutes. What is
on its way is not free yet, and must not be released again by deleting more.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

LATE_AFTER = timedelta(minutes=15)
"""MinIO's trash takes five minutes, and longer on a slow disk (minio#18341)."""
_FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pending:
    """Hold what was released and not measured back, what was used when that was last looked at, and since when."""

    bytes: int
    used_bytes: int
    since: datetime


def looked_at(pending: Pending, used_bytes: int, now: datetime) -> Pending | None:
    """Look again: what is used less now has come back; None once all has, or there is no hope left that it will.

    What grew meanwhile is somebody's upload: it is not held against what comes back later.
    """
    left = pending.bytes - max(0, pending.used_bytes - used_bytes)
    if left <= 0 or now - pending.since > _FORGOTTEN_AFTER:
        return None
    return replace(pending, bytes=left, used_bytes=used_bytes)


def released(pending: Pending | None, freed_bytes: int, before_bytes: int, used_bytes: int, now: datetime) -> Pending:
    """Add what was just released: all of it but what the store uses less already."""
    came_back = max(0, before_bytes - used_bytes)
    left = max(0, (pending.bytes if pending else 0) + freed_bytes - came_back)
    return Pending(left, used_bytes, now)


def is_late(pending: Pending, now: datetime) -> bool:
    """Tell whether it has been on its way for longer than a store's trash explains."""
    return now - pending.since > LATE_AFTER

"""Decide how much of what was released is still on its way: pure functions; `now` is in what is looked at.

A store may give space back late: MinIO renames what is deleted into a trash that it empties every few minutes. What is
on its way is not free yet, and must not be released again by deleting more. A disk tells one sum only, so what comes
back may be hidden by what uploads write meanwhile; what they have committed is known, and is taken out of it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

LATE_AFTER = timedelta(minutes=15)
"""MinIO's trash takes five minutes, and longer on a slow disk (minio#18341)."""
_FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Look:
    """Hold what is used, what uploads have committed since the look before, and what those have reserved that go on."""

    at: datetime
    used_bytes: int
    committed_bytes: int = 0
    uploading_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Pending:
    """Hold what was released until `since` and not measured back, `late_bytes` long before that, and the last look.

    `written_bytes` is what uploads that are not committed may have written at that look.
    """

    bytes: int
    used_bytes: int
    since: datetime
    looked_at: datetime
    written_bytes: int = 0
    late_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """Add up what has not come back."""
        return self.bytes + self.late_bytes


def looked_at(pending: Pending, look: Look) -> Pending | None:
    """Look again: what is used less than uploads explain has come back; None once all has, or no hope is left.

    What grew meanwhile is somebody's upload: it is not held against what comes back later. And what it is told to
    have written once it is committed, it may have written before this look: that much has not come back.
    """
    less = pending.used_bytes + look.committed_bytes - look.used_bytes
    written = min(look.committed_bytes, pending.written_bytes, max(0, less))
    came_back = max(0, less - written)
    may_be_written = min(pending.written_bytes - written + max(0, -less), look.uploading_bytes)
    late = max(0, pending.late_bytes - came_back)
    left = max(0, pending.bytes - max(0, came_back - pending.late_bytes))
    if left + late == 0 or abs(look.at - pending.since) > _FORGOTTEN_AFTER:
        return None
    return Pending(left, look.used_bytes, pending.since, look.at, may_be_written, late)


def released(pending: Pending | None, freed_bytes: int, before_bytes: int, look: Look) -> Pending | None:
    """Add what was just released, `before_bytes` having been used; None where all of it has come back already.

    What is late by then is kept apart, and what was late before that is given up.
    """
    if pending is None:
        present = Pending(freed_bytes, before_bytes, look.at, look.at, look.uploading_bytes + look.committed_bytes)
    elif is_late(pending, look.at):
        present = replace(pending, bytes=freed_bytes, late_bytes=pending.bytes, since=look.at)
    else:
        present = replace(pending, bytes=pending.bytes + freed_bytes, since=look.at)
    return looked_at(present, look)


def is_late(pending: Pending, now: datetime) -> bool:
    """Tell whether it has been on its way for longer than a store's trash explains."""
    # What was released in the future was so by a clock that was ahead: nobody knows how long ago.
    return now - pending.since > LATE_AFTER or pending.since - now > LATE_AFTER


def late_bytes(pending: Pending, now: datetime) -> int:
    """Add up what has been on its way for longer than a store's trash explains."""
    return pending.total_bytes if is_late(pending, now) else pending.late_bytes


def on_its_way(pending: Pending, now: datetime, *, is_pressing: bool) -> int:
    """Say how much less is to be released for what was before: where room is pressing nothing that is late."""
    return pending.total_bytes - (late_bytes(pending, now) if is_pressing else 0)

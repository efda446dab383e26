"""Decide what fits, what is swept, and why the rest is not: pure functions; `now` is an argument."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import accumulate

from exodus_storage_guard.model import Capacity, Entry, ObjectState, Reservation, Total, Watermarks
from exodus_storage_guard.sizes import shown, shown_apart

CLOCKS_DIFFER = timedelta(minutes=5)
"""What clocks may differ by, and do, without anything being wrong."""
_LONGEST_WAIT = timedelta(days=2)  # nothing is put off for longer than a day
_AT_REST = (ObjectState.RESIDENT, ObjectState.PREMIGRATED, ObjectState.FAILED, ObjectState.QUARANTINED)
_FEWEST_FILES = 1000  # MinIO takes a disk with fewer free inodes for a full one, too


class Kept(StrEnum):
    """Say why an object is not touched."""

    NOT_SELECTED = "not selected by the pattern"
    HELD = "held"
    UPLOADING = "being uploaded"
    NOT_RECORDED = "in no record of the platform's"
    DIFFERS = "other than what the platform recorded"
    TOO_YOUNG = "younger than the minimum age"
    BEING_MOVED = "being moved by another run"
    FAILED = "failed, and not yet to be tried again"
    NOT_FREEABLE = "not freeable: older versions, a lock or a hold of the store's own"
    UNFINISHED = "not freeable: uploads in parts that nobody has finished"
    NOT_NEEDED = "not needed: enough is freed"
    NOT_REACHED = "not reached: the sweep could not go on"


@dataclass(frozen=True, slots=True)
class Selection:
    """Hold what may be swept: by pattern, age, and keys that are being uploaded at this moment.

    With `retries` what failed, and what was not freeable, is not put off any longer.
    """

    pattern: re.Pattern[str]
    minimum_age: timedelta
    uploading: frozenset[str] = frozenset()
    prunes: bool = False
    only_recorded: bool = False
    retries: bool = False


@dataclass(frozen=True, slots=True)
class BelievedNow:
    """Say which instant ages go by, and what is wrong with the clocks; '' where they agree."""

    now: datetime
    warning: str = ""


def believed(machine_now: datetime, store_now: datetime | None) -> BelievedNow:
    """Say which instant ages go by: this machine's, or where the store's clock is more than minutes apart the earlier.

    So nothing is older than both say. It is the store's clock that gave the objects their times, and one that was wrong
    for a while may have given some of them times of a future.
    """
    if store_now is None or abs(machine_now - store_now) <= CLOCKS_DIFFER:
        return BelievedNow(machine_now)
    apart = f"{abs(machine_now - store_now) / timedelta(days=1):.2f} days"
    if machine_now > store_now:
        return BelievedNow(store_now, f"this machine's clock is {apart} ahead of the store's: ages go by the store's")
    return BelievedNow(machine_now, f"the store's clock is {apart} ahead of this machine's: ages go by this machine's")


def holds(one: Reservation, now: datetime) -> bool:
    """Tell whether the lease of an upload that is on its way has not ended; one that begins later was never made.

    A clock that was ahead when it was made would have it hold for as long as that was.
    """
    return one.created_at - CLOCKS_DIFFER <= now < one.expires_at


def reserved_bytes(reservations: Iterable[Reservation]) -> int:
    """Add up what uploads take that are on their way."""
    return sum(one.charged_bytes for one in reservations)


@dataclass(frozen=True, slots=True)
class Fit:
    """Answer whether an upload fits now: `missing_bytes` is 0 where it does; `starts_sweep` above the high mark.

    `need_bytes` is the room there has to be for it, where that is more than it takes.
    """

    missing_bytes: int
    starts_sweep: bool
    reason: str
    need_bytes: int = 0


def within(marks: Watermarks, most_bytes: int) -> Watermarks:
    """Lower marks to what may be used at all: above that nothing comes in, and no sweep would ever begin.

    The low mark keeps its proportion to the high one, so that a sweep has something to do.
    """
    most = max(0, most_bytes)
    high = min(marks.high_bytes, most)
    return Watermarks(marks.low_bytes * high // marks.high_bytes, high, min(marks.flood_bytes, most))


def why_lowered(marks: Watermarks, total_bytes: int, reserve_bytes: int) -> str:
    """Say that sweeps begin below the high mark that is set, and what to set; nothing where they begin there."""
    most = max(0, total_bytes - reserve_bytes)
    if marks.high_bytes <= most:
        return ""
    lowered = within(marks, most)
    high, may = shown_apart(marks.high_bytes, most)
    less = f" less the {shown(reserve_bytes)} of admission.emergency_reserve" if reserve_bytes else ""
    remedy = "set a lower watermarks.high and watermarks.low" + (", or a smaller reserve" if reserve_bytes else "")
    return (
        f"watermarks.high is {high}, and {may} may be used at all (the store's {shown(total_bytes)}{less}): sweeps "
        f"begin at {shown(lowered.high_bytes)} and end at {shown(lowered.low_bytes)}; {remedy}"
    )


def fit(
    capacity: Capacity,
    reserved: int,
    charged_bytes: int,
    marks: Watermarks,
    reserve_bytes: int,
    *,
    mean_bytes: int = 0,
) -> Fit:
    """Decide whether so many more bytes fit below the flood mark with the emergency reserve staying free.

    Where it is files that lack, as many of `mean_bytes` are missing.
    """
    wanted = capacity.used_bytes + reserved + charged_bytes
    over_flood = wanted - marks.flood_bytes
    over_reserve = reserved + charged_bytes + reserve_bytes - capacity.free_bytes
    missing = max(over_flood, over_reserve, 0)
    if is_out_of_files(capacity):
        files = (_FEWEST_FILES - (capacity.free_files or 0)) * mean_bytes
        return Fit(max(missing, files, 1), True, f"the store has only {capacity.free_files} free inodes")
    if missing == 0:
        return Fit(0, wanted > marks.high_bytes, "there is room")
    is_reserve = reserve_bytes > 0 and over_reserve >= over_flood  # which lowers the flood mark, where it is above it
    why = "into the emergency reserve" if is_reserve else "above the flood watermark"
    more, over = shown_apart(charged_bytes, missing)
    return Fit(missing, True, f"{more} more would go {over} {why}")


def is_made_way_for(found: Fit, capacity: Capacity, premigrated_bytes: int) -> bool:
    """Tell whether an upload comes in, if need be in place of what is premigrated, which is released at once."""
    return found.missing_bytes == 0 or (found.missing_bytes <= premigrated_bytes and not is_out_of_files(capacity))


def room_bytes(capacity: Capacity, marks: Watermarks, reserve_bytes: int) -> int:
    """Say how much may come in all, with what is reserved already; less than 0 where there is too much."""
    return min(marks.flood_bytes - capacity.used_bytes, capacity.free_bytes - reserve_bytes)


def is_out_of_files(capacity: Capacity) -> bool:
    """Tell whether a store has so few inodes left that it is full."""
    return capacity.free_files is not None and capacity.free_files < _FEWEST_FILES


def admits_nothing(capacity: Capacity, marks: Watermarks, reserve_bytes: int) -> str:
    """Say why not even one byte would ever be admitted, and what to set; nothing where one would be."""
    if not fits_never(capacity, 1, marks, reserve_bytes):
        return ""
    total, reserve = shown(capacity.total_bytes), shown(reserve_bytes)
    why = f"of {total} in all {reserve} are to stay free (admission.emergency_reserve)"
    return f"nothing can ever be admitted: {why}; set a smaller reserve, or give the store more room"


def usual_bytes(estimated_bytes: int, everything: Total, total_bytes: int) -> int:
    """Say what an upload of usual size is, from the estimate for one of unknown size and from what is catalogued.

    The estimate is of some size where little is known; to a store that is small this says nothing.
    """
    twice_the_mean = 2 * everything.bytes // max(1, everything.count)
    return max(1, min(estimated_bytes, max(twice_the_mean, total_bytes // 100)))


def more_than_allowed(everything: Total, most_bytes: int) -> str:
    """Say that an upload as large as those that are catalogued is refused by a setting; nothing where it is not."""
    mean = everything.bytes // max(1, everything.count)
    if mean <= most_bytes:
        return ""
    usual, most = shown_apart(mean, most_bytes)
    return (
        f"an upload of usual size ({usual}, the mean of what is catalogued) is refused: one upload may have {most} "
        "(admission.most_bytes); set more"
    )


def fits_never(capacity: Capacity, charged_bytes: int, marks: Watermarks, reserve_bytes: int) -> bool:
    """Tell whether an upload would not even fit into an empty store."""
    return charged_bytes > min(marks.flood_bytes, capacity.total_bytes - reserve_bytes)


def is_fresh(capacity: Capacity | None, now: datetime, max_age_seconds: float) -> bool:
    """Tell whether a measurement is one: not too old, and not from a future that a clock jumped back from."""
    if capacity is None:
        return False
    age = (now - capacity.measured_at).total_seconds()
    return -max_age_seconds <= age <= max_age_seconds


def why_kept(entry: Entry, selection: Selection, now: datetime) -> Kept | None:
    """Say why an object in the store may not be swept now; None where it may."""
    if not selection.pattern.search(entry.key):
        return Kept.NOT_SELECTED
    if entry.held:
        return Kept.HELD
    if entry.key in selection.uploading:
        return Kept.UPLOADING
    if selection.only_recorded and entry.recorded_at is None:
        return Kept.NOT_RECORDED
    if entry.sha256 and entry.recorded_sha256 and entry.sha256 != entry.recorded_sha256:
        return Kept.DIFFERS
    if entry.aged_from > now - selection.minimum_age:
        return Kept.TOO_YOUNG
    if entry.state not in _AT_REST:
        return Kept.BEING_MOVED
    return None if selection.retries else _put_off(entry, now)


def _put_off(entry: Entry, now: datetime) -> Kept | None:
    """Say why what went wrong before is not tried again yet."""
    if entry.state in (ObjectState.FAILED, ObjectState.QUARANTINED):
        return Kept.FAILED if entry.retry_at is None or _waits(entry.retry_at, now) else None
    return Kept.NOT_FREEABLE if entry.retry_at is not None and _waits(entry.retry_at, now) else None


def _waits(retry_at: datetime, now: datetime) -> bool:
    """Tell whether something is put off; a clock that was ahead would have it put off for as long as that was."""
    return now < retry_at <= now + _LONGEST_WAIT


class Action(StrEnum):
    """Say what is done to an object: archived and released, released since its copy is proven, or deleted for good."""

    ARCHIVE = "archive"
    RELEASE = "release"
    PRUNE = "prune"


@dataclass(frozen=True, slots=True)
class Step:
    """Plan one object, with the reason."""

    entry: Entry
    action: Action
    reason: str


@dataclass
class Chooser:
    """Choose from objects that come oldest first until enough is chosen; count what is kept, by reason.

    Memory is flat: steps leave as they are chosen, and what is kept is only counted.
    """

    entries: Iterator[Entry]
    selection: Selection
    now: datetime
    need_bytes: int
    chosen_bytes: int = 0
    kept: dict[Kept, Total] = field(default_factory=dict)

    def take(self, most: int = 2**63, most_bytes: int = 2**63) -> list[Step]:
        """Give the next steps, at most so many; none once enough is chosen or nothing is left."""
        steps: list[Step] = []
        taken_bytes = 0
        while self.chosen_bytes < self.need_bytes and len(steps) < most and taken_bytes < most_bytes:
            entry = next(self.entries, None)
            if entry is None:
                break
            kept = why_kept(entry, self.selection, self.now)
            if kept is not None:
                self._keep(kept, entry)
                continue
            steps.append(Step(entry, self._action(entry), _age(entry, self.now)))
            self.chosen_bytes += entry.bytes
            taken_bytes += entry.bytes
        return steps

    def give_back(self, failed_bytes: int) -> None:
        """Take note that what was chosen could not be freed: the next ones in line are chosen in its place."""
        self.chosen_bytes -= failed_bytes

    def still_needed(self, steps: Sequence[Step], left_bytes: int) -> list[Step]:
        """Keep the first of the steps that were just taken, as far as so much is still needed; never choose more."""
        before = accumulate((step.entry.bytes for step in steps), initial=0)
        needed = [step for step, already_bytes in zip(steps, before, strict=False) if already_bytes < left_bytes]
        self.chosen_bytes -= sum(step.entry.bytes for step in steps)
        self.need_bytes = min(self.need_bytes, self.chosen_bytes + left_bytes)
        self.chosen_bytes += sum(step.entry.bytes for step in needed)
        return needed

    def count_rest(self, otherwise: Kept = Kept.NOT_NEEDED) -> None:
        """Count what is left by what keeps it, or else as not needed."""
        for entry in self.entries:
            self._keep(why_kept(entry, self.selection, self.now) or otherwise, entry)

    def _keep(self, reason: Kept, entry: Entry) -> None:
        self.kept[reason] = self.kept.get(reason, Total()) + Total(1, entry.bytes)

    def _action(self, entry: Entry) -> Action:
        if entry.state is ObjectState.PREMIGRATED:
            return Action.RELEASE  # also where others are pruned: what has a copy is known as archived, and not as gone
        return Action.PRUNE if self.selection.prunes else Action.ARCHIVE


def _age(entry: Entry, now: datetime) -> str:
    days = (now - entry.aged_from).total_seconds() / 86400
    return f"{days:.1f} days old, the oldest that is left"


def explain(chosen_bytes: int, need_bytes: int, kept: Mapping[Kept, Total]) -> str:
    """Say in a sentence whether a plan reaches its aim, and what stands in the way where not."""
    chosen, need = shown_apart(chosen_bytes, need_bytes)
    if chosen_bytes >= need_bytes:
        return f"frees {chosen} of the {need} needed" if need_bytes else "nothing to do"
    why = "; ".join(f"{shown(total.bytes)} in {total.count} {reason.value}" for reason, total in sorted(kept.items()))
    found = f"only {chosen} of the {need} needed can be freed"
    return f"{found}: {why}" if why else f"{found}: nothing else is in the store"


def retry_after_seconds(missing_bytes: int, releasable_bytes: int, bytes_per_second: float) -> int | None:
    """Say when to come back: None where all that could be released is not enough, else what the sweep will take."""
    if releasable_bytes < missing_bytes:
        return None
    return max(10, min(3600, round(missing_bytes / max(bytes_per_second, 1.0))))

"""Decide whether a sweep is due, for how much, and what to say of it: one decision that all take, and a pure one.

`check` says what an upload of usual size meets; a sweep that nobody waits for, and `plan`, make the room it lacks.
"""

from dataclasses import dataclass
from enum import StrEnum

from exodus_storage_guard import policy
from exodus_storage_guard.model import Capacity, Watermarks
from exodus_storage_guard.policy import Fit


class Outlook(StrEnum):
    """Say what a sweep is to do about how things stand."""

    NOTHING = "no sweep is due"
    COMES_BACK = "what was released is on its way back, and no sweep is due"
    DUE = "a sweep is due"
    HELPLESS = "no sweep can help: exodus-storage-guard plan says why"


@dataclass(frozen=True, slots=True)
class Standing:
    """Hold all that decides: what is used, promised and allowed, and what an upload of usual size is charged.

    `size_bytes` is that size, and `usual_bytes` what it is charged; `premigrated_bytes` make way for an upload at once;
    `late_bytes` are those of `on_its_way_bytes` that should have come back long ago; `mean_bytes` has one object of
    those that are catalogued.
    """

    capacity: Capacity
    limits: Watermarks
    reserve_bytes: int
    reserved_bytes: int
    size_bytes: int
    usual_bytes: int
    premigrated_bytes: int = 0
    on_its_way_bytes: int = 0
    late_bytes: int = 0
    mean_bytes: int = 0

    def fit(self, charged_bytes: int) -> Fit:
        """Answer whether so much more fits now."""
        room = self.capacity, self.reserved_bytes, charged_bytes, self.limits, self.reserve_bytes
        return policy.fit(*room, mean_bytes=self.mean_bytes)

    @property
    def refused(self) -> Fit | None:
        """Say why an upload of usual size is refused at this moment; None where it is not."""
        found = self.fit(self.usual_bytes)
        return None if policy.is_made_way_for(found, self.capacity, self.premigrated_bytes) else found

    @property
    def fits_never(self) -> bool:
        """Tell whether an upload of usual size would not even fit into an empty store: no sweep changes that."""
        return policy.fits_never(self.capacity, self.usual_bytes, self.limits, self.reserve_bytes)

    @property
    def lacking_bytes(self) -> int:
        """Say what has to be freed for an upload of usual size."""
        refused = None if self.fits_never else self.refused
        return refused.missing_bytes if refused else 0

    @property
    def is_pressing(self) -> bool:
        """Tell whether room is needed and not only tidied up: then a sweep begins, and what is late is not waited for.

        That is above the high mark, and wherever an upload of usual size would be refused.
        """
        return self.capacity.used_bytes > self.limits.high_bytes or self.lacking_bytes > 0

    def on_its_way(self, *, is_pressing: bool) -> int:
        """Say how much less is to be released for what was before."""
        return max(0, self.on_its_way_bytes - (self.late_bytes if is_pressing else 0))

    def to_free(self, *, is_pressing: bool) -> int:
        """Say how much a sweep frees that nobody waits for: down to the low mark, and what a usual upload lacks."""
        wanted = max(self.capacity.used_bytes - self.limits.low_bytes, self.lacking_bytes)
        return max(0, wanted - self.on_its_way(is_pressing=is_pressing))

    @property
    def least_bytes(self) -> int:
        """Say how much a sweep that is due has to be able to free for it to help."""
        return max(1, self.lacking_bytes - self.on_its_way(is_pressing=True))

    def outlook(self, freeable_bytes: int) -> Outlook:
        """Say what a sweep is to do, which could free so much (counted as far as `least_bytes`)."""
        if not self.is_pressing:
            return Outlook.NOTHING
        if self.to_free(is_pressing=True) == 0:
            return Outlook.COMES_BACK
        return Outlook.DUE if freeable_bytes >= self.least_bytes else Outlook.HELPLESS

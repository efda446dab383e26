"""What a request or a task has reserved, and what of it was really stored: that alone is committed."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from exodus_storage_guard.admission.guard import UploadReservation


@dataclass
class Room:
    """Hold a reservation, and what a storage says it has stored within it."""

    reservation: UploadReservation
    hold: "Callable[[Room, int], None]" = field(repr=False)
    """What sees that the reservation holds now, and so many bytes."""
    _stored: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def stored(self) -> Mapping[str, int]:
        """Give the keys that were stored, each with its size."""
        return self._stored

    def take(self, size_bytes: int) -> None:
        """See that so many bytes more have room; raise `UploadRefused` where they have not."""
        self.hold(self, sum(self._stored.values()) + size_bytes)

    def note(self, key: str, size_bytes: int) -> None:
        """Remember what was stored."""
        self._stored[key] = size_bytes

    def forget(self, key: str) -> None:
        """Remember that it was removed again."""
        self._stored.pop(key, None)


HELD: ContextVar[Room | None] = ContextVar("exodus_held", default=None)
"""The room within which this very thread, or task, is storing."""

"""What a request or a task has reserved, and what of it was really stored: that alone is committed."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from exodus_storage_guard.admission.guard import UploadReservation


@dataclass
class Room:
    """Hold a reservation, and what a storage says it has stored within it."""

    reservation: UploadReservation
    _stored: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def stored(self) -> Mapping[str, int]:
        """Give the keys that were stored, each with its size."""
        return self._stored

    def take(self, size_bytes: int) -> None:
        """See that so many bytes more have room; raise `UploadRefused` where they have not."""
        wanted = sum(self._stored.values()) + size_bytes
        if wanted > self.reservation.reserved.bytes:
            self.reservation.grow(wanted)

    def note(self, key: str, size_bytes: int) -> None:
        """Remember what was stored."""
        self._stored[key] = size_bytes

    def forget(self, key: str) -> None:
        """Remember that it was removed again."""
        self._stored.pop(key, None)


HELD: ContextVar[Room | None] = ContextVar("exodus_held", default=None)
"""The room within which this very thread, or task, is storing."""

"""Decide on uploads: what is asked of whoever decides, and how a process does it that runs as the state's owner."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol

from exodus_storage_guard.admission import asking, fitting, reservations
from exodus_storage_guard.admission.asking import Asker
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.model import Need, ObjectState, Reservation

_ASKED_EVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reserved:
    """Report a reservation to who asked for it, and what had to be freed for it."""

    id: str
    bytes: int
    expires_at: datetime
    freed_bytes: int = 0

    def fields(self) -> dict[str, object]:
        """Give the fields of its JSON, which are those of CONTRACT.md."""
        named = {"reservation": self.id, "bytes": self.bytes, "expires_at": self.expires_at}
        return {**named, "freed_bytes": self.freed_bytes}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say what is asked for: None for what is usual. `bound`: until this process ends.

    `client` is who sends it, where that may be anybody: he may have a share of the room (`admission.client_share`).
    """

    size_bytes: int | None = None
    key: str | None = None
    wait_seconds: float = 0
    lease_seconds: float | None = None
    bound: bool = False
    client: str | None = None


class Admissions(Protocol):
    """Decide on uploads. Errors: `UploadRefused`; `ExodusError` where nothing can be decided."""

    def admit(self, wanted: "Wanted") -> Reserved:
        """Reserve."""

    def extend(self, reservation_id: str, lease_seconds: float | None) -> bool:
        """Have a reservation end so long from now (None: as is usual); False where there is none (any more)."""

    def grow(self, reservation_id: str, size_bytes: int) -> Reserved:
        """Reserve for an upload that is larger than was said; raise `ObjectMissing` where its reservation has ended."""

    def commit(self, reservation_id: str, key: str | None, size_bytes: int | None, *, is_part: bool = False) -> bool:
        """Say that an upload is stored, of this size or what was reserved; False where there is no such reservation.

        With key and size that is counted also where there is none. `is_part`: it holds on for what else it has.
        """

    def release(self, reservation_id: str) -> bool:
        """Say that an upload did not happen; False where there is no such reservation (any more)."""

    def is_accepting(self, size_bytes: int | None) -> bool:
        """Tell whether an upload of this size, or of a usual one, would be admitted now; nothing is reserved."""

    def is_archived(self, key: str) -> bool:
        """Tell whether an object is in the archive only."""

    def fetch(self, key: str, target: BinaryIO) -> None:
        """Write an object, archived or not, to a file; raise `ObjectMissing` or `StoreFailed`."""


@dataclass
class Direct:
    """Decide in this process, which owns the state; threads may share it, and it outlives a fork."""

    control: AdmissionControl
    _asked_at: float | None = field(default=None, init=False)

    def admit(self, wanted: Wanted) -> Reserved:
        """Reserve, in one transaction where there is room."""
        asked = requested(self.control, wanted, Asker.myself(ends_with_process=wanted.bound))
        return reserved(reservations.admit(self.control, asked, wait_seconds=wanted.wait_seconds))

    def extend(self, reservation_id: str, lease_seconds: float | None) -> bool:
        """Have it end later."""
        return reservations.extend(self.control, reservation_id, lease_seconds)

    def grow(self, reservation_id: str, size_bytes: int) -> Reserved:
        """Reserve more."""
        return reserved(reservations.grow(self.control, reservation_id, size_bytes))

    def commit(
        self, reservation_id: str, key: str | None, size_bytes: int | None = None, *, is_part: bool = False
    ) -> bool:
        """Say that an upload is stored."""
        return reservations.commit(self.control, reservation_id, key, size_bytes, is_part=is_part)

    def release(self, reservation_id: str) -> bool:
        """Say that an upload did not happen."""
        return reservations.release(self.control, reservation_id)

    def is_accepting(self, size_bytes: int | None) -> bool:
        """Tell it; where an upload would not be admitted, a sweep is started, at most once a minute.

        Behind a closed door nobody asks for room, so this does. Threads may then ask for a sweep once each.
        """
        if fitting.is_accepting(self.control, size_bytes):
            return True
        now = self.control.clock.monotonic()
        if self._asked_at is None or now - self._asked_at >= _ASKED_EVERY_SECONDS:
            self._asked_at = now
            wanted = asking.request(self.control, size_bytes, None)
            self.control.sweeper.start_sweep(Need(wanted.charged_bytes))
        return False

    def is_archived(self, key: str) -> bool:
        """Tell it as far as it is known."""
        entry = self.control.catalogue.get(key)
        return entry is not None and entry.state is ObjectState.ARCHIVED

    def fetch(self, key: str, target: BinaryIO) -> None:
        """Have the command read it, which knows the store's secrets."""
        self.control.sweeper.fetch(key, target)


def requested(control: AdmissionControl, wanted: Wanted, asker: Asker) -> Reservation:
    """Write down what somebody asks for."""
    return asking.request(
        control, wanted.size_bytes, wanted.key, lease_seconds=wanted.lease_seconds, asker=asker, client=wanted.client
    )


def reserved(admitted: reservations.Admission) -> Reserved:
    """Give what somebody who asked is told."""
    found = admitted.reservation
    return Reserved(found.id, found.bytes, found.expires_at, admitted.freed_bytes)

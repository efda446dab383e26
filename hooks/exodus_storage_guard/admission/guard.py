"""What a platform calls in its own process: admit an upload, store it, done."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal

from exodus_common.clock import SystemClock
from exodus_storage_guard import processes, settings
from exodus_storage_guard.admission import reservations
from exodus_storage_guard.admission.accepting import AcceptingFlag
from exodus_storage_guard.admission.reservations import AdmissionControl
from exodus_storage_guard.admission.sweeper import sweeper_for
from exodus_storage_guard.model import ObjectState, Reservation
from exodus_storage_guard.state import opening as state


@dataclass
class UploadReservation:
    """Hold room for one upload: leaving a `with` block commits it, an exception releases it."""

    control: AdmissionControl = field(repr=False)
    reservation: Reservation
    freed_bytes: int = 0
    key: str | None = None
    """Under which the upload was stored, where that is only known after it was admitted."""

    @property
    def id(self) -> str:
        """Give the reservation's id, as the command's `commit` and `release` take it."""
        return self.reservation.id

    def grow(self, size_bytes: int) -> None:
        """Reserve for an upload that is larger than was said; raise `UploadRefused` where that does not fit."""
        self.reservation = reservations.grow(self.control, self.reservation, size_bytes)

    def commit(self, key: str | None = None) -> None:
        """Say that the upload is stored, under this key, that of `key`, or the one it was admitted with."""
        reservations.commit(self.control, self.id, key or self.key)

    def release(self) -> None:
        """Say that it did not happen."""
        reservations.release(self.control, self.id)

    def __enter__(self) -> "UploadReservation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.release()


class StorageGuard:
    """Ask for room before an upload is stored. May be shared by threads, and outlives a fork."""

    def __init__(self, control: AdmissionControl) -> None:
        """Take what an admission works with."""
        self._control, self._flag = control, AcceptingFlag(control)

    @classmethod
    def from_config(cls, path: str | Path | None = None) -> "StorageGuard":
        """Read the settings; no secret of the store is read, and the store itself is not touched."""
        named = None if path is None else Path(path)
        found = settings.load(named, os.environ)
        config = named or (Path(os.environ[settings.VARIABLE]) if os.environ.get(settings.VARIABLE) else None)
        sweeper = sweeper_for(found, config)
        return cls(AdmissionControl(found, state.opened(found.state), SystemClock(), sweeper))

    def admit(self, size_bytes: int | None, *, key: str | None = None, wait_seconds: float = 0) -> UploadReservation:
        """Reserve room, or raise `UploadRefused`; a size that is not known yet (None) is estimated, and can grow.

        The reservation ends with this process, and after `lease_seconds` in any case.
        """
        wanted = reservations.request(self._control, size_bytes, key, owner=processes.this_process())
        admitted = reservations.admit(self._control, wanted, wait_seconds=wait_seconds)
        return UploadReservation(self._control, admitted.reservation, admitted.freed_bytes)

    def is_accepting(self, size_bytes: int | None = None) -> bool:
        """Tell whether an upload of this size, or of a usual one, would be admitted now; nothing is reserved.

        Where it would not be, a sweep is started, at most once a minute.
        """
        return self._flag.is_accepting(size_bytes)

    def is_archived(self, key: str) -> bool:
        """Tell whether an object is in the archive only, as far as is known here."""
        entry = self._control.catalogue.get(key)
        return entry is not None and entry.state is ObjectState.ARCHIVED

    def fetch(self, key: str, target: BinaryIO) -> None:
        """Write an object, archived or not, to a file; the store is not refilled.

        Raises `ObjectMissing`, or another `StoreFailed` where it cannot be had now.
        """
        self._control.sweeper.fetch(key, target)

    @property
    def when_broken(self) -> Literal["refuse", "accept"]:
        """Say what becomes of uploads while nothing can be decided, as the settings have it."""
        return self._control.settings.admission.when_broken

    def commit(self, reservation_id: str, key: str | None = None) -> bool:
        """Say that an upload is stored; False where there is no such reservation (any more)."""
        return reservations.commit(self._control, reservation_id, key)

    def release(self, reservation_id: str) -> bool:
        """Say that an upload did not happen; False where there is no such reservation (any more)."""
        return reservations.release(self._control, reservation_id)

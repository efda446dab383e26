"""What a platform calls in its own process: admit an upload, store it, done."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal

from exodus_storage_guard import settings
from exodus_storage_guard.admission import asking, opening
from exodus_storage_guard.admission.admissions import Admissions, Reserved, Wanted


@dataclass
class UploadReservation:
    """Hold room for one upload: leaving a `with` block commits it, an exception releases it."""

    admissions: Admissions = field(repr=False)
    reserved: Reserved
    key: str | None = None
    """Under which the upload was stored, where that is only known after it was admitted."""
    wanted: Wanted = field(default_factory=Wanted, repr=False)
    """What was asked for at first."""
    asked_bytes: int | None = None
    """What `grow` was asked for last, whether it was had or not."""

    @property
    def id(self) -> str:
        """Give the reservation's id, as the command's `commit` and `release` take it."""
        return self.reserved.id

    @property
    def freed_bytes(self) -> int:
        """Give what had to be freed for it."""
        return self.reserved.freed_bytes

    def grow(self, size_bytes: int) -> None:
        """Reserve for an upload of another size than was said; raise `UploadRefused` where that does not fit."""
        self.asked_bytes = size_bytes
        self.reserved = self.admissions.grow(self.id, size_bytes)

    def renew(self, size_bytes: int) -> None:
        """Have one that has ended reserved anew, of this size; raise `UploadRefused` where that does not fit."""
        self.asked_bytes = size_bytes
        anew = replace(self.wanted, size_bytes=size_bytes, lease_seconds=None)
        self.reserved = self.admissions.admit(anew)

    def extend(self, lease_seconds: float | None = None) -> bool:
        """Have it end so long from now (None: as if it began now); False where it has ended already."""
        return self.admissions.extend(self.id, lease_seconds)

    def commit(self, key: str | None = None, *, size_bytes: int | None = None, is_part: bool = False) -> bool:
        """Say that the upload is stored, under this key, that of `key`, or the one it was admitted with.

        `size_bytes` is what was stored, where that is not what was reserved. With key and size it is counted also where
        the reservation has ended; False where it is not. `is_part`: more will be, and the rest is held for that.
        """
        return self.admissions.commit(self.id, key or self.key, size_bytes, is_part=is_part)

    def release(self) -> None:
        """Say that it did not happen."""
        self.admissions.release(self.id)

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

    def __init__(
        self,
        admissions: Admissions,
        when_broken: Literal["refuse", "accept"] = "refuse",
        longest_lease_seconds: float | None = None,
    ) -> None:
        """Take whoever decides, what becomes of uploads while nothing can be decided, and the longest lease."""
        self._admissions, self.when_broken = admissions, when_broken
        self.longest_lease_seconds = longest_lease_seconds

    @classmethod
    def from_config(cls, path: str | Path | None = None) -> "StorageGuard":
        """Read the settings; no secret of the store is read, and the store itself is not touched.

        The service decides, but where this process runs as the owner of the state: then it does so itself.
        """
        named = None if path is None else Path(path)
        found = settings.load(named, os.environ)
        opened, admission = opening.opened(found, settings.named(named, os.environ)), found.admission
        return cls(opened, admission.when_broken, admission.longest_lease_seconds)

    def admit(
        self,
        size_bytes: int | None,
        *,
        key: str | None = None,
        wait_seconds: float = 0,
        lease_seconds: float | None = None,
        client: str | None = None,
    ) -> UploadReservation:
        """Reserve room, or raise `UploadRefused`; a size that is not known yet (None) is estimated, and can grow.

        The reservation ends with this process, and after `lease_seconds` (None: those of the settings) in any case.
        `client` names who sends it, where that may be anybody: his uploads together may have a share of the room.
        """
        wanted = Wanted(size_bytes, key, wait_seconds, lease_seconds, bound=True, client=client)
        return UploadReservation(self._admissions, self._admissions.admit(wanted), wanted=wanted)

    def is_accepting(self, size_bytes: int | None = None) -> bool:
        """Tell whether an upload of this size, or of a usual one, would be admitted now; nothing is reserved.

        Where it would not be, a sweep is started, at most once a minute.
        """
        return self._admissions.is_accepting(size_bytes)

    def is_archived(self, key: str) -> bool:
        """Tell whether an object is in the archive only, as far as is known here."""
        return asking.is_key(key) and self._admissions.is_archived(key)

    def fetch(self, key: str, target: BinaryIO) -> None:
        """Write an object, archived or not, to a file; the store is not refilled.

        Raises `ObjectMissing`, or another `StoreFailed` where it cannot be had now.
        """
        self._admissions.fetch(key, target)

    def commit(self, reservation_id: str, key: str | None = None, *, size_bytes: int | None = None) -> bool:
        """Say that an upload is stored; False where there is no such reservation (any more).

        `size_bytes` is what was stored, where that is not what was reserved.
        """
        return self._admissions.commit(reservation_id, key, size_bytes)

    def release(self, reservation_id: str) -> bool:
        """Say that an upload did not happen; False where there is no such reservation (any more)."""
        return self._admissions.release(reservation_id)

"""Stand for a reservation where a broken guard's uploads are accepted: it can be used like any, and nothing counts."""

from datetime import UTC, datetime
from typing import BinaryIO

from exodus_storage_guard.admission.admissions import Admissions, Reserved, Wanted
from exodus_storage_guard.admission.guard import UploadReservation
from exodus_storage_guard.errors import ObjectMissing

_FOREVER = datetime.max.replace(tzinfo=UTC)


class _Nobody:
    """Admit all, and write nothing down."""

    def admit(self, wanted: Wanted) -> Reserved:
        """Admit it."""
        return Reserved("", wanted.size_bytes or 0, _FOREVER)

    def extend(self, reservation_id: str, lease_seconds: float | None) -> bool:
        """Let it go on."""
        return True

    def grow(self, reservation_id: str, size_bytes: int) -> Reserved:
        """Admit that, too."""
        return Reserved("", size_bytes, _FOREVER)

    def commit(self, reservation_id: str, key: str | None, size_bytes: int | None, *, is_part: bool = False) -> bool:
        """Write nothing down."""
        return True

    def release(self, reservation_id: str) -> bool:
        """Have nothing to give back."""
        return True

    def is_accepting(self, size_bytes: int | None) -> bool:
        """Accept all."""
        return True

    def is_archived(self, key: str) -> bool:
        """Know of nothing."""
        return False

    def fetch(self, key: str, target: BinaryIO) -> None:
        """Have nothing."""
        raise ObjectMissing("nobody is asked while the guard is broken")


_NOBODY: Admissions = _Nobody()


def reservation() -> UploadReservation:
    """Give one."""
    return UploadReservation(_NOBODY, _NOBODY.admit(Wanted()))

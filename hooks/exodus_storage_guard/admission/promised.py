"""Say what is promised to whom, and who may take it back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from exodus_storage_guard import processes
from exodus_storage_guard.admission import counting
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.model import Reservation

_ROOT = 0


def may_end(one: Reservation, uid: int, guard_uid: int) -> bool:
    """Tell whether a user may end a reservation: the one whose it is, the guard, and root."""
    return uid in (one.uid, guard_uid, _ROOT)


@dataclass(frozen=True, slots=True)
class Promised:
    """Report a reservation to people: to which user and process, which end also ends it, for whom, and until when."""

    reservation: str
    bytes: int
    key: str | None
    user: str | None
    process: int | None
    client: str | None
    created_at: datetime
    expires_at: datetime

    def fields(self) -> dict[str, object]:
        """Give the fields of its JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def promised(control: AdmissionControl) -> Sequence[Promised]:
    """Give the reservations that hold, the oldest first."""
    return [_promised(one) for one in sorted(counting.held(control), key=lambda one: (one.created_at, one.id))]


def end(control: AdmissionControl, older_than: timedelta | None = None) -> int:
    """End all reservations, or those that were made so long ago; give how many."""
    now = control.clock.now()
    ids = [
        one.id for one in control.catalogue.reservations() if older_than is None or now - one.created_at >= older_than
    ]
    return control.catalogue.end_reservations(ids) if ids else 0


def _promised(one: Reservation) -> Promised:
    pid = one.owner.split(" ")[2] if one.owner and one.owner.count(" ") == 3 else ""
    user = None if one.uid is None else processes.user_name(one.uid)
    process = int(pid) if pid.isdecimal() else None
    return Promised(one.id, one.bytes, one.key, user, process, one.client, one.created_at, one.expires_at)

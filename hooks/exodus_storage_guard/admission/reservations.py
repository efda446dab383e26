"""The story of `admit`: reserve room for an upload before it is accepted, or refuse it clearly.

In the caller's process only the state is touched, in one transaction; making room is asked of somebody else.
"""

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from exodus_common.clock import Deadline
from exodus_common.terminal import printable
from exodus_storage_guard import policy
from exodus_storage_guard.admission.asking import (
    Asker,
    charged_for,
    countable,
    refuse_longer_key,
    refuse_longer_lease,
    request,
)
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.admission.counting import counts, forget_ended, seen_for_good
from exodus_storage_guard.admission.fitting import attempt
from exodus_storage_guard.admission.making_room import (
    asks_a_server,
    how_room_is_made,
    premigrated_bytes,
    retry_after_seconds,
)
from exodus_storage_guard.errors import ObjectMissing, UploadRefused, Why
from exodus_storage_guard.model import Capacity, Need, Reservation, StoredObject
from exodus_storage_guard.policy import Fit

_log = logging.getLogger(__name__)
_LOOKS_EVERY = 5  # turns of about a second: MinIO renews its figures once a minute


@dataclass(frozen=True, slots=True)
class Admission:
    """Report a reservation, and what had to be freed for it."""

    reservation: Reservation
    freed_bytes: int = 0


Work = Callable[[], object]
Steps = Generator[float | Work, bool | None, Admission]
"""What an admission waits for: so many seconds, or the end of some work, after which it is told whether that was done
for it (or, False, for another one that asked for the same meanwhile)."""


def admit(control: AdmissionControl, wanted: Reservation, *, wait_seconds: float = 0, is_new: bool = True) -> Admission:
    """Reserve, after making room where that is needed; raise `UploadRefused` where there is none to be made in time."""
    going, told = steps(control, wanted, wait_seconds=wait_seconds, is_new=is_new), None
    while True:
        try:
            awaited = going.send(told)
        except StopIteration as done:
            admitted: Admission = done.value
            return admitted
        if callable(awaited):
            awaited()
        else:
            control.clock.wait(awaited)
        told = True


@dataclass
class _Attempts:
    """Try as often as there may be room; the lease of a new one begins when it is given, however long that took."""

    control: AdmissionControl
    wanted: Reservation
    is_new: bool

    def __call__(self) -> Fit:
        """Try once."""
        now = self.control.clock.now()
        if self.is_new:
            self.wanted = self.wanted.beginning(now)
        elif not policy.holds(self.wanted, now):
            raise _ended(self.wanted.id)
        return attempt(self.control, self.wanted)


def steps(control: AdmissionControl, wanted: Reservation, *, wait_seconds: float = 0, is_new: bool = True) -> Steps:
    """Do what `admit` promises, without waiting for anything: whoever goes on with this does that as he likes."""
    attempts = _Attempts(control, wanted, is_new)
    control.refuse_another_store()
    if asks_a_server(control) and control.measure() is None:  # in this order: every other admission measures once
        yield control.sweeper.look
    found = attempts()
    if found.missing_bytes == 0:
        if found.starts_sweep:
            control.sweeper.start_sweep(None)
        return Admission(attempts.wanted)
    if asks_a_server(control):  # the store may have got room since that was asked last
        yield control.sweeper.look
        found = attempts()
        if found.missing_bytes == 0:
            return Admission(attempts.wanted)
    before, is_done = control.measure(), False
    while found.missing_bytes > 0 and not is_done and premigrated_bytes(control):
        _log.info("%s: releasing what is premigrated", found.reason)
        need = Need(max(wanted.charged_bytes, found.need_bytes), wanted.id)
        is_done = bool((yield partial(control.sweeper.release, need)))
        found = attempts()
    if found.missing_bytes > 0:
        yield from _wait_for_sweep(attempts, found, wait_seconds)
    return Admission(attempts.wanted, _freed(before, control.measure()))


def _wait_for_sweep(attempts: _Attempts, found: Fit, wait_seconds: float) -> Steps:
    control, wanted = attempts.control, attempts.wanted
    retry_after = retry_after_seconds(control, found.missing_bytes)
    if retry_after is None:
        raise UploadRefused(f"{found.reason}, and nothing old enough is left to release", None, Why.FULL)
    sweeps = control.sweeper.start_sweep(Need(max(wanted.charged_bytes, found.need_bytes), wanted.id))
    for turn, pause_seconds in enumerate(Deadline.after(wait_seconds, control.clock).pauses(0.05, most_seconds=1)):
        if turn % _LOOKS_EVERY == _LOOKS_EVERY - 1 and asks_a_server(control):
            yield control.sweeper.look
        found = attempts()
        if found.missing_bytes == 0:
            return Admission(attempts.wanted)
        yield pause_seconds
    how, why = how_room_is_made(control, sweeps=sweeps)
    raise UploadRefused(f"{found.reason}; {how}", retry_after, why)


def _freed(before: Capacity | None, now: Capacity | None) -> int:
    return max(0, before.used_bytes - now.used_bytes) if before and now else 0


def commit(
    control: AdmissionControl,
    reservation_id: str,
    key: str | None = None,
    size_bytes: int | None = None,
    *,
    is_part: bool = False,
) -> bool:
    """Say that the upload is stored; False where there is no such reservation (any more).

    `size_bytes` is what was stored, where that is not what was reserved. Where it is said, and the key, that is counted
    also where the reservation has ended: it is in the store. `is_part`: more will be, within the same reservation.
    """
    present = control.catalogue.reservation(reservation_id)
    if present is not None and present.committed_at is not None:
        return True
    if size_bytes is not None and (key is not None if present is None else is_part):
        present = part(control, reservation_id, key, size_bytes, None if present is None else present.uid)
    if present is None:
        return False
    key = key or present.key
    refuse_longer_key(key)
    size = present.bytes if size_bytes is None else size_bytes
    forget_ended(control, but=present.id)
    seen = seen_for_good(control, control.measure())
    now = control.clock.now()  # after that look, which does not know of it: the next one has to
    stored = StoredObject(key, size, "", now) if key else None
    return control.catalogue.commit(replace(present, bytes=size, committed_at=now, key=key), stored, seen)


def part(
    control: AdmissionControl, reservation_id: str, key: str | None, size_bytes: int, uid: int | None = None
) -> Reservation:
    """Take out of a reservation what was stored of it: nobody else gets its room meanwhile. It need not be there."""
    taken = request(control, size_bytes, key, asker=None if uid is None else Asker(uid))
    control.catalogue.split(reservation_id, taken)
    return taken


def count_until_measured(control: AdmissionControl, one: Reservation) -> bool:
    """End a reservation whose bytes are in the store where the catalogue knows of them; False where there is none.

    A budget counts them there from now on; whoever measured before they came counts them until it is measured again.
    """
    if control.settings.capacity.source == "budget":
        return release(control, one.id)
    seen = seen_for_good(control, control.measure())
    return control.catalogue.commit(replace(one, committed_at=control.clock.now(), key=None), None, seen)


def release(control: AdmissionControl, reservation_id: str) -> bool:
    """Say that the upload did not happen; False where there is no such reservation (any more)."""
    return control.catalogue.end_reservations([reservation_id]) > 0


def extend(control: AdmissionControl, reservation_id: str, lease_seconds: float | None) -> bool:
    """Have a reservation that still holds end so long from now (None: as one that is new); False where there is none.

    Raises `UsageError` for a longer lease than the settings allow.
    """
    seconds = lease_seconds or control.settings.admission.lease_seconds
    refuse_longer_lease(control, seconds)
    until = control.clock.now() + timedelta(seconds=seconds)
    return control.catalogue.extend(reservation_id, until, lambda present: counts(control, present))


def grow(control: AdmissionControl, reservation_id: str, size_bytes: int) -> Admission:
    """Reserve more for an upload that is larger than it was thought; raise `UploadRefused` where that does not fit.

    Raises `ObjectMissing` where there is no such reservation (any more).
    """
    return Admission(admit(control, larger(control, reservation_id, size_bytes), is_new=False).reservation)


def larger(control: AdmissionControl, reservation_id: str, size_bytes: int) -> Reservation:
    """Write down what an upload wants that is larger than it was thought; raise as `grow` does."""
    present = control.catalogue.reservation(reservation_id)
    if present is None or present.committed_at is not None:
        raise _ended(reservation_id)
    size = countable(size_bytes)
    return replace(present, bytes=size, charged_bytes=charged_for(control, size))


def _ended(reservation_id: str) -> ObjectMissing:
    return ObjectMissing(f"there is no reservation {printable(reservation_id)} (any more): it had ended")

"""The story of `admit`: reserve room for an upload before it is accepted, or refuse it clearly.

In the caller's process only the state is touched, in one transaction; making room is asked of somebody else.
"""

import logging
import math
import os
import uuid
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import BinaryIO

from exodus_common.clock import Clock, Deadline
from exodus_common.errors import UsageError
from exodus_common.terminal import printable
from exodus_storage_guard import findings, policy, processes, state_identity
from exodus_storage_guard.admission.sweeper import Sweeper
from exodus_storage_guard.capacity import disks, measurement, pending
from exodus_storage_guard.errors import ObjectMissing, UploadRefused, Why
from exodus_storage_guard.model import Capacity, Need, ObjectState, Reservation, Seen, StoredObject, Total, Watermarks
from exodus_storage_guard.policy import Fit
from exodus_storage_guard.settings import Settings, marks
from exodus_storage_guard.sizes import shown, shown_apart
from exodus_storage_guard.state.contract import Catalogue

_log = logging.getLogger(__name__)
_ASK_AGAIN_SECONDS = 60
_LONGEST_KEY_BYTES = 1024
_MOST_ENDED = 100
_NEVER = datetime.min.replace(tzinfo=UTC)
_LOOKS_EVERY = 5  # turns of about a second: MinIO renews its figures once a minute
_SMALLEST_ESTIMATE_BYTES = 64 * 1024 * 1024
RATE = "bytes_per_second"
"""What sweeps settle, for admissions to know."""
_SLOW_BYTES_PER_SECOND = 10 * 1024 * 1024.0


class _Nobody:
    """Make no room: for whoever only asks."""

    def release(self, need: Need) -> None:
        """Do nothing."""

    def start_sweep(self, need: Need | None) -> bool:
        """Do nothing."""
        return False

    def look(self) -> None:
        """Do nothing."""

    def fetch(self, key: str, target: BinaryIO) -> None:
        """Have nothing."""
        raise ObjectMissing(f"nobody fetches {printable(key)} here")


NOBODY: Sweeper = _Nobody()


@dataclass(frozen=True)
class AdmissionControl:
    """Hold what an admission works with; none of it knows a secret of the store."""

    settings: Settings
    catalogue: Catalogue
    clock: Clock
    sweeper: Sweeper

    def refuse_another_store(self) -> None:
        """Raise `SettingsInvalid` where the state is that of another store than the settings name."""
        state_identity.refuse_another_store(self.catalogue.settled(), self.settings.store.identity)

    def measure(self) -> Capacity | None:
        """Measure the store; None where there is no measurement that is fresh enough."""
        found = measurement.known(self.settings, self.catalogue, self.clock.now())
        return found if self.is_fresh(found) else None

    def is_fresh(self, measured: Capacity | None) -> bool:
        """Tell whether a measurement is one at this moment; a budget is counted anew each time."""
        if self.settings.capacity.source == "budget":
            return True
        return policy.is_fresh(measured, self.clock.now(), self.settings.capacity.max_age_seconds)


@dataclass(frozen=True, slots=True)
class Admission:
    """Report a reservation, and what had to be freed for it."""

    reservation: Reservation
    freed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Asker:
    """Say who asks: the user whose reservation it is, and the process that it ends with; None: by its lease alone."""

    uid: int
    process: str | None = None

    @classmethod
    def myself(cls, *, ends_with_process: bool) -> "Asker":
        """Give this very process, and its user."""
        return cls(os.geteuid(), processes.this_process() if ends_with_process else None)


def request(
    control: AdmissionControl,
    size_bytes: int | None,
    key: str | None,
    *,
    lease_seconds: float | None = None,
    asker: Asker | None = None,
    client: str | None = None,
) -> Reservation:
    """Write down what an upload wants; one of unknown size is estimated from what the store holds.

    `client` is named for an upload that anybody can send: all of his together may have a share of the room.

    Raises `UsageError` for a longer lease than the settings allow, and for a longer key than any store has.
    """
    admission = control.settings.admission
    if size_bytes is None:
        size_bytes = min(_estimate(control.catalogue.totals()), admission.most_upload_bytes)
    seconds = lease_seconds or admission.lease_seconds
    _refuse_longer(control, seconds)
    _refuse_longer_key(key)
    now, asker = control.clock.now(), asker or Asker.myself(ends_with_process=False)
    ends_at, charged = now + timedelta(seconds=seconds), _charged(control, size_bytes)
    return Reservation(
        uuid.uuid4().hex, size_bytes, charged, now, ends_at, key, asker.process, uid=asker.uid, client=client
    )


def _refuse_longer(control: AdmissionControl, lease_seconds: float) -> None:
    longest = control.settings.admission.longest_lease_seconds
    if lease_seconds > longest:
        raise UsageError(
            f"a lease of {lease_seconds:g} s: allowed: at most {longest:g} s (admission.most_lease_seconds)"
        )


def _refuse_longer_key(key: str | None) -> None:
    found = 0 if key is None else len(os.fsencode(key))
    if found > _LONGEST_KEY_BYTES:
        raise UsageError(f"key: found one of {found} bytes; allowed: at most {_LONGEST_KEY_BYTES}, as S3 has it")


def _charged(control: AdmissionControl, size_bytes: int) -> int:
    """Say what an upload takes on its way."""
    return math.ceil(size_bytes * control.settings.admission.size_factor)


def _estimate(totals: Mapping[ObjectState, Total]) -> int:
    """Take twice the mean of what is catalogued: most are smaller, and the reservation can grow."""
    everything = sum(totals.values(), Total())
    return max(_SMALLEST_ESTIMATE_BYTES, 2 * everything.bytes // max(1, everything.count))


Work = Callable[[], object]
Steps = Generator[float | Work, bool | None, Admission]
"""What an admission waits for: so many seconds, or the end of some work, after which it is told whether that was done
for it (or, False, for another one that asked for the same meanwhile)."""


def admit(control: AdmissionControl, wanted: Reservation, *, wait_seconds: float = 0) -> Admission:
    """Reserve, after making room where that is needed; raise `UploadRefused` where there is none to be made in time."""
    going, told = steps(control, wanted, wait_seconds=wait_seconds), None
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


def steps(control: AdmissionControl, wanted: Reservation, *, wait_seconds: float = 0) -> Steps:
    """Do what `admit` promises, without waiting for anything: whoever goes on with this does that as he likes."""
    control.refuse_another_store()
    if control.measure() is None and _asks_a_server(control):
        yield control.sweeper.look
    found = _try(control, wanted)
    if found.missing_bytes == 0:
        if found.starts_sweep:
            control.sweeper.start_sweep(None)
        return Admission(wanted)
    if _asks_a_server(control):  # the store may have got room since that was asked last
        yield control.sweeper.look
        found = _try(control, wanted)
        if found.missing_bytes == 0:
            return Admission(wanted)
    before, is_done = control.measure(), False
    while found.missing_bytes > 0 and not is_done and _premigrated(control):
        _log.info("%s: releasing what is premigrated", found.reason)
        need = Need(max(wanted.charged_bytes, found.need_bytes), wanted.id)
        is_done = bool((yield partial(control.sweeper.release, need)))
        found = _try(control, wanted)
    if found.missing_bytes > 0:
        yield from _wait_for_sweep(control, wanted, found, wait_seconds)
    return Admission(wanted, _freed(before, control.measure()))


def _asks_a_server(control: AdmissionControl) -> bool:
    """Tell whether the store is measured by a server, with a secret that only sweeps have."""
    return control.settings.capacity.is_remote


def is_accepting(control: AdmissionControl, size_bytes: int | None) -> bool:
    """Tell whether an upload would be admitted now, if need be in place of what is premigrated; nothing is reserved."""
    control.refuse_another_store()
    measured = control.measure()
    if measured is None:
        return control.settings.admission.when_unknown == "accept"
    limits, charged = marks(control.settings, measured.total_bytes), request(control, size_bytes, None).charged_bytes
    found = fit_beside(control, held(control), measured, limits, charged)
    return policy.is_made_way_for(found, measured, _premigrated(control))


def is_too_large(control: AdmissionControl, size_bytes: int) -> bool:
    """Tell whether an upload would not even fit into an empty store."""
    measured = control.measure()
    if measured is None:
        return False
    charged, limits = request(control, size_bytes, None).charged_bytes, marks(control.settings, measured.total_bytes)
    return policy.fits_never(measured, charged, limits, control.settings.admission.reserve_bytes)


def _premigrated(control: AdmissionControl) -> int:
    return control.catalogue.totals().get(ObjectState.PREMIGRATED, Total()).bytes


def fit_beside(
    control: AdmissionControl, others: Iterable[Reservation], measured: Capacity, limits: Watermarks, charged_bytes: int
) -> Fit:
    """Decide whether so many more bytes fit beside these reservations, and what landed unseen."""
    reserved = policy.reserved_bytes(others) + landed(control, measured).bytes
    mean, reserve = mean_bytes(control, measured), control.settings.admission.reserve_bytes
    return policy.fit(measured, reserved, charged_bytes, limits, reserve, mean_bytes=mean)


def mean_bytes(control: AdmissionControl, measured: Capacity) -> int:
    """Say what one object has of those that are catalogued, where it is files that lack; else nobody needs to know."""
    if not policy.is_out_of_files(measured):
        return 0
    everything = sum(control.catalogue.totals().values(), Total())
    return everything.bytes // max(1, everything.count)


def _wait_for_sweep(control: AdmissionControl, wanted: Reservation, found: Fit, wait_seconds: float) -> Steps:
    retry_after = _retry_after(control, found.missing_bytes)
    if retry_after is None:
        raise UploadRefused(f"{found.reason}, and nothing old enough is left to release", None, Why.FULL)
    sweeps = control.sweeper.start_sweep(Need(max(wanted.charged_bytes, found.need_bytes), wanted.id))
    for turn, pause_seconds in enumerate(Deadline.after(wait_seconds, control.clock).pauses(0.05, most_seconds=1)):
        if turn % _LOOKS_EVERY == _LOOKS_EVERY - 1 and _asks_a_server(control):
            yield control.sweeper.look
        found = _try(control, wanted)
        if found.missing_bytes == 0:
            return Admission(wanted)
        yield pause_seconds
    how, why = _how_room_is_made(control, sweeps=sweeps)
    raise UploadRefused(f"{found.reason}; {how}", retry_after, why)


def _how_room_is_made(control: AdmissionControl, *, sweeps: bool) -> tuple[str, Why]:
    if why := why_no_sweep(control):
        return f"{why}: exodus-storage-guard check says why", Why.NO_ROOM
    if sweeps:
        return "a sweep is making room", Why.MAKING_ROOM
    return "no sweep could be started, the log says why; the timer's will come", Why.NO_ROOM


def why_no_sweep(control: AdmissionControl) -> str:
    """Say why no sweep makes room before something is mended; nothing where one would."""
    settled = control.catalogue.settled()
    if findings.has_failed(settled):
        return "the last sweep failed"
    return "the archive is away" if disks.archive_away(control.settings, settled) else ""


def _try(control: AdmissionControl, wanted: Reservation) -> Fit:
    """Decide and reserve in one transaction; raise `UploadRefused` for what can never be, or cannot be known."""
    most_bytes = control.settings.admission.most_upload_bytes
    if wanted.bytes > most_bytes:
        more = "{} are more than the {}".format(*shown_apart(wanted.bytes, most_bytes))
        raise UploadRefused(f"{more} that one upload may have (admission.most_bytes)", None, Why.TOO_LARGE)
    # Looked at before it is measured: whoever dies later may have stored what the measurement has not in it.
    ended, measured = frozenset(_ended(control)), control.measure()
    if len(ended) > _MOST_ENDED:  # each is looked at by every admission
        control.catalogue.end_reservations(ended)
    if measured is None:
        return _without_measurement(control, wanted)
    limits, reserve = marks(control.settings, measured.total_bytes), control.settings.admission.reserve_bytes
    if policy.fits_never(measured, wanted.charged_bytes, limits, reserve):
        more = f"{shown(wanted.charged_bytes)} are more than the whole store may hold"
        raise UploadRefused(more, None, Why.TOO_LARGE)
    answer: Fit | None = None

    def decide(others: Sequence[Reservation], totals: Mapping[ObjectState, Total]) -> bool:
        nonlocal answer
        if not control.is_fresh(measured):
            return False  # it has taken that long to get here: what landed meanwhile may be forgotten
        # What was committed since it was measured is a reservation no more: the two are counted together.
        beside = [one for one in others if one.id not in ended]
        _refuse_more_than_enough(control, beside, wanted)
        counted = measurement.counted(measured, totals)
        answer = fit_beside(control, beside, counted, limits, wanted.charged_bytes)
        if answer.missing_bytes == 0 and wanted.client is not None:
            answer = _within_share(control, beside, counted, limits, wanted) or answer
        return answer.missing_bytes == 0

    control.catalogue.reserve(wanted, decide)
    return _try(control, wanted) if answer is None else answer


def _refuse_more_than_enough(control: AdmissionControl, others: Iterable[Reservation], wanted: Reservation) -> None:
    """Raise `UploadRefused` where a user has so many reservations that all others would have to wait for them."""
    most = control.settings.admission.most_reservations
    if sum(one.uid == wanted.uid for one in others) >= most:
        reason = f"{most} reservations of one user are enough (admission.most_reservations)"
        raise UploadRefused(reason, _ASK_AGAIN_SECONDS, Why.TOO_MUCH_AT_ONCE)


def _within_share(
    control: AdmissionControl,
    others: Iterable[Reservation],
    measured: Capacity,
    limits: Watermarks,
    wanted: Reservation,
) -> Fit | None:
    """Give what is missing until an anonymous client may have this beside what he has; None where he may.

    Raises `UploadRefused` where he has to end something himself before.
    """
    admission = control.settings.admission
    has = policy.reserved_bytes(one for one in others if one.client == wanted.client)
    room = policy.room_bytes(measured, limits, admission.reserve_bytes) - landed(control, measured).bytes
    may_have, wants = admission.client_bytes(max(0, room)), has + wanted.charged_bytes
    if wants <= may_have:
        return None
    what = f"{shown(wants)} at once for {wanted.client}, of {shown(max(0, room))} that are left"
    reason = f"{what}, are more than a client's share (admission.client_share)"
    if has:
        raise UploadRefused(reason, _ASK_AGAIN_SECONDS, Why.TOO_MUCH_AT_ONCE)
    enough = admission.room_for_client(wants)
    if enough is None:
        raise UploadRefused(reason, None, Why.TOO_LARGE)
    return Fit(enough - room, True, reason, enough)


def held(control: AdmissionControl) -> Sequence[Reservation]:
    """Give the reservations that still hold."""
    return [one for one in control.catalogue.reservations() if _counts(control, one)]


def _ended(control: AdmissionControl) -> Sequence[str]:
    """Name the reservations that ended without a word."""
    return [one.id for one in control.catalogue.reservations() if not _counts(control, one)]


def _counts(control: AdmissionControl, one: Reservation) -> bool:
    """Tell whether a reservation still holds: it ends by time, or with its process."""
    return policy.holds(one, control.clock.now()) and (one.owner is None or processes.is_alive(one.owner))


def landed(control: AdmissionControl, measured: Capacity | None) -> Total:
    """Count the stored uploads that are in no measurement yet."""
    return control.catalogue.landed(_seen(control, measured))


def _seen(control: AdmissionControl, measured: Capacity | None) -> Seen:
    """Say what is measured: a budget looks at the catalogue, where an upload with a key is as it is committed."""
    future = control.clock.now() + policy.CLOCKS_DIFFER
    if measured is None:
        return Seen(future=future)
    return Seen(measured.measured_at, keyed=measured.source == "budget", future=future)


def _seen_for_good(control: AdmissionControl, measured: Capacity | None) -> Seen:
    """Say what may be forgotten: nothing that a measurement has not in it by which somebody may still decide.

    And what is on its way back is told from uploads by what was committed since a look.
    """
    seen, on_its_way = _seen(control, measured), measurement.pending(control.settings, control.catalogue)
    oldest = seen.until - min(timedelta(seconds=control.settings.capacity.max_age_seconds), seen.until - _NEVER)
    return replace(seen, until=min(oldest, on_its_way.looked_at) if on_its_way else oldest)


def _without_measurement(control: AdmissionControl, wanted: Reservation) -> Fit:
    """Do what the settings chose for a store whose fill is not known; one that is not there takes nothing."""
    if away := disks.away(control.settings, control.catalogue.settled()):
        raise UploadRefused(f"nothing can be stored: {away}", _ASK_AGAIN_SECONDS)
    seconds = control.settings.capacity.max_age_seconds
    unknown = f"how full the store is cannot be known: there is no measurement of the last {seconds:g} s"
    if control.settings.admission.when_unknown == "refuse":
        raise UploadRefused(unknown, _ASK_AGAIN_SECONDS)
    _log.warning('%s; accepted all the same, as admission.when_unknown = "accept" says', unknown)

    def decide(others: Sequence[Reservation], totals: Mapping[ObjectState, Total]) -> bool:
        _refuse_more_than_enough(control, (one for one in others if _counts(control, one)), wanted)
        return True

    control.catalogue.reserve(wanted, decide)
    return Fit(0, False, unknown)


def _retry_after(control: AdmissionControl, missing_bytes: int) -> int | None:
    """Foresee how long a sweep takes: None where all that is old enough does not suffice, with what is coming back."""
    coming = coming_back(control)
    freeable = freeable_bytes(control, missing_bytes - coming) if coming < missing_bytes else 0
    return policy.retry_after_seconds(missing_bytes, freeable + coming, _rate(control))


def coming_back(control: AdmissionControl) -> int:
    """Give what was released before and is on its way back, without what should have been back long ago."""
    present = measurement.pending(control.settings, control.catalogue)
    return pending.on_its_way(present, control.clock.now(), is_pressing=True) if present else 0


def freeable_bytes(control: AdmissionControl, missing_bytes: int) -> int:
    """Count what a sweep may take at this moment, until that suffices."""
    now = control.clock.now()
    selection = control.settings.selection(uploading(control.catalogue, now))
    entries = control.catalogue.candidates(now - selection.minimum_age)
    chooser = policy.Chooser(entries, selection, now, missing_bytes)
    while chooser.take(1000):
        pass
    return chooser.chosen_bytes


def uploading(catalogue: Catalogue, now: datetime) -> frozenset[str]:
    """Give the keys under a reservation: they are being uploaded, and no sweep touches them."""
    return frozenset(one.key for one in catalogue.reservations() if one.key and _may_upload(one, now))


def _may_upload(one: Reservation, now: datetime) -> bool:
    """Tell whether an upload may still go on; what has no owner, or one elsewhere, ends by time alone."""
    if one.owner is None or not processes.is_of_this_machine(one.owner):
        return policy.holds(one, now)
    return processes.is_alive(one.owner)


def _rate(control: AdmissionControl) -> float:
    """Give how many bytes a second the last sweep archived; what it wrote is digits."""
    found = control.catalogue.settled().get(RATE, "")
    return float(found) if found.isascii() and found.isdecimal() else _SLOW_BYTES_PER_SECOND


def _freed(before: Capacity | None, now: Capacity | None) -> int:
    return max(0, before.used_bytes - now.used_bytes) if before and now else 0


def commit(
    control: AdmissionControl, reservation_id: str, key: str | None = None, size_bytes: int | None = None
) -> bool:
    """Say that the upload is stored; False where there is no such reservation (any more).

    `size_bytes` is what was stored, where that is not what was reserved.
    """
    present = control.catalogue.reservation(reservation_id)
    if present is None or present.committed_at is not None:
        return present is not None
    now, key = control.clock.now(), key or present.key
    _refuse_longer_key(key)
    size = present.bytes if size_bytes is None else size_bytes
    stored = StoredObject(key, size, "", now) if key else None
    _forget_ended(control)
    seen = _seen_for_good(control, control.measure())
    return control.catalogue.commit(replace(present, bytes=size, committed_at=now, key=key), stored, seen)


def count_until_measured(control: AdmissionControl, one: Reservation) -> bool:
    """End a reservation whose bytes are in the store where the catalogue knows of them; False where there is none.

    A budget counts them there from now on; whoever measured before they came counts them until it is measured again.
    """
    if control.settings.capacity.source == "budget":
        return release(control, one.id)
    landed_now = replace(one, committed_at=control.clock.now(), key=None)
    return control.catalogue.commit(landed_now, None, _seen_for_good(control, control.measure()))


def _forget_ended(control: AdmissionControl) -> None:
    """Drop reservations that ended without a word."""
    if ended := _ended(control):
        control.catalogue.end_reservations(ended)


def release(control: AdmissionControl, reservation_id: str) -> bool:
    """Say that the upload did not happen; False where there is no such reservation (any more)."""
    return control.catalogue.end_reservations([reservation_id]) > 0


def extend(control: AdmissionControl, reservation_id: str, lease_seconds: float | None) -> bool:
    """Have a reservation that still holds end so long from now (None: as one that is new); False where there is none.

    Raises `UsageError` for a longer lease than the settings allow.
    """
    seconds = lease_seconds or control.settings.admission.lease_seconds
    _refuse_longer(control, seconds)
    until = control.clock.now() + timedelta(seconds=seconds)
    return control.catalogue.extend(reservation_id, until, lambda present: _counts(control, present))


def grow(control: AdmissionControl, reservation_id: str, size_bytes: int) -> Admission:
    """Reserve more for an upload that is larger than it was thought; raise `UploadRefused` where that does not fit.

    Raises `ObjectMissing` where there is no such reservation (any more).
    """
    return Admission(admit(control, larger(control, reservation_id, size_bytes)).reservation)


def larger(control: AdmissionControl, reservation_id: str, size_bytes: int) -> Reservation:
    """Write down what an upload wants that is larger than it was thought; raise as `grow` does."""
    present = control.catalogue.reservation(reservation_id)
    if present is None or present.committed_at is not None:
        raise ObjectMissing(f"there is no reservation {printable(reservation_id)} (any more): it had ended")
    return replace(present, bytes=size_bytes, charged_bytes=_charged(control, size_bytes))

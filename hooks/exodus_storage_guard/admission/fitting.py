"""Decide whether an upload fits, in one transaction with writing it down."""

import logging
from collections.abc import Iterable, Mapping, Sequence

from exodus_storage_guard import policy
from exodus_storage_guard.admission.asking import request
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.admission.counting import counts, held, ids_of_ended, landed
from exodus_storage_guard.admission.making_room import premigrated_bytes
from exodus_storage_guard.capacity import disks, measurement
from exodus_storage_guard.errors import UploadRefused, Why
from exodus_storage_guard.model import Capacity, ObjectState, Reservation, Total, Watermarks
from exodus_storage_guard.policy import Fit
from exodus_storage_guard.settings import marks
from exodus_storage_guard.sizes import shown, shown_apart

_ASK_AGAIN_SECONDS = 60
_log = logging.getLogger(__name__)
_MOST_ENDED = 100


def is_accepting(control: AdmissionControl, size_bytes: int | None) -> bool:
    """Tell whether an upload would be admitted now, if need be in place of what is premigrated; nothing is reserved."""
    control.refuse_another_store()
    measured = control.measure()
    if measured is None:
        return control.settings.admission.when_unknown == "accept"
    limits, charged = marks(control.settings, measured.total_bytes), request(control, size_bytes, None).charged_bytes
    found = fit_beside(control, held(control), measured, limits, charged)
    return policy.is_made_way_for(found, measured, premigrated_bytes(control))


def is_too_large(control: AdmissionControl, size_bytes: int) -> bool:
    """Tell whether an upload would not even fit into an empty store."""
    measured = control.measure()
    if measured is None:
        return False
    charged, limits = request(control, size_bytes, None).charged_bytes, marks(control.settings, measured.total_bytes)
    return policy.fits_never(measured, charged, limits, control.settings.admission.reserve_bytes)


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


def attempt(control: AdmissionControl, wanted: Reservation) -> Fit:
    """Decide and reserve in one transaction; raise `UploadRefused` for what can never be, or cannot be known."""
    most_bytes = control.settings.admission.most_upload_bytes
    if wanted.bytes > most_bytes:
        more = "{} are more than the {}".format(*shown_apart(wanted.bytes, most_bytes))
        raise UploadRefused(f"{more} that one upload may have (admission.most_bytes)", None, Why.TOO_LARGE)
    # Looked at before it is measured: whoever dies later may have stored what the measurement has not in it.
    ended, measured = frozenset(ids_of_ended(control)), control.measure()
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
        _refuse_ended(control, wanted)
        # What was committed since it was measured is a reservation no more: the two are counted together.
        beside = [one for one in others if one.id not in ended]
        _refuse_more_than_enough(control, beside, wanted)
        counted = measurement.counted(measured, totals)
        answer = fit_beside(control, beside, counted, limits, wanted.charged_bytes)
        if answer.missing_bytes == 0 and wanted.client is not None:
            answer = _within_share(control, beside, counted, limits, wanted) or answer
        return answer.missing_bytes == 0

    control.catalogue.reserve(wanted, decide)
    return attempt(control, wanted) if answer is None else answer


def _refuse_ended(control: AdmissionControl, wanted: Reservation) -> None:
    """Raise `UploadRefused` for one whose lease ends before it is given: nobody would count it."""
    if not policy.holds(wanted, control.clock.now()):
        lease = wanted.expires_at - wanted.created_at
        raise UploadRefused(f"to decide took longer than the lease of {lease.total_seconds():g} s", _ASK_AGAIN_SECONDS)


def _refuse_more_than_enough(control: AdmissionControl, others: Iterable[Reservation], wanted: Reservation) -> None:
    """Raise `UploadRefused` where a user has so many reservations that all others would have to wait for them.

    Or an anonymous client has: all of them are the user's whose platform they send to.
    """
    admission, his = control.settings.admission, [one for one in others if one.uid == wanted.uid]
    most, whose, named = admission.most_reservations, "one user", "admission.most_reservations"
    if len(his) < most and wanted.client is not None:
        his = [one for one in his if one.client == wanted.client]
        most, whose, named = admission.most_of_client, wanted.client, f"{named}, of which a client has client_share"
    if len(his) >= most:
        reason = f"{most} reservations of {whose} are enough ({named})"
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
        _refuse_ended(control, wanted)
        _refuse_more_than_enough(control, (one for one in others if counts(control, one)), wanted)
        return True

    control.catalogue.reserve(wanted, decide)
    return Fit(0, False, unknown)

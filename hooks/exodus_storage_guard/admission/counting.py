"""Count what is promised: the reservations that hold, and the uploads that landed and are in no measurement yet."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from exodus_storage_guard import policy, processes
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.capacity import measurement
from exodus_storage_guard.model import Capacity, Reservation, Seen, Total

_NEVER = datetime.min.replace(tzinfo=UTC)


def held(control: AdmissionControl) -> Sequence[Reservation]:
    """Give the reservations that still hold."""
    return [one for one in control.catalogue.reservations() if counts(control, one)]


def ids_of_ended(control: AdmissionControl) -> Sequence[str]:
    """Name the reservations that ended without a word."""
    return [one.id for one in control.catalogue.reservations() if not counts(control, one)]


def counts(control: AdmissionControl, one: Reservation) -> bool:
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


def seen_for_good(control: AdmissionControl, measured: Capacity | None) -> Seen:
    """Say what may be forgotten: nothing that a measurement has not in it by which somebody may still decide.

    And what is on its way back is told from uploads by what was committed since a look.
    """
    seen, on_its_way = _seen(control, measured), measurement.pending(control.settings, control.catalogue)
    oldest = seen.until - min(timedelta(seconds=control.settings.capacity.max_age_seconds), seen.until - _NEVER)
    return replace(seen, until=min(oldest, on_its_way.looked_at) if on_its_way else oldest)


def forget_ended(control: AdmissionControl, *, but: str) -> None:
    """Drop reservations that ended without a word, but for one of which somebody has a word to say yet."""
    if ended := [one for one in ids_of_ended(control) if one != but]:
        control.catalogue.end_reservations(ended)

"""Say whether room can be made, how, and how long that takes; nothing is made here."""

from datetime import datetime

from exodus_storage_guard import findings, policy, processes
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.capacity import disks, measurement, pending
from exodus_storage_guard.errors import Why
from exodus_storage_guard.model import ObjectState, Reservation, Total
from exodus_storage_guard.state.contract import Catalogue

RATE = "bytes_per_second"
"""What sweeps settle, for admissions to know."""
_SLOW_BYTES_PER_SECOND = 10 * 1024 * 1024.0


def asks_a_server(control: AdmissionControl) -> bool:
    """Tell whether the store is measured by a server, with a secret that only sweeps have."""
    return control.settings.capacity.is_remote


def premigrated_bytes(control: AdmissionControl) -> int:
    """Count what is copied and proven, and may be released at once."""
    return control.catalogue.totals().get(ObjectState.PREMIGRATED, Total()).bytes


def how_room_is_made(control: AdmissionControl, *, sweeps: bool) -> tuple[str, Why]:
    """Say it to operators, and of which kind a refusal is by that; `sweeps`: a sweep is at work."""
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


def retry_after_seconds(control: AdmissionControl, missing_bytes: int) -> int | None:
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

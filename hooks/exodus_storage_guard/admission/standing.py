"""See how things stand: all that decides whether an upload comes in and whether a sweep is due, at one moment."""

from exodus_storage_guard import dues, policy
from exodus_storage_guard.admission import asking, counting, fitting, making_room
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.capacity import measurement, pending
from exodus_storage_guard.dues import Outlook
from exodus_storage_guard.model import Capacity, ObjectState, Total
from exodus_storage_guard.settings import marks


def standing(control: AdmissionControl, capacity: Capacity) -> dues.Standing:
    """Put together what decides; what is premigrated makes way, unless no sweep would have it do so."""
    totals = control.catalogue.totals()
    present, now = measurement.pending(control.settings, control.catalogue), control.clock.now()
    estimated = asking.request(control, None, None).bytes
    usual = policy.usual_bytes(estimated, sum(totals.values(), Total()), capacity.total_bytes)
    makes_way = Total() if making_room.why_no_sweep(control) else totals.get(ObjectState.PREMIGRATED, Total())
    reserved = policy.reserved_bytes(counting.held(control)) + counting.landed(control, capacity).bytes
    return dues.Standing(
        capacity,
        marks(control.settings, capacity.total_bytes),
        control.settings.admission.reserve_bytes,
        reserved,
        size_bytes=usual,
        usual_bytes=asking.request(control, usual, None).charged_bytes,
        premigrated_bytes=makes_way.bytes,
        on_its_way_bytes=present.total_bytes if present else 0,
        late_bytes=pending.late_bytes(present, now) if present else 0,
        mean_bytes=fitting.mean_bytes(control, capacity),
    )


def outlook(control: AdmissionControl, found: dues.Standing) -> Outlook:
    """Say what a sweep is to do; what it could free is counted where that matters alone."""
    if not found.is_pressing:
        return Outlook.NOTHING
    return found.outlook(making_room.freeable_bytes(control, found.least_bytes))

"""The story of `status`: how full the store is, what is promised, what is archived, and when it will be full."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from exodus_common.render import instant
from exodus_storage_guard import policy
from exodus_storage_guard.admission import reservations
from exodus_storage_guard.admission.reservations import AdmissionControl
from exodus_storage_guard.capacity import measurement, pending
from exodus_storage_guard.capacity.usefulness import frees_nothing
from exodus_storage_guard.model import Capacity, ObjectState, Total, Verdict, Watermarks
from exodus_storage_guard.settings import Settings, marks
from exodus_storage_guard.sizes import shown

_CAPACITY = ("source", "total_bytes", "used_bytes", "free_bytes", "measured_at")


@dataclass(frozen=True, slots=True)
class Status:
    """Report the store; its fields are those of CONTRACT.md. Without a measurement, capacity and marks are None."""

    verdict: Verdict
    reason: str
    capacity: Capacity | None
    watermarks: Watermarks | None
    reservations: Total
    objects: Mapping[ObjectState, Total]
    pending_bytes: int
    full_at: datetime | None

    def fields(self) -> dict[str, object]:
        """Give the fields of its JSON: every state is among `objects`, and of a capacity what CONTRACT.md names."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "capacity": self.capacity and {name: getattr(self.capacity, name) for name in _CAPACITY},
            "watermarks": self.watermarks,
            "reservations": self.reservations,
            "objects": {state: self.objects.get(state, Total()) for state in ObjectState},
            "pending_bytes": self.pending_bytes,
            "full_at": self.full_at,
        }


def status(control: AdmissionControl) -> Status:
    """Look at the state and the store's filesystem; nothing is listed, and no secret read."""
    control.refuse_another_store()
    capacity, totals = control.measure(), control.catalogue.totals()
    counted = [one for one in control.catalogue.reservations() if reservations.counts(control, one)]
    reserved = Total(len(counted), policy.reserved_bytes(counted)) + reservations.landed(control, capacity)
    limits = marks(control.settings, capacity.total_bytes) if capacity else None
    verdict, reason = _judged(control.settings, capacity, limits, reserved.bytes, totals)
    begun = measurement.unfinished(control.catalogue)
    if begun.count:
        reason += f"; {begun.count} uploads in parts that nobody has finished hold {shown(begun.bytes)}"
    on_its_way = measurement.pending(control.catalogue)
    if on_its_way and pending.is_late(on_its_way, control.clock.now()):
        late = f"{shown(on_its_way.bytes)} were released and have not come back since {instant(on_its_way.since)}: "
        late += "does the store keep versions, snapshots or a trash?"
        verdict, reason = max(verdict, Verdict.WARNING, key=list(Verdict).index), f"{reason}; {late}"
    samples = [*control.catalogue.samples(), *([(capacity.measured_at, capacity.used_bytes)] if capacity else [])]
    full_at = policy.full_at(samples, limits.flood_bytes) if limits else None
    on_its_way_bytes = on_its_way.bytes if on_its_way else 0
    return Status(verdict, reason, capacity, limits, reserved, totals, on_its_way_bytes, full_at)


def _judged(
    settings: Settings,
    capacity: Capacity | None,
    limits: Watermarks | None,
    reserved_bytes: int,
    totals: Mapping[ObjectState, Total],
) -> tuple[Verdict, str]:
    """Give the worst of what is wrong, with all of it as the reason."""
    if capacity is None or limits is None:
        return Verdict.CRITICAL, measurement.unmeasured(settings)
    wrong = list(_wrong(capacity, limits, reserved_bytes, totals))
    if useless := frees_nothing(settings):
        wrong.append((Verdict.WARNING, useless))
    share = f"{shown(capacity.used_bytes)} of {shown(capacity.total_bytes)} used"
    if not wrong:
        return Verdict.OK, share
    verdict = max((found for found, _ in wrong), key=list(Verdict).index)
    return verdict, "; ".join([share, *(text for _, text in wrong)])


def _wrong(
    capacity: Capacity, limits: Watermarks, reserved_bytes: int, totals: Mapping[ObjectState, Total]
) -> list[tuple[Verdict, str]]:
    promised = capacity.used_bytes + reserved_bytes
    wrong = []
    if promised > limits.flood_bytes:
        wrong.append((Verdict.CRITICAL, "above the flood watermark: uploads are refused"))
    elif promised > limits.high_bytes:
        wrong.append((Verdict.WARNING, "above the high watermark: a sweep is due"))
    for state, verdict in _NOT_RIGHT.items():
        count = totals.get(state, Total()).count
        if count:
            wrong.append((verdict, f"{count} {state}: exodus-storage-guard history says why"))
    return wrong


_NOT_RIGHT = {
    ObjectState.FAILED: Verdict.WARNING,
    ObjectState.QUARANTINED: Verdict.CRITICAL,
    ObjectState.LOST: Verdict.CRITICAL,
}

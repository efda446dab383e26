"""The story of `status`: how full the store is, what is promised, what is archived, and when it will be full."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exodus_storage_guard import policy
from exodus_storage_guard.admission import reservations
from exodus_storage_guard.admission.reservations import AdmissionControl
from exodus_storage_guard.capacity import measurement, pending
from exodus_storage_guard.capacity.usefulness import frees_nothing
from exodus_storage_guard.errors import StateFailed
from exodus_storage_guard.forecast import forecast
from exodus_storage_guard.model import Capacity, ObjectState, Total, Verdict, Watermarks, worst
from exodus_storage_guard.settings import Settings, marks
from exodus_storage_guard.sizes import shown, shown_apart
from exodus_storage_guard.state.contract import REBUILDING

_REBUILDING = "a rebuild has not come to its end, and not all that is archived is known: exodus-storage-guard rebuild"
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
    full_between: tuple[datetime, datetime] | None = None

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
            "full_between": self.full_between,
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
    on_its_way = measurement.pending(control.settings, control.catalogue)
    warnings = _warnings(control, on_its_way)
    if warnings:
        verdict = worst([verdict, Verdict.WARNING])
        reason = "; ".join([reason, *warnings])
    samples = [*control.catalogue.samples(), *_sample(capacity, control.clock.now())]
    foreseen = forecast(samples, limits.flood_bytes) if limits else None
    on_its_way_bytes = on_its_way.total_bytes if on_its_way else 0
    full = (foreseen.full_at, foreseen.between) if foreseen else (None, None)
    return Status(verdict, reason, capacity, limits, reserved, totals, on_its_way_bytes, *full)


def _warnings(control: AdmissionControl, on_its_way: pending.Pending | None) -> list[str]:
    """Say what earlier runs found that is not right yet."""
    settled = control.catalogue.settled()
    found = [settled.get(measurement.CLOCKS, ""), _REBUILDING if settled.get(REBUILDING) else ""]
    late_bytes = pending.late_bytes(on_its_way, control.clock.now()) if on_its_way else 0
    if late_bytes:
        late = f"{shown(late_bytes)} were released more than {pending.LATE_AFTER.seconds // 60} minutes ago and have "
        found.append(f"{late}not come back: does the store keep versions, snapshots or a trash?")
    return [one for one in found if one]


def _sample(capacity: Capacity | None, now: datetime) -> list[tuple[datetime, int]]:
    """Give what is used now; a budget knows that at any time, whenever the store was listed."""
    if capacity is None:
        return []
    return [(now if capacity.source == "budget" else capacity.measured_at, capacity.used_bytes)]


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
    share = "{} of {} used".format(*shown_apart(capacity.used_bytes, capacity.total_bytes))
    share += f", {shown(reserved_bytes)} reserved for uploads" if reserved_bytes else ""
    if not wrong:
        return Verdict.OK, share
    return worst(found for found, _ in wrong), "; ".join([share, *(text for _, text in wrong)])


def _wrong(
    capacity: Capacity, limits: Watermarks, reserved_bytes: int, totals: Mapping[ObjectState, Total]
) -> list[tuple[Verdict, str]]:
    promised = capacity.used_bytes + reserved_bytes
    wrong = []
    if promised > limits.flood_bytes:
        together = "" if capacity.used_bytes > limits.flood_bytes else "together "
        wrong.append((Verdict.CRITICAL, f"{together}above the flood watermark: uploads are refused"))
    elif capacity.used_bytes > limits.high_bytes:
        wrong.append((Verdict.WARNING, "above the high watermark: a sweep is due"))
    elif promised > limits.high_bytes:
        wrong.append((Verdict.WARNING, "together above the high watermark"))
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


def from_fields(fields: Mapping[str, Any]) -> Status:
    """Make it of its JSON; raise `StateFailed` for what cannot be one."""
    try:
        capacity, limits, between = fields["capacity"], fields["watermarks"], fields["full_between"]
        return Status(
            Verdict(fields["verdict"]),
            str(fields["reason"]),
            capacity and Capacity(**{**capacity, "measured_at": datetime.fromisoformat(capacity["measured_at"])}),
            limits and Watermarks(**limits),
            Total(**fields["reservations"]),
            {ObjectState(state): Total(**total) for state, total in fields["objects"].items()},
            int(fields["pending_bytes"]),
            fields["full_at"] and datetime.fromisoformat(fields["full_at"]),
            between and (datetime.fromisoformat(between[0]), datetime.fromisoformat(between[1])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateFailed(f"what is answered is no status: {error}") from error

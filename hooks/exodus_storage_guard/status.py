"""The story of `status`: how full the store is, what is promised, what is archived, and when it will be full."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exodus_storage_guard import findings, policy
from exodus_storage_guard.admission import counting, making_room
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.admission.standing import outlook, standing
from exodus_storage_guard.capacity import disks, measurement, pending
from exodus_storage_guard.capacity.usefulness import frees_nothing
from exodus_storage_guard.dues import Outlook, Standing
from exodus_storage_guard.errors import StateFailed
from exodus_storage_guard.findings import Finding
from exodus_storage_guard.forecast import forecast
from exodus_storage_guard.model import Capacity, ObjectState, Total, Verdict, Watermarks, worst
from exodus_storage_guard.settings import marks, marks_lowered
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
    counted = counting.held(control)
    reserved = Total(len(counted), policy.reserved_bytes(counted)) + counting.landed(control, capacity)
    limits = marks(control.settings, capacity.total_bytes) if capacity else None
    verdict, reason = _judged(control, capacity, limits, reserved.bytes, totals)
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
    control: AdmissionControl,
    capacity: Capacity | None,
    limits: Watermarks | None,
    reserved_bytes: int,
    totals: Mapping[ObjectState, Total],
) -> tuple[Verdict, str]:
    """Give the worst of what is wrong, with all of it as the reason."""
    settled = control.catalogue.settled()
    found = [*findings.found(settled), *_objects(totals)]
    if useless := frees_nothing(control.settings):
        found.append((Verdict.WARNING, useless))
    if away := disks.archive_away(control.settings, settled):
        found.append((Verdict.CRITICAL, away))
    if capacity is None or limits is None:
        return Verdict.CRITICAL, "; ".join([_unmeasured(control), *(text for _, text in found)])
    makes_room = not making_room.why_no_sweep(control)
    wrong = [*_room(control, capacity, limits, reserved_bytes, makes_room=makes_room), *_set(control, capacity), *found]
    share = "{} of {} used".format(*shown_apart(capacity.used_bytes, capacity.total_bytes))
    share += f", {shown(reserved_bytes)} reserved for uploads" if reserved_bytes else ""
    share += _begun(control)
    return worst(verdict for verdict, _ in wrong), "; ".join([share, *(text for _, text in wrong)])


def _unmeasured(control: AdmissionControl) -> str:
    return measurement.unmeasured(control.settings, control.catalogue)


def _begun(control: AdmissionControl) -> str:
    begun = measurement.unfinished(control.catalogue)
    if not begun.count:
        return ""
    return f"; {begun.count} uploads in parts that nobody has finished hold {shown(begun.bytes)}"


def _room(
    control: AdmissionControl, capacity: Capacity, limits: Watermarks, reserved_bytes: int, *, makes_room: bool
) -> list[Finding]:
    """Say what an upload meets, and whether a sweep helps; `makes_room` tells whether one could be at work at all."""
    if never := policy.admits_nothing(capacity, limits, control.settings.admission.reserve_bytes):
        return [(Verdict.CRITICAL, never)]
    promised, wrong = capacity.used_bytes + reserved_bytes, list[Finding]()
    together = "" if capacity.used_bytes > limits.high_bytes else "together "
    found = standing(control, capacity)
    if promised > limits.flood_bytes:
        wrong.append((Verdict.CRITICAL, f"{together}above the flood watermark"))
    elif promised > limits.high_bytes:
        wrong.append((Verdict.WARNING, f"{together}above the high watermark"))
    wrong += _refused(found)
    sweeps = outlook(control, found) if makes_room else Outlook.NOTHING
    if sweeps is not Outlook.NOTHING:
        wrong.append((wrong[-1][0], sweeps.value))
    return wrong


def _refused(found: Standing) -> list[Finding]:
    """Say why an upload of usual size would be refused at this moment."""
    if found.refused is None:
        return []
    why = found.refused.reason
    if found.fits_never:
        why = f"{why}, and it would not even fit into an empty store"
    return [(Verdict.CRITICAL, f"an upload of usual size ({shown(found.size_bytes)}) is refused: {why}")]


def _set(control: AdmissionControl, capacity: Capacity) -> list[Finding]:
    """Say which settings cannot be meant."""
    everything = sum(control.catalogue.totals().values(), Total())
    too_large = policy.more_than_allowed(everything, control.settings.admission.most_upload_bytes)
    told = (Verdict.CRITICAL, too_large), (Verdict.WARNING, marks_lowered(control.settings, capacity.total_bytes))
    return [one for one in told if one[1]]


def _objects(totals: Mapping[ObjectState, Total]) -> list[Finding]:
    found = [(verdict, totals.get(state, Total()).count, state) for state, verdict in _NOT_RIGHT.items()]
    return [(verdict, f"{count} {state}: {_REMEDIES[state]}") for verdict, count, state in found if count]


_NOT_RIGHT = {
    ObjectState.FAILED: Verdict.WARNING,
    ObjectState.QUARANTINED: Verdict.CRITICAL,
    ObjectState.LOST: Verdict.CRITICAL,
}


_WHY = "exodus-storage-guard history says why"
_REMEDIES = {
    ObjectState.FAILED: f"{_WHY}; once that is mended: exodus-storage-guard sweep --retry",
    ObjectState.QUARANTINED: f"{_WHY}; once that is mended: exodus-storage-guard sweep --retry",
    ObjectState.LOST: _WHY,
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

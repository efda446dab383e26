"""Show what the stories report to people, scripts and monitoring; pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from exodus_common.render import (
    MetricFamily,
    PerfData,
    Sample,
    instant,
    json_text,
    nagios,
    printable,
    prometheus,
    table,
)
from exodus_storage_guard.model import HistoryEvent, ObjectState, Total, Verdict, worst
from exodus_storage_guard.policy import Step
from exodus_storage_guard.sizes import shown
from exodus_storage_guard.status import Status
from exodus_storage_guard.tiering.moving import Moved
from exodus_storage_guard.tiering.recall import Recalled
from exodus_storage_guard.tiering.sweep import Report

_NAGIOS: dict[Verdict, Literal[0, 1, 2]] = {Verdict.OK: 0, Verdict.WARNING: 1, Verdict.CRITICAL: 2}
_MOST_ROWS, _FEW = 40, 5


def exit_code(verdict: Verdict) -> int:
    """Give the exit code of a command that reports a verdict."""
    return 1 if verdict is Verdict.CRITICAL else 0


def report(found: Report, *, as_json: bool) -> str:
    """Show a sweep or a plan."""
    if as_json:
        return json_text(
            {
                "verdict": found.verdict,
                "reason": found.reason,
                "need_bytes": found.need_bytes,
                "freed_bytes": found.freed_bytes,
                "objects": [_row(one) for one in found.objects],
                "kept": [{"reason": reason, **asdict(total)} for reason, total in found.kept.items()],
            }
        )
    lines = [_objects(found)] if found.objects else []
    rows = found.objects
    if len(rows) > _MOST_ROWS:
        lines.append(f"... and {len(rows) - _MOST_ROWS} more (--json lists them all)")
    kept = [(reason, str(total.count), shown(total.bytes)) for reason, total in found.kept.items()]
    lines += [table(("KEPT SINCE IT IS", "COUNT", "SIZE"), kept)] if kept else []
    return "\n".join([*lines, printable(f"{found.verdict.value.upper()}: {found.reason}")])


def _objects(found: Report) -> str:
    """Show objects; those of a sweep with how it went, and what went wrong first."""
    rows = [(one["action"], shown(one["bytes"]), one["key"], one["reason"]) for one in map(_row, found.objects)]
    headers = ("ACTION", "SIZE", "KEY", "WHY")
    went = [one.verdict for one in found.objects if isinstance(one, Moved)]
    if not went:
        return table(headers, rows[:_MOST_ROWS])
    judged = sorted(zip(went, rows, strict=True), key=lambda one: one[0] is Verdict.OK)
    return table(("RESULT", *headers), [(verdict.value.upper(), *row) for verdict, row in judged[:_MOST_ROWS]])


def _row(one: Moved | Step) -> dict[str, Any]:
    if isinstance(one, Step):
        return {"key": one.entry.key, "bytes": one.entry.bytes, "action": one.action, "reason": one.reason}
    return {
        "key": one.key,
        "bytes": one.bytes,
        "action": one.action,
        "reason": one.reason,
        "verdict": one.verdict,
    }


def recalled(found: Sequence[Recalled], *, as_json: bool, stopped: str = "") -> str:
    """Show what `verify`, `restore`, `fetch` and `forget` did; and why that is not all."""
    verdict = Verdict.CRITICAL if stopped else worst(one.verdict for one in found)
    if as_json:
        return json_text({"verdict": verdict, "objects": found} | ({"reason": stopped} if stopped else {}))
    wrong = [one for one in found if one.verdict is not Verdict.OK]
    lines = [printable(f"{one.verdict.value.upper()}: {one.key}: {one.reason}") for one in wrong or found[:_FEW]]
    counted = f"{verdict.value.upper()}: {len(found) - len(wrong)} of {len(found)} right"
    return "\n".join([*lines, f"{counted}; {stopped}" if stopped else counted])


def status(found: Status, *, as_json: bool) -> str:
    """Show the store."""
    return json_text(found.fields()) if as_json else "\n".join(_status_lines(found))


def _status_lines(found: Status) -> list[str]:
    lines = []
    if found.capacity and found.watermarks:
        share = 100 * found.capacity.used_bytes / max(1, found.capacity.total_bytes)
        used, total = shown(found.capacity.used_bytes), shown(found.capacity.total_bytes)
        marks = found.watermarks
        low, high, flood = (shown(mark) for mark in (marks.low_bytes, marks.high_bytes, marks.flood_bytes))
        lines += [f"store       {used} of {total} ({share:.0f}%)", f"marks       low {low}, high {high}, flood {flood}"]
    lines.append(f"promised    {shown(found.reservations.bytes)} to {found.reservations.count} uploads")
    counted = [(state, found.objects.get(state, Total())) for state in ObjectState]
    lines += [f"{state.value:<12}{each.count} objects, {shown(each.bytes)}" for state, each in counted if each.count]
    when = f"at the present rate on {instant(found.full_at)}" if found.full_at else "not foreseen"
    when += " (between {} and {})".format(*map(instant, found.full_between)) if found.full_between else ""
    return [*lines, f"full        {when}", printable(f"{found.verdict.value.upper()}: {found.reason}")]


def reservations(found: Sequence[Mapping[str, Any]], *, as_json: bool) -> str:
    """Show what is promised to whom."""
    if as_json:
        return json_text(found)
    if not found:
        return "nothing is promised"
    shown_rows = [
        (one["reservation"], shown(one["bytes"]), _who(one), _moment(one["expires_at"]), one["key"] or "")
        for one in found
    ]
    return table(("RESERVATION", "SIZE", "OF", "UNTIL", "KEY"), shown_rows)


def _who(one: Mapping[str, Any]) -> str:
    process = f", process {one['process']}" if one["process"] else ""
    return f"{one['user'] or 'unknown'}{process}"


def _moment(at: datetime | str) -> str:
    return at if isinstance(at, str) else instant(at)


def check(found: Status, output: str) -> tuple[str, int]:
    """Show the store to monitoring; give the exit code as well."""
    if output == "nagios":
        data = [PerfData("used", found.capacity.used_bytes, unit="B", minimum=0)] if found.capacity else []
        return nagios(_NAGIOS[found.verdict], found.reason, data), _NAGIOS[found.verdict]
    if output == "prometheus":
        return prometheus(_metrics(found)).rstrip("\n"), exit_code(found.verdict)
    return status(found, as_json=output == "json"), exit_code(found.verdict)


def _metrics(found: Status) -> tuple[MetricFamily, ...]:
    numbers = {"reserved_bytes": found.reservations.bytes, "verdict": _NAGIOS[found.verdict]}
    if found.capacity:
        numbers |= {"used_bytes": found.capacity.used_bytes, "total_bytes": found.capacity.total_bytes}
    families = [
        MetricFamily(f"exodus_storage_guard_{name}", "gauge", name.replace("_", " "), (Sample(value),))
        for name, value in numbers.items()
    ]
    states = [(state, found.objects.get(state, Total())) for state in ObjectState]
    for name, pick in (("objects", "count"), ("object_bytes", "bytes")):
        samples = tuple(Sample(getattr(total, pick), {"state": state.value}) for state, total in states)
        families.append(MetricFamily(f"exodus_storage_guard_{name}", "gauge", f"{name} by state", samples))
    return tuple(families)


def history(found: Sequence[HistoryEvent], *, as_json: bool) -> str:
    """Show what was done."""
    if as_json:
        return json_text(found)
    rows = [(instant(one.at), one.event, one.key, shown(one.bytes), one.reason) for one in found]
    return table(("AT", "EVENT", "KEY", "SIZE", "WHY"), rows) if rows else "nothing was done yet"

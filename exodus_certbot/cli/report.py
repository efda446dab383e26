"""Show a report to people, scripts and monitoring; pure functions from a report to text."""

from collections.abc import Callable
from dataclasses import fields
from typing import Literal

from exodus_certbot.model import Overall, RenewalWindow, Report, Row, Verdict
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

Format = Literal["text", "json", "nagios", "prometheus"]
_NAGIOS: dict[Overall, Literal[0, 1, 2, 3]] = {
    Overall.OK: 0,
    Overall.WARNING: 1,
    Overall.CRITICAL: 2,
    Overall.UNKNOWN: 3,
}
_UNASKED = (Verdict.NOT_PROBED, Verdict.EXCEPTED)
_HARMLESS = (Verdict.OK, *_UNASKED)
_HEADERS = ("VERDICT", "NAME", "LISTENER", "KEY", "NOT AFTER", "WHY")


def exit_code(report: Report, output: Format) -> int:
    """Give the exit code that CONTRACT.md promises for a report in a format."""
    if output == "nagios":
        return _NAGIOS[report.verdict]
    return 0 if report.verdict in (Overall.OK, Overall.WARNING) else 1


def show(report: Report, output: Format, *, every_row: bool = True) -> str:
    """Give the report in one of the formats, without a last newline; text may leave out what needs no attention."""
    shows: dict[str, Callable[[Report], str]] = {
        "text": lambda report: _text(report, every_row=every_row),
        "json": _json,
        "nagios": _nagios,
        "prometheus": lambda report: prometheus(_metrics(report)).rstrip("\n"),
    }
    return shows[output](report)


def _json(report: Report) -> str:
    """Give the fields of CONTRACT.md, and `renewals` where a CA said when."""
    found = {field.name: getattr(report, field.name) for field in fields(report)}
    found["listeners"] = [_fields(row) for row in report.listeners]
    return json_text({name: value for name, value in found.items() if name != "renewals" or value})


def _fields(row: Row) -> dict[str, object]:
    """Give a row's fields; `transport` only where it tells two rows apart."""
    found = {field.name: getattr(row, field.name) for field in fields(row)}
    return {name: value for name, value in found.items() if (name, value) != ("transport", "tcp")}


def _text(report: Report, *, every_row: bool) -> str:
    rows = [row for row in report.listeners if every_row or row.verdict not in _HARMLESS]
    lines = [table(_HEADERS, [_cells(row) for row in rows])] if rows else []
    lines += [_suggestion(window) for window in report.renewals if every_row and not window.problem]
    lines.append(f"{report.verdict.value.upper()}: {printable(report.reason)}")
    stale = any(row.verdict is Verdict.STALE for row in rows)
    if stale and "exodus-certbot reconcile" not in report.reason:
        lines.append("What next: exodus-certbot reconcile")
    return "\n".join(lines)


def _suggestion(window: RenewalWindow) -> str:
    assert window.start is not None
    assert window.end is not None
    wanted = f"{instant(window.start)} to {instant(window.end)}"
    return printable(f"renewal of {window.lineage}: its CA suggests {wanted}")


def _cells(row: Row) -> tuple[str, ...]:
    not_after = instant(row.not_after) if row.not_after else "-"
    return (row.verdict, row.name or '""', _where(row), row.key_type or "-", not_after, row.reason)


def _where(row: Row) -> str:
    if row.port is None:
        return row.address
    return f"[{row.address}]:{row.port}" if ":" in row.address else f"{row.address}:{row.port}"


def _nagios(report: Report) -> str:
    wrong = [row for row in report.listeners if row.verdict not in _HARMLESS]
    named = "; ".join(f"{row.name or _where(row)} at {_where(row)} {row.verdict}: {row.reason}" for row in wrong[:3])
    text = f"{report.reason}: {named}" if named else report.reason
    counts = [PerfData(verdict.value, _count(report, verdict), minimum=0) for verdict in Verdict]
    return nagios(_NAGIOS[report.verdict], text, counts)


def _count(report: Report, verdict: Verdict) -> int:
    return sum(row.verdict is verdict for row in report.listeners)


def _metrics(report: Report) -> tuple[MetricFamily, ...]:
    probed = {tuple(_labels(row).items()): row for row in report.listeners if row.verdict not in _UNASKED}
    rows = list(probed.values())
    return (
        MetricFamily(
            "exodus_certbot_served_match",
            "gauge",
            "Whether the listener serves the certificate that is on disk.",
            tuple(Sample(row.served_sha256 == row.expected_sha256, _labels(row)) for row in rows),
        ),
        MetricFamily(
            "exodus_certbot_served_not_after_seconds",
            "gauge",
            "End of validity of the served certificate, in Unix time.",
            tuple(Sample(row.not_after.timestamp(), _labels(row)) for row in rows if row.not_after),
        ),
        MetricFamily(
            "exodus_certbot_listeners",
            "gauge",
            "Names at listeners by verdict.",
            tuple(Sample(_count(report, verdict), {"verdict": verdict.value}) for verdict in Verdict),
        ),
        MetricFamily(
            "exodus_certbot_verdict",
            "gauge",
            "Overall verdict: 0 ok, 1 warning, 2 critical, 3 unknown.",
            (Sample(_NAGIOS[report.verdict]),),
        ),
    )


def _labels(row: Row) -> dict[str, str]:
    return {
        "name": row.name,
        "address": row.address,
        "port": "" if row.port is None else str(row.port),
        "key_type": row.key_type or "",
        "lineage": str(row.lineage or ""),
    } | ({} if row.transport == "tcp" else {"transport": row.transport})

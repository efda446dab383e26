"""What `preflight` and `doctor` find: one thing each, how bad it is, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from exodus_certbot.model import Overall
from exodus_common.render import json_text, printable


class Severity(StrEnum):
    """Say how bad a finding is; CONTRACT.md fixes the words."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


_OVERALL = {Severity.OK: Overall.OK, Severity.WARNING: Overall.WARNING, Severity.CRITICAL: Overall.CRITICAL}
_ORDER = [Severity.OK, Severity.WARNING, Severity.CRITICAL]


@dataclass(frozen=True, slots=True)
class Finding:
    """Say what is the matter with a subject, and its remedy; a finding that is ok needs none."""

    severity: Severity
    subject: str
    message: str
    remedy: str = ""

    def __post_init__(self) -> None:
        """Refuse a complaint that leaves a person alone with it."""
        if self.severity is not Severity.OK and not self.remedy:
            raise ValueError(f"a {self.severity} finding needs a remedy: {self.message}")


def ok(subject: str, message: str) -> Finding:
    """Say that a subject was looked at and is right."""
    return Finding(Severity.OK, subject, message)


def warning(subject: str, message: str, remedy: str) -> Finding:
    """Say what may go wrong."""
    return Finding(Severity.WARNING, subject, message, remedy)


def critical(subject: str, message: str, remedy: str) -> Finding:
    """Say what will go wrong."""
    return Finding(Severity.CRITICAL, subject, message, remedy)


def verdict(findings: Iterable[Finding]) -> Overall:
    """Give the worst of the findings."""
    return _OVERALL[max((finding.severity for finding in findings), key=_ORDER.index, default=Severity.OK)]


def show(findings: tuple[Finding, ...], *, as_json: bool) -> str:
    """Give the findings as JSON, or as lines for a person, the worst last: that is what a terminal still shows."""
    if as_json:
        return json_text({"verdict": verdict(findings), "findings": findings})
    lines = []
    for finding in sorted(findings, key=lambda finding: _ORDER.index(finding.severity)):
        lines.append(printable(f"{finding.severity.value.upper()}: {finding.subject}: {finding.message}"))
        lines += [f"    {printable(line)}" for line in finding.remedy.splitlines()]
    return "\n".join([*lines, f"{verdict(findings).value.upper()}: {_counted(findings)}"])


def _counted(findings: tuple[Finding, ...]) -> str:
    counts = [(severity, sum(f.severity is severity for f in findings)) for severity in reversed(_ORDER)]
    return ", ".join(f"{count} {severity}" for severity, count in counts if count) or "nothing to look at"

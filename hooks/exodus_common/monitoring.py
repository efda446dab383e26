"""Say a verdict as a monitoring plugin does, and numbers as Prometheus reads them."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from exodus_common.terminal import printable

Status = Literal[0, 1, 2, 3]
Unit = Literal["", "s", "us", "ms", "%", "B", "KB", "MB", "GB", "TB", "c"]
_STATUS_NAMES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class PerfData:
    """One measured value; None is unknown, and `warn` and `crit` may be ranges such as `10:` or `@1:2`."""

    label: str
    value: float | None
    unit: Unit = ""
    warn: float | str | None = None
    crit: float | str | None = None
    minimum: float | None = None
    maximum: float | None = None

    def __str__(self) -> str:
        """Return `'label'=value[unit];warn;crit;min;max`."""
        # The guidelines forbid both signs in a label, and parsers differ on a doubled quote.
        label = re.sub("['=]", "_", _plugin_line(self.label))
        value = "U" if self.value is None or not math.isfinite(self.value) else _decimal(self.value) + self.unit
        limits = (self.warn, self.crit, self.minimum, self.maximum)
        return ";".join([f"'{label}'={value}", *map(_limit, limits)]).rstrip(";")


def nagios(status: Status, text: str, perfdata: Iterable[PerfData] = ()) -> str:
    """Return the one line `STATUS - text | perfdata` of the monitoring-plugins guidelines; exit with `status`."""
    line = f"{_STATUS_NAMES[status]} - {_plugin_line(text)}"
    measured = " ".join(map(str, perfdata))
    return f"{line} | {measured}" if measured else line


@dataclass(frozen=True)
class Sample:
    """One value of a metric family, told from its siblings by labels."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricFamily:
    """A metric's samples; raises ValueError on what would make Prometheus reject the whole page."""

    name: str
    kind: Literal["counter", "gauge", "untyped"]
    help: str
    samples: tuple[Sample, ...]

    def __post_init__(self) -> None:
        """Refuse invalid names and two samples with the same labels."""
        if not _METRIC_NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a metric's name")
        for label in (label for sample in self.samples for label in sample.labels):
            if not _LABEL_NAME.fullmatch(label):
                raise ValueError(f"{label!r} is not a label's name, in metric {self.name}")
        if len({frozenset(sample.labels.items()) for sample in self.samples}) < len(self.samples):
            raise ValueError(f"metric {self.name} has two samples with the same labels")


def prometheus(families: Iterable[MetricFamily]) -> str:
    """Return a page in the text exposition format 0.0.4, with its last newline."""
    return "".join(f"{line}\n" for family in families for line in _family_lines(family))


def _family_lines(family: MetricFamily) -> Iterable[str]:
    yield f"# HELP {family.name} {_escaped(family.help)}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        labels = ",".join(f'{name}="{_escaped_label(value)}"' for name, value in sample.labels.items())
        yield (
            f"{family.name}{{{labels}}} {_number(sample.value)}" if labels else f"{family.name} {_number(sample.value)}"
        )


def _escaped(text: str) -> str:
    # Newlines have an escape of their own in this format; the rest becomes harmless first.
    return "\\n".join(printable(line).replace("\\", "\\\\") for line in text.split("\n"))


def _escaped_label(text: str) -> str:
    return _escaped(text).replace('"', '\\"')


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value + 0)  # plus nothing: True counts as 1
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _plugin_line(text: str) -> str:
    return printable(" ".join(text.split())).replace("|", "/")


def _limit(limit: float | str | None) -> str:
    return "" if limit is None else limit if isinstance(limit, str) else _decimal(limit)


def _decimal(value: float) -> str:
    # Plugin output knows no exponents.
    return f"{Decimal(repr(value + 0)):f}"

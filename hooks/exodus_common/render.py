"""Turn values into what terminals, scripts and monitoring read; pure functions."""

import dataclasses
import json
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import PurePath

from exodus_common.monitoring import MetricFamily, PerfData, Sample, nagios, prometheus
from exodus_common.terminal import printable

__all__ = [
    "MetricFamily",
    "PerfData",
    "Sample",
    "instant",
    "json_text",
    "nagios",
    "printable",
    "prometheus",
    "table",
]


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines of aligned columns, without trailing blanks or a last newline; raise ValueError on ragged rows."""
    lines = [[printable(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(map(_columns, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(cells, widths) for cells in lines)


def instant(at: datetime) -> str:
    """Return an aware instant as ISO 8601 in UTC, `2026-01-31T09:00:00Z`; raise ValueError on a naive one."""
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def json_text(value: object) -> str:
    """Return indented ASCII JSON without a last newline; raise TypeError or ValueError on what JSON cannot say."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=True, allow_nan=False)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (width - _columns(cell)) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def _columns(text: str) -> int:
    """Return how many columns a terminal needs: wide characters take two, combining ones none."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    combining = sum(unicodedata.combining(character) > 0 for character in text)
    return len(text) + wide - combining


def _plain(value: object) -> object:
    match value:
        case Enum():
            return _plain(value.value)
        case datetime():
            return instant(value)
        case PurePath():
            return str(value)
        case Mapping():
            return {str(_plain(key)): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _:
            return value

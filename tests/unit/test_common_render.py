"""What we print lines up, parses, and cannot drive the terminal it lands in."""

import json
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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

NAIVE = datetime(2026, 1, 31, tzinfo=UTC).replace(tzinfo=None)

hostile = st.text(st.characters(codec=None))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a.example", "a.example"),
        ("é 漢 \\ '\" 🙂", "é 漢 \\ '\" 🙂"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb\tc\rd", r"a\x0ab\x09c\x0dd"),
        ("\x7f\x9b\x85", r"\x7f\x9b\x85"),
        ("\udcff", r"\xff"),
        ("\u202egnp.exe\u2066\u200b\ufeff", r"\u202egnp.exe\u2066\u200b\ufeff"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_escapes_what_steers_a_terminal_and_nothing_else(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(hostile)
def test_printable_text_is_one_line_that_can_be_encoded(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs"}


def test_table_aligns_columns_and_leaves_no_trailing_blanks() -> None:
    text = table(["NAME", "DAYS", ""], [["a.example", "9", ""], ["b", "10", "x"]])
    assert text == "NAME       DAYS\na.example  9\nb          10    x"


def test_table_counts_wide_and_combining_characters_as_a_terminal_does() -> None:
    assert table(["N", "X"], [["漢字", "1"], ["e\u0301", "2"]]) == "N     X\n漢字  1\ne\u0301     2"


def test_table_escapes_hostile_cells() -> None:
    assert table(["N"], [["\x1b[2J\n"]]) == "N\n\\x1b[2J\\x0a"


def test_table_of_no_rows_is_its_headers() -> None:
    assert table(["NAME", "DAYS"], []) == "NAME  DAYS"


def test_table_refuses_ragged_rows() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        table(["NAME", "DAYS"], [["a"]])


class Verdict(StrEnum):
    OK = "ok"


class Level(IntEnum):
    LOW = 1


class Plain(Enum):
    NESTED = "plain"


@dataclass(frozen=True)
class Listener:
    name: str
    verdict: Verdict
    not_after: datetime | None
    ports: tuple[int, ...] = ()


def test_json_says_dataclasses_enums_instants_and_paths() -> None:
    at = datetime(2026, 1, 31, 10, 0, 0, 999_999, timezone(timedelta(hours=1)))
    value = {
        Verdict.OK: [Listener("a", Verdict.OK, at, (443,))],
        "level": Level.LOW,
        "p": Plain.NESTED,
        "f": Path("/x"),
    }
    assert json.loads(json_text(value)) == {
        "ok": [{"name": "a", "verdict": "ok", "not_after": "2026-01-31T09:00:00Z", "ports": [443]}],
        "level": 1,
        "p": "plain",
        "f": "/x",
    }


def test_json_is_indented_by_two_and_without_a_last_newline() -> None:
    assert json_text({"a": [None, True, 1.5]}) == '{\n  "a": [\n    null,\n    true,\n    1.5\n  ]\n}'


@given(hostile)
def test_json_is_ascii_and_gives_any_text_back(text: str) -> None:
    shown = json_text({"key": text})
    assert shown.isascii()
    assert "\x1b" not in shown
    assert "\x7f" not in shown
    assert json.loads(shown) == {"key": text} or any("\ud800" <= character <= "\udfff" for character in text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), NAIVE, b"bytes", {1, 2}, Listener])
def test_json_refuses_what_it_cannot_say(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        json_text([value])


def test_instant_is_utc_without_microseconds() -> None:
    assert instant(datetime(999, 1, 2, 3, 4, 5, 6, UTC)) == "0999-01-02T03:04:05Z"


def test_instant_refuses_a_naive_time() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        instant(NAIVE)


def test_nagios_says_status_text_and_perfdata_on_one_line() -> None:
    data = [PerfData("a.example days", 12.5, warn="21:", crit=7, minimum=0), PerfData("used", 3, "%", 75, 85, 0, 100)]
    line = "WARNING - 12 days left | 'a.example days'=12.5;21:;7;0 'used'=3%;75;85;0;100"
    assert nagios(1, "12 days left", data) == line


@pytest.mark.parametrize(("status", "word"), [(0, "OK"), (1, "WARNING"), (2, "CRITICAL"), (3, "UNKNOWN")])
def test_nagios_begins_with_the_word_of_its_status(status: Any, word: str) -> None:
    assert nagios(status, "text", []) == f"{word} - text"


def test_nagios_text_and_label_cannot_begin_perfdata_or_a_line() -> None:
    line = nagios(2, "a|b\nc\x1b", [PerfData("it's=a|b\n", 1)])
    assert line == "CRITICAL - a/b c\\x1b | 'it_s_a/b'=1"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "U"), (float("nan"), "U"), (float("-inf"), "U"), (1e-7, "0.0000001s"), (1e17, "100000000000000000s")],
)
def test_nagios_knows_neither_exponents_nor_infinities(value: float | None, shown: str) -> None:
    assert nagios(0, "t", [PerfData("l", value, "s")]) == f"OK - t | 'l'={shown}"


@given(hostile, hostile)
def test_nagios_is_one_line_with_at_most_one_bar(text: str, label: str) -> None:
    line = nagios(0, text, [PerfData(label, 1)])
    assert len(line.splitlines()) == 1
    assert line.count("|") == 1
    assert re.fullmatch(r"[^']* \| '[^'=]*'=1", line) or "'" in text
    line.encode()


def test_prometheus_says_help_type_and_samples() -> None:
    days = MetricFamily(
        "exodus_days", "gauge", "Days left.", (Sample(1.5, {"name": "a", "port": "443"}), Sample(2, {}))
    )
    runs = MetricFamily("exodus_runs_total", "counter", "Runs.", (Sample(3),))
    assert prometheus([days, runs]) == (
        "# HELP exodus_days Days left.\n"
        "# TYPE exodus_days gauge\n"
        'exodus_days{name="a",port="443"} 1.5\n'
        "exodus_days 2\n"
        "# HELP exodus_runs_total Runs.\n"
        "# TYPE exodus_runs_total counter\n"
        "exodus_runs_total 3\n"
    )


def test_prometheus_of_nothing_is_empty() -> None:
    assert prometheus([]) == ""


def test_prometheus_escapes_help_and_labels() -> None:
    family = MetricFamily("m", "gauge", 'h\\"\n', (Sample(1, {"l": 'a\\b"c\nd\x1b\udcff'}),))
    assert prometheus([family]) == ('# HELP m h\\\\"\\n\n# TYPE m gauge\nm{l="a\\\\b\\"c\\nd\\\\x1b\\\\xff"} 1\n')


@pytest.mark.parametrize(
    ("value", "shown"),
    [(float("nan"), "NaN"), (float("inf"), "+Inf"), (float("-inf"), "-Inf"), (True, "1"), (1e-9, "1e-09")],
)
def test_prometheus_says_special_values_its_own_way(value: float, shown: str) -> None:
    assert prometheus([MetricFamily("m", "gauge", "h", (Sample(value),))]).endswith(f"\nm {shown}\n")


@pytest.mark.parametrize("name", ["", "1m", "m-n", "m n", "m\n", "é"])
def test_a_metric_family_refuses_invalid_names_of_metrics_and_labels(name: str) -> None:
    with pytest.raises(ValueError, match="is not a metric's name"):
        MetricFamily(name, "gauge", "h", ())
    with pytest.raises(ValueError, match="is not a label's name"):
        MetricFamily("m", "gauge", "h", (Sample(1, {name: "v"}),))


def test_a_metric_family_refuses_two_samples_with_the_same_labels() -> None:
    with pytest.raises(ValueError, match="metric m has two samples with the same labels"):
        MetricFamily("m", "gauge", "h", (Sample(1, {"a": "1", "b": "2"}), Sample(2, {"b": "2", "a": "1"})))


@given(hostile, hostile)
def test_prometheus_page_has_three_lines_whatever_the_text(text: str, label: str) -> None:
    page = prometheus([MetricFamily("m", "gauge", text, (Sample(1, {"l": label}),))])
    assert len(page.splitlines()) == 3
    assert re.fullmatch(r'm\{l="([^"\\\n]|\\["\\n])*"\} 1', page.splitlines()[2])
    page.encode()

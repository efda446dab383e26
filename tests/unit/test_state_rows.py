"""A row that cannot be is refused with a sentence, whoever wrote it: nothing is decided from it."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_common.terminal import printable
from exodus_storage_guard.errors import StateFailed
from exodus_storage_guard.instants import aware, datetime_of, instant
from exodus_storage_guard.model import MOST_BYTES, ObjectState, Total
from exodus_storage_guard.state import rows

AT = instant(datetime(2026, 1, 1, tzinfo=UTC))
GOOD: dict[str, tuple[Callable[[rows.Row], object], rows.Row]] = {
    "entry": (
        rows.entry,
        (b"k", 7, "e", AT, "resident", AT, None, b"k", 0, None, 0, None, "", AT, None, None),
    ),
    "reservation": (rows.reservation, ("id", b"k", 7, 14, AT, AT + 1, None, None, "1000", None)),
    "capacity": (rows.capacity, (AT, "budget", 100, 40, 60, None)),
    "sample": (rows.sample, (AT, 40)),
    "total": (rows.total, (2, 14, 7)),
    "total_of_state": (rows.total_of_state, ("resident", 2, 14, None)),
    "proven_copy": (rows.proven_copy, (b"k", b"k", 7, "e", AT, "ab", AT, None)),
    "history_event": (rows.history_event, (AT, b"k", "resident", 7, None, "found")),
}
VALUES: st.SearchStrategy[Any] = (
    st.none() | st.integers() | st.sampled_from([-1, -(10**12), 2**63, 2**200, -(2**200)]) | st.binary(max_size=4)
    | st.text(max_size=4) | st.floats() | st.decimals()
)  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_row_that_can_be_is_read(name: str) -> None:
    read, row = GOOD[name]

    assert read(row)


@pytest.mark.parametrize("name", GOOD)
@given(data=st.data())
def test_any_row_is_read_or_refused_with_a_sentence(name: str, data: st.DataObject) -> None:
    read, row = GOOD[name]
    spoiled = tuple(data.draw(st.just(value) | VALUES) for value in row)
    problem = "the catalogue"
    try:
        read(spoiled)
    except StateFailed as error:
        problem = str(error)
    assert problem.startswith("the catalogue")
    assert problem == printable(problem)
    assert len(problem) < 500


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("entry", 1, -(10**12)),
        ("entry", 1, MOST_BYTES + 1),
        ("entry", 1, None),
        ("entry", 3, None),
        ("entry", 4, "elsewhere"),
        ("reservation", 2, -1),
        ("reservation", 3, -1),
        ("reservation", 5, AT - 1),
        ("reservation", 8, "elsewhere"),
        ("capacity", 3, -1),
        ("capacity", 4, 101),
        ("sample", 1, -1),
        ("total", 1, -1),
        ("total", 2, -1),
        ("total_of_state", 0, "elsewhere"),
        ("total_of_state", 3, -1),
        ("proven_copy", 2, -1),
    ],
)
def test_what_cannot_be_is_refused(name: str, column: int, value: object) -> None:
    read, row = GOOD[name]

    with pytest.raises(StateFailed, match="holds what cannot be"):
        read((*row[:column], value, *row[column + 1 :]))


def test_a_sum_is_what_postgresql_gives_too() -> None:
    assert rows.total_of_state(("resident", Decimal(2), Decimal(14), None)) == (ObjectState.RESIDENT, Total(2, 14))


@given(st.integers())
def test_an_instant_of_any_row_is_one_that_can_be_told(value: int) -> None:
    assert datetime_of(value).isoformat()


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00", "yesterday", ""])
def test_a_time_without_a_zone_is_none(text: str) -> None:
    assert aware("2026-01-01T00:00:00+00:00") == datetime(2026, 1, 1, tzinfo=UTC)

    with pytest.raises(ValueError, match=r"zone|isoformat"):
        aware(text)

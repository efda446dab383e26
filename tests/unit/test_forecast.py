"""When the store is full: foreseen from how it rises, whatever sweeps, restores and clocks did meanwhile."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_storage_guard.forecast import Forecast, Sample, forecast, rises

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LIMIT = 950_000


def filling(days: float, a_day: int, *, from_bytes: int = 500_000, every: timedelta = HOUR) -> list[Sample]:
    """Give what is measured of a store into which the same is uploaded every day."""
    return [
        (NOW + number * every, from_bytes + int(number * every / DAY * a_day))
        for number in range(int(days * DAY / every) + 1)
    ]


def days_left(samples: list[Sample]) -> float | None:
    found = forecast(samples, LIMIT)
    return None if found is None else (found.full_at - samples[-1][0]) / DAY


def swept(samples: list[Sample], at: int, less: int) -> list[Sample]:
    """Have so much less used from a sample on."""
    return samples[:at] + [(when, used - less) for when, used in samples[at:]]


def test_the_day_a_store_is_full_is_foreseen_from_its_rate() -> None:
    assert days_left(filling(10, 10_000)) == pytest.approx(35, abs=0.1)
    assert days_left(filling(10, 10_000, from_bytes=900_000)) == 0
    assert days_left(filling(10, 0)) is None
    assert days_left(filling(10, -10_000)) is None
    assert forecast([], LIMIT) is None


def test_a_sweep_at_the_end_of_a_month_of_rises_does_not_hide_them() -> None:
    month = filling(25, 14_000)  # from 500,000 to 850,000
    after = [*month, (NOW + 25 * DAY + HOUR, 750_000)]

    assert days_left(after) == pytest.approx(200 / 14, rel=0.05)


def test_nor_does_one_that_takes_hours() -> None:
    month = filling(25, 14_000)
    slowly = [(NOW + 25 * DAY + number * HOUR / 6, 850_000 - number * 2_000) for number in range(1, 51)]

    assert days_left(month + slowly) == pytest.approx(200 / 14, rel=0.05)


def test_a_restore_foretells_no_end() -> None:
    assert days_left(swept(filling(20, 5_000), 240, -200_000)) == pytest.approx(30, rel=0.05)


def test_a_store_that_is_swept_every_night_fills_as_its_uploads_have_it() -> None:
    used, samples, random = 700_000, list[Sample](), Random(1)  # noqa: S311 - no secret
    for hour in range(20 * 24):
        used += random.choice([0, 0, 0, 4_000])
        used = 700_000 if hour % 24 == 3 else used
        samples.append((NOW + hour * HOUR, used))

    left = days_left(samples)
    assert left is not None
    assert left == pytest.approx((LIMIT - used) / 24_000, rel=0.25)


def test_the_band_is_about_what_is_foreseen_and_there_is_none_where_it_may_never_fill() -> None:
    random, used, samples = Random(2), 500_000, list[Sample]()  # noqa: S311 - no secret
    for hour in range(300):
        used += random.randrange(1_000)
        samples.append((NOW + hour * HOUR, used))
    found = forecast(samples, LIMIT)

    assert found is not None
    assert found.between is not None
    assert found.between[0] < found.full_at < found.between[1]
    hardly = [(at, 500_000 + (number % 3) * 900 + number // 8) for number, (at, _) in enumerate(samples)]
    never = forecast(hardly, LIMIT)
    assert never is None or never.between is None


@pytest.mark.parametrize(("hours", "samples", "is_foreseen"), [(24.1, 8, True), (23.9, 8, False), (24.1, 7, False)])
def test_nothing_is_foreseen_from_less_than_a_day_or_a_few_points(
    hours: float, samples: int, is_foreseen: bool
) -> None:
    found = [(NOW + number * hours * HOUR / (samples - 1), 500_000 + 1_000 * number) for number in range(samples)]

    assert (forecast(found, LIMIT) is not None) == is_foreseen


def test_a_day_of_rises_is_one_without_the_time_of_sweeps() -> None:
    day = filling(1, 10_000)

    assert forecast(day, LIMIT) is not None
    assert forecast(swept(day, 12, 100_000), LIMIT) is None


RISES = st.lists(st.integers(0, 2_000), min_size=80, max_size=200)


@given(RISES, st.data())
def test_a_sweep_makes_no_forecast_later_than_the_room_it_made(more: list[int], data: st.DataObject) -> None:
    samples, used = list[Sample](), 300_000
    for number, one in enumerate(more):
        used += one
        samples.append((NOW + number * HOUR, used))
    without = forecast(samples, LIMIT)
    at, less = data.draw(st.integers(1, len(more) - 1)), data.draw(st.integers(20_000, 200_000))
    after = forecast(swept(samples, at, less), LIMIT)

    if without is None:
        assert after is None or after.full_at > samples[-1][0]
        return
    assert after is not None
    rate = (LIMIT - samples[-1][1]) / max(1.0, (without.full_at - samples[-1][0]).total_seconds())
    later = (after.full_at - without.full_at).total_seconds()
    assert later <= less / rate * 1.5 + 0.5 * (without.full_at - samples[-1][0]).total_seconds()


ODD = st.lists(
    st.tuples(st.datetimes(timezones=st.just(UTC)) | st.sampled_from([NOW, NOW + HOUR]), st.integers(-(2**63), 2**63)),
    max_size=30,
)


@given(ODD, st.integers(0, 2**63))
def test_no_sample_is_too_odd(samples: list[Sample], limit: int) -> None:
    found = forecast(samples, limit)

    assert found is None or found.full_at >= samples[-1][0]


@given(ODD, st.integers(0, 2**63))
def test_rises_never_run_backwards(samples: list[Sample], limit: int) -> None:
    assert all(sooner[0] < later[0] for sooner, later in pairwise(rises(samples, limit)))


@given(st.lists(st.tuples(st.integers(1, 10**5), st.integers(-(10**4), 10**5)), min_size=8, max_size=60))
def test_the_band_is_in_order(steps: list[tuple[int, int]]) -> None:
    samples: list[Sample] = [(NOW, 0)]
    for seconds, more in steps:
        samples.append((samples[-1][0] + timedelta(seconds=seconds), samples[-1][1] + more))
    found = forecast(samples, 10**7)

    assert found is None or found == Forecast(found.full_at, found.between)
    assert found is None or found.between is None or found.between[0] <= found.full_at <= found.between[1]

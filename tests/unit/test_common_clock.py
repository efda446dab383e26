"""Deadlines end when they say, and polling neither gives up early nor waits past the end."""

from dataclasses import FrozenInstanceError, dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from exodus_common.clock import Clock, Deadline, SystemClock


@dataclass
class FakeClock:
    """A clock that moves only when somebody waits, and remembers each wait."""

    seconds: float = 1000.0
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime(2026, 1, 31, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds


def test_system_clock_tells_aware_utc_and_never_runs_backwards() -> None:
    clock: Clock = SystemClock()
    before = clock.monotonic()
    clock.wait(0)
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() >= before


def test_system_clock_returns_at_once_from_a_negative_wait() -> None:
    SystemClock().wait(-1)


def test_counts_down_and_is_past_only_at_the_end() -> None:
    clock = FakeClock()
    deadline = Deadline.after(10, clock)
    clock.wait(9)
    assert deadline.remaining_seconds() == pytest.approx(1)
    assert not deadline.is_past()
    clock.wait(1)
    assert deadline.is_past()


def test_remaining_seconds_are_never_negative() -> None:
    clock = FakeClock()
    deadline = Deadline.after(1, clock)
    clock.wait(100)
    assert deadline.remaining_seconds() == 0


@pytest.mark.parametrize("seconds", [0, -5, float("nan")])
def test_a_deadline_without_any_time_allows_one_attempt_and_no_wait(seconds: float) -> None:
    clock = FakeClock()
    assert list(Deadline.after(seconds, clock).poll()) == [1]
    assert clock.waits == []


def test_poll_doubles_its_waits_up_to_the_most_and_never_passes_the_deadline() -> None:
    clock = FakeClock()
    attempts = list(Deadline.after(1.0, clock).poll(first_seconds=0.125, most_seconds=0.25))
    assert clock.waits == [0.125, 0.25, 0.25, 0.25, 0.125]
    assert attempts == [1, 2, 3, 4, 5, 6]
    assert clock.seconds == 1001


def test_poll_stops_waiting_when_the_caller_has_what_it_wanted() -> None:
    clock = FakeClock()
    for attempt in Deadline.after(60, clock).poll(first_seconds=1, most_seconds=4):
        if attempt == 3:
            break
    assert clock.waits == [1, 2]


def test_poll_looks_once_more_after_an_attempt_that_outlasted_the_deadline() -> None:
    clock = FakeClock()
    begun_at = []
    for _ in Deadline.after(5, clock).poll():
        begun_at.append(clock.seconds)
        clock.seconds += 20
    assert begun_at == [1000, 1020]


def test_a_deadline_cannot_be_moved() -> None:
    deadline = Deadline.after(1, FakeClock())
    with pytest.raises(FrozenInstanceError):
        deadline.ends_at = 0.0  # type: ignore[misc]

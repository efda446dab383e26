"""Clocks of tests."""

from datetime import UTC, datetime, timedelta

from exodus_common.clock import SystemClock


class Jumped(SystemClock):
    """A clock that is wrong by so much."""

    def __init__(self, by: timedelta) -> None:
        self.by = by

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by


class SetClock(SystemClock):
    """A clock whose seconds the test sets."""

    seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

"""Tell the time and bound a wait; whatever waits takes a Clock, so that its tests need no sleep."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the rest of the code knows of time."""

    def now(self) -> datetime:
        """Return the current instant, aware and in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards; only differences mean something."""

    def wait(self, seconds: float) -> None:
        """Return after `seconds`; at once when they are zero or fewer."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """Return the current instant, aware and in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never run backwards; only differences mean something."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Sleep for `seconds`; return at once when they are zero or fewer."""
        if seconds > 0:  # a sleep of no time gives the core away all the same
            time.sleep(seconds)


@dataclass(frozen=True)
class Deadline:
    """A point on a clock's monotonic time; build it with `Deadline.after`."""

    ends_at: float
    clock: Clock = field(repr=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> "Deadline":
        """Return the deadline `seconds` from now; zero or fewer are past at once."""
        return cls(clock.monotonic() + seconds, clock)

    def remaining_seconds(self) -> float:
        """Return what is left, never less than zero."""
        return max(0.0, self.ends_at - self.clock.monotonic())

    def is_past(self) -> bool:
        """Say whether nothing is left."""
        return self.remaining_seconds() == 0.0

    def poll(self, first_seconds: float = 0.01, most_seconds: float = 0.25) -> Iterator[int]:
        """Yield attempt numbers from 1, waiting ever longer between them; the last one begins at the deadline."""
        for attempt, pause_seconds in enumerate(self.pauses(first_seconds, most_seconds), start=1):
            yield attempt
            if pause_seconds > 0:
                self.clock.wait(min(pause_seconds, self.remaining_seconds()))

    def pauses(self, first_seconds: float = 0.01, most_seconds: float = 0.25) -> Iterator[float]:
        """Yield, for each attempt, how long to wait after it, ever longer; the last one begins at the deadline."""
        pause_seconds = first_seconds
        while True:
            # Asked before the attempt: one that itself outlasts the deadline is followed by a last look.
            is_last = self.is_past()
            yield 0.0 if is_last else min(pause_seconds, self.remaining_seconds())
            if is_last:
                return
            pause_seconds = min(2 * pause_seconds, most_seconds)

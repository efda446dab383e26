"""Remember an answer for some seconds: for what is asked with every request and changes slowly."""

from collections.abc import Callable
from dataclasses import dataclass, field

from exodus_common.clock import Clock


@dataclass
class Recent:
    """Ask again only where the last answer is too old; threads may share it, and may then ask once each."""

    ask: Callable[[], bool]
    seconds: float
    clock: Clock
    _seen: tuple[float, bool] | None = field(default=None, init=False)

    def answer(self) -> bool:
        """Give the answer; an error is not remembered."""
        now, seen = self.clock.monotonic(), self._seen
        if seen is None or now - seen[0] > self.seconds:
            seen = self._seen = now, self.ask()
        return seen[1]

"""Remember for some seconds that nobody answered, so that whoever asks next does not wait for that as well."""

from dataclasses import dataclass, field

from exodus_common.clock import Clock, SystemClock

_SECONDS = 5.0


@dataclass
class Silence:
    """Threads may share it, and it outlives a fork."""

    clock: Clock = field(default_factory=SystemClock)
    _until: float | None = field(default=None, init=False)

    def begin(self) -> None:
        """Take note that there was no answer."""
        self._until = self.clock.monotonic() + _SECONDS

    def end(self) -> None:
        """Take note that there was one."""
        self._until = None

    def is_kept(self) -> bool:
        """Tell whether there was none a moment ago."""
        until = self._until
        return until is not None and self.clock.monotonic() < until

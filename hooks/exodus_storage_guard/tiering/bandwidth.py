"""Let bytes flow at a bounded rate, all copies together."""

import threading
from collections.abc import Callable

from exodus_common.clock import Clock
from exodus_common.stopping import go_on
from exodus_storage_guard.stores.contract import Chunks

_MOST_AT_ONCE_SECONDS = 0.5


class Flow:
    """Pass bytes on, tell somebody of each chunk, and wait wherever they would be too many a second."""

    def __init__(self, bytes_per_second: int, clock: Clock, moved: Callable[[int], None]) -> None:
        """Take the limit, 0 for none, and whom to tell how many bytes have moved."""
        self._limit, self._clock, self._moved = bytes_per_second, clock, moved
        self._free_at = clock.monotonic()
        self._lock = threading.Lock()

    def through(self, chunks: Chunks) -> Chunks:
        """Pass the bytes of one object on."""
        for chunk in chunks:
            self._wait(self._delay_seconds(len(chunk)))
            self._moved(len(chunk))
            yield chunk

    def _wait(self, seconds: float) -> None:
        """Wait a little at a time: a run that is asked to end does not wait on."""
        while seconds > 0:
            go_on()
            self._clock.wait(min(seconds, _MOST_AT_ONCE_SECONDS))
            seconds -= _MOST_AT_ONCE_SECONDS

    def _delay_seconds(self, size: int) -> float:
        if not self._limit:
            return 0.0
        with self._lock:
            now = self._clock.monotonic()
            begins_at = max(now, self._free_at)
            self._free_at = begins_at + size / self._limit
        return begins_at - now

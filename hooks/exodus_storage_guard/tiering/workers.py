"""Do several things at once, and do not wait for ever for one that hangs."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from exodus_common.clock import Clock
from exodus_common.stopping import Stopped, asked, go_on
from exodus_storage_guard.errors import StoreFailed

A = TypeVar("A")
B = TypeVar("B")
_LOOK_SECONDS = 0.5


@dataclass
class Pulse:
    """Be told whenever something moves on."""

    clock: Clock
    at: float = field(init=False)

    def __post_init__(self) -> None:
        """Begin with a beat."""
        self.beat()

    def beat(self) -> None:
        """Say that something has just moved."""
        self.at = self.clock.monotonic()

    def moved(self, size_bytes: int) -> None:
        """Beat for bytes that have moved (`stores.contract.Moved`); raise Stopped where the run was asked to end."""
        self.beat()
        if size_bytes:  # of none it is told by whoever only waits, and has nothing to break off
            go_on()

    def silent_seconds(self) -> float:
        """Say for how long nothing has moved."""
        return self.clock.monotonic() - self.at


class Workers:
    """Apply functions to items in threads; results come as they are done, errors as results.

    The threads are daemons: one that hangs in a dead mount cannot be ended, and must not keep the program from ending.
    """

    def __init__(self, parallel: int, pulse: Pulse, most_silent_seconds: float) -> None:
        """Take the pulse, which is to be beaten by whatever a function does."""
        self.pulse = pulse
        self._parallel, self._most_silent_seconds = parallel, most_silent_seconds

    def watched(self, work: Callable[[], B]) -> B:
        """Do one thing, and raise `StoreFailed` where nothing moves for too long."""
        ((_, result),) = self.over(lambda _: work(), [None])
        if isinstance(result, Exception):
            raise result
        return result

    def over(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[tuple[A, B | Exception]]:
        """Give each item with its result; raise `StoreFailed` where nothing moves for too long.

        Once the run was asked to end, whatever fails is `Stopped`: Ctrl-C ends our ssh as well.
        """
        waiting: queue.SimpleQueue[A] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[A, B | Exception]] = queue.SimpleQueue()
        left = 0
        for item in items:
            waiting.put(item)
            left += 1
        self.pulse.beat()
        for _ in range(min(self._parallel, left)):
            threading.Thread(target=self._drain, args=(work, waiting, done), daemon=True).start()
        while left:
            try:
                item, result = done.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if self.pulse.silent_seconds() > self._most_silent_seconds:
                    _empty(waiting)
                    seconds = f"{self._most_silent_seconds:g} s"
                    raise StoreFailed(f"nothing has moved for {seconds} (sweep.request_timeout_seconds)") from None
                continue
            left -= 1
            yield item, Stopped(asked()) if asked() and isinstance(result, Exception) else result

    def _drain(
        self,
        work: Callable[[A], B],
        waiting: "queue.SimpleQueue[A]",
        done: "queue.SimpleQueue[tuple[A, B | Exception]]",
    ) -> None:
        while True:
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                result: B | Exception = work(item)
            except Exception as error:  # it is handed on, and judged where the item is known
                result = error
            self.pulse.beat()
            done.put((item, result))


def _empty(waiting: "queue.SimpleQueue[A]") -> None:
    try:
        while True:
            waiting.get_nowait()
    except queue.Empty:
        return

"""Tell the operator beside the uploads that the guard is broken, and once when it works again."""

import logging
import os
import threading
from dataclasses import dataclass, field

from exodus_common.clock import Clock
from exodus_storage_guard import alerts
from exodus_storage_guard.model import Verdict

_log = logging.getLogger(__name__)
_TOLD_EVERY_SECONDS = 60.0
_TOPIC = "storage-guard-broken"


@dataclass
class Operator:
    """Tell the operator beside the uploads: of what is wrong at most once a minute, and once when it is over.

    Every upload of a busy platform may come by here, in any thread: none of them waits.
    """

    clock: Clock
    _told_at: float | None = None
    _is_raised: bool = False
    _sending: threading.Thread | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, error: Exception | None) -> None:
        """Take note of how an admission went: what was in the way, or None where the guard decided."""
        if error is None and not self._is_raised:
            return
        if self._lock.acquire(blocking=False):  # whoever is not let in leaves it to the one who was
            try:
                self._judge(error)
            finally:
                self._lock.release()

    def _judge(self, error: Exception | None) -> None:
        now = self.clock.monotonic()
        if error is None and self._is_raised:
            self._is_raised = False
            _log.warning("the storage guard works again (process %d)", os.getpid())
            self._send(Verdict.OK, "the storage guard works again")
        elif error is not None and (self._told_at is None or now - self._told_at >= _TOLD_EVERY_SECONDS):
            self._told_at, self._is_raised = now, True
            _log.critical("the storage guard is broken (process %d): %s", os.getpid(), error)
            self._send(Verdict.CRITICAL, f"uploads are not decided on by the storage guard: {error}")

    def _send(self, verdict: Verdict, message: str) -> None:
        """Send one after the other: a topic that is resolved must not be raised by a message that was slower."""
        before = self._sending

        def send() -> None:
            if before is not None:
                before.join()  # at once after a fork, which leaves all other threads behind
            alerts.tell(_TOPIC, verdict, message)

        thread = threading.Thread(target=send, name=_TOPIC, daemon=True)
        try:
            thread.start()
        except RuntimeError as failed:  # no more threads, or the interpreter is ending
            _log.warning("nobody could be told: %s", failed)
        else:
            self._sending = thread

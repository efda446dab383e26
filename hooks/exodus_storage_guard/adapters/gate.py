"""Ask for room on behalf of a platform, and do what was chosen for a guard that itself is broken."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from exodus_common.clock import Clock, SystemClock
from exodus_common.errors import ExodusError
from exodus_storage_guard import alerts, settings
from exodus_storage_guard.admission.guard import StorageGuard, UploadReservation
from exodus_storage_guard.errors import UploadRefused
from exodus_storage_guard.model import Verdict

_log = logging.getLogger(__name__)
_ASK_AGAIN_SECONDS = 60
_TOLD_EVERY_SECONDS = 60.0
_TOPIC = "storage-guard-broken"
_BROKEN = (ExodusError, OSError)

WhenBroken = Literal["refuse", "accept"]

HELD: ContextVar[UploadReservation | None] = ContextVar("exodus_held", default=None)
"""The room within which this very thread, or task, is storing: whatever it stores needs none beyond it."""


@dataclass
class Gate:
    """Admit uploads by a guard that is opened when the first comes; threads may share it, and it outlives a fork.

    `when_broken` says what becomes of uploads while the guard cannot decide: its state is away, its settings are wrong.
    None leaves that to `admission.when_broken` of its settings, and is "refuse" where they cannot be read.
    """

    config: Path | None = None
    when_broken: WhenBroken | None = None
    clock: Clock = field(default_factory=SystemClock)
    _guard: StorageGuard | None = field(default=None, init=False, repr=False)
    _operator: "_Operator" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Have an operator who is told by the same clock."""
        self._operator = _Operator(self.clock)

    @property
    def guard(self) -> StorageGuard:
        """Give the guard; raise `ExodusError` where it cannot be opened."""
        # Threads that come at once may each open one, which costs little; a lock might be held when we are forked.
        if self._guard is None:
            self._guard = StorageGuard.from_config(self.config)
        return self._guard

    def admit(self, size_bytes: int | None, key: str | None = None) -> UploadReservation | None:
        """Reserve room, or raise `UploadRefused`; None where a broken guard's uploads are accepted."""
        try:
            admitted = self.guard.admit(size_bytes, key=key)
        except UploadRefused:
            self._operator.hear(None)
            raise
        except _BROKEN as error:
            self._operator.hear(error)
            if self._when_broken() == "accept":
                return None
            raise UploadRefused("the storage guard does not work at this moment", _ASK_AGAIN_SECONDS) from error
        self._operator.hear(None)
        return admitted

    @contextmanager
    def holding(self, reservation: UploadReservation | None) -> Iterator[None]:
        """Commit what `admit` gave when the block ends, or release it when the block raises."""
        before = HELD.set(reservation)
        try:
            yield
        except BaseException:
            self.end(reservation, stored=False)
            raise
        finally:
            HELD.reset(before)
        self.end(reservation, stored=True)

    def end(self, reservation: UploadReservation | None, *, stored: bool) -> None:
        """Commit what `admit` gave, or release it.

        An upload that is stored does not fail since the guard broke meanwhile: the operator is told, and what could
        not be written down ends by itself.
        """
        if reservation is None:
            return
        try:
            reservation.commit() if stored else reservation.release()
        except _BROKEN as error:
            self._operator.hear(error)

    def is_accepting(self) -> bool:
        """Tell whether an upload of a usual size would be admitted now; nothing is reserved."""
        try:
            return self.guard.is_accepting()
        except UploadRefused:
            return False
        except _BROKEN as error:
            self._operator.hear(error)
            return self._when_broken() == "accept"

    def _when_broken(self) -> WhenBroken:
        if self.when_broken is not None:
            return self.when_broken
        if self._guard is not None:
            return self._guard.when_broken
        try:
            return settings.load(self.config and Path(self.config), os.environ).admission.when_broken
        except _BROKEN:
            return "refuse"


@dataclass
class _Operator:
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

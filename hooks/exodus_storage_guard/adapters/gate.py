"""Ask for room on behalf of a platform, and do what was chosen for a guard that itself is broken."""

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from exodus_common.clock import Clock, SystemClock
from exodus_common.errors import ExodusError
from exodus_storage_guard import alerts, settings
from exodus_storage_guard.adapters.room import HELD, Room
from exodus_storage_guard.admission import asking
from exodus_storage_guard.admission.guard import StorageGuard
from exodus_storage_guard.errors import UploadRefused, Why
from exodus_storage_guard.model import Verdict

_log = logging.getLogger(__name__)
_ASK_AGAIN_SECONDS = 60
_TOLD_EVERY_SECONDS = 60.0
_TOPIC = "storage-guard-broken"
_BROKEN = (ExodusError, OSError)

WhenBroken = Literal["refuse", "accept"]


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

    def admit(
        self,
        size_bytes: int | None,
        key: str | None = None,
        *,
        lease_seconds: float | None = None,
        client: str | None = None,
    ) -> Room | None:
        """Reserve room, or raise `UploadRefused`; None where a broken guard's uploads are accepted."""
        try:
            admitted = self.guard.admit(size_bytes, key=_usable(key), lease_seconds=lease_seconds, client=client)
        except UploadRefused:
            self._operator.hear(None)
            raise
        except _BROKEN as error:
            self._operator.hear(error)
            if self.when_broken_now() == "accept":
                return None
            broken = "the storage guard does not work at this moment"
            raise UploadRefused(broken, _ASK_AGAIN_SECONDS, Why.NOT_KNOWN) from error
        self._operator.hear(None)
        return Room(admitted)

    def extend(self, room: Room, lease_seconds: float | None) -> bool:
        """Have a reservation end so long from now (None: as usual); False where it has ended already.

        A guard that is broken is not asked again by this: the operator is told, and the reservation ends by itself.
        """
        try:
            return room.reservation.extend(lease_seconds)
        except _BROKEN as error:
            self._operator.hear(error)
            return True

    @contextmanager
    def holding(self, room: Room | None) -> Iterator[None]:
        """Settle what `admit` gave when the block ends; a block that raises has stored nothing but what was noted."""
        before = HELD.set(room)
        try:
            yield
        except BaseException:
            self.settle(room, otherwise_stored=False)
            raise
        finally:
            HELD.reset(before)
        self.settle(room, otherwise_stored=True)

    def settle(self, room: Room | None, *, otherwise_stored: bool) -> None:
        """Commit what was stored within a reservation, with its size, and release the rest.

        Where no storage says what it stores, `otherwise_stored` says whether that was what was reserved. An upload that
        is stored does not fail since the guard broke meanwhile: the operator is told, and what could not be written
        down ends by itself.
        """
        if room is None:
            return
        try:
            if room.is_told:
                self._commit(room)
            elif otherwise_stored:
                room.reservation.commit()
            else:
                room.reservation.release()
        except UploadRefused as refusal:
            _log.warning("more was stored than was reserved; the next sync counts it: %s", refusal)
        except _BROKEN as error:
            self._operator.hear(error)

    def _commit(self, room: Room) -> None:
        """Commit the first of what was stored with the reservation, and for each other one make one of its own."""
        if not room.stored:
            room.reservation.release()
        for number, (key, size) in enumerate(_counted(room.stored)):
            one = self.guard.admit(size, key=key) if number else room.reservation
            one.commit(key, size_bytes=size)

    def is_accepting(self) -> bool:
        """Tell whether an upload of a usual size would be admitted now; nothing is reserved."""
        try:
            return self.guard.is_accepting()
        except UploadRefused:
            return False
        except _BROKEN as error:
            self._operator.hear(error)
            return self.when_broken_now() == "accept"

    def when_broken_now(self) -> WhenBroken:
        """Say what becomes of uploads while nothing can be decided."""
        if self.when_broken is not None:
            return self.when_broken
        if self._guard is not None:
            return self._guard.when_broken
        try:
            return settings.load(self.config and Path(self.config), os.environ).admission.when_broken
        except _BROKEN:
            return "refuse"


def _usable(key: str | None) -> str | None:
    """Leave out a name that no object has: whoever uploads may have chosen it, and the guard does not break by that."""
    return key if key is not None and asking.is_key(key) else None


def _counted(stored: Mapping[str, int]) -> Sequence[tuple[str | None, int]]:
    """Give what was stored, each under its key; at the end, as one, what no object is called."""
    named = [(key, size) for key, size in stored.items() if asking.is_key(key)]
    nameless = [size for key, size in stored.items() if not asking.is_key(key)]
    return [*named, *([(None, sum(nameless))] if nameless else [])]


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

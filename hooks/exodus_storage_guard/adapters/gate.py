"""Ask for room on behalf of a platform, and do what was chosen for a guard that itself is broken."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from exodus_common.clock import Clock, SystemClock
from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard import settings
from exodus_storage_guard.adapters.operator_alert import Operator
from exodus_storage_guard.adapters.room import HELD, Room
from exodus_storage_guard.admission import asking
from exodus_storage_guard.admission.guard import StorageGuard, UploadReservation
from exodus_storage_guard.errors import ObjectMissing, UploadRefused, Why

_log = logging.getLogger(__name__)
_ASK_AGAIN_SECONDS = 60
_BROKEN = (ExodusError, OSError)
_BROKEN_REASON = "the storage guard does not work at this moment"

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
    _operator: Operator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Have an operator who is told by the same clock."""
        self._operator = Operator(self.clock)

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
            lease_seconds = self._allowed(lease_seconds)
            admitted = self.guard.admit(size_bytes, key=_usable(key), lease_seconds=lease_seconds, client=client)
        except UploadRefused:
            self._operator.hear(None)
            raise
        except _BROKEN as error:
            self._operator.hear(error)
            if self.when_broken_now() == "accept":
                return None
            raise UploadRefused(_BROKEN_REASON, _ASK_AGAIN_SECONDS, Why.NOT_KNOWN) from error
        self._operator.hear(None)
        return Room(admitted, self.hold)

    def _allowed(self, lease_seconds: float | None) -> float | None:
        """Ask for no longer lease than there is: how long a client may be idle is a platform's to say."""
        longest = self.guard.longest_lease_seconds
        return lease_seconds if lease_seconds is None or longest is None else min(lease_seconds, longest)

    def extend(self, room: Room, lease_seconds: float | None) -> bool:
        """Have a reservation end so long from now (None: as usual); False where it has ended already.

        A guard that is broken is not asked again by this: the operator is told, and the reservation ends by itself.
        """
        try:
            return room.reservation.extend(self._allowed(lease_seconds))
        except _BROKEN as error:
            self._operator.hear(error)
            return True

    def hold(self, room: Room, size_bytes: int) -> None:
        """See that a reservation holds while something is stored: for as long as is usual, and for so many bytes.

        One that has ended is asked for anew: raise `UploadRefused` before anything is stored that has no room.
        """
        is_held = self.extend(room, None)
        try:
            if not is_held or not _has_grown(room.reservation, size_bytes):
                room.reservation.renew(max(size_bytes, room.reservation.reserved.bytes))
        except UploadRefused:
            raise
        except _BROKEN as error:
            self._operator.hear(error)
            if self.when_broken_now() != "accept":
                raise UploadRefused(_BROKEN_REASON, _ASK_AGAIN_SECONDS, Why.NOT_KNOWN) from error

    @contextmanager
    def holding(self, room: Room | None) -> Iterator[None]:
        """Settle what `admit` gave when the block ends, however that is: what was noted is stored, and nothing else."""
        before = HELD.set(room)
        try:
            yield
        finally:
            HELD.reset(before)
            self.settle(room)

    def settle(self, room: Room | None) -> None:
        """Commit what was noted as stored within a reservation, with its size, and release the rest.

        An upload that is stored does not fail since the guard broke meanwhile: the operator is told, and what could not
        be written down ends by itself.
        """
        if room is None:
            return
        try:
            self._commit(room)
        except UploadRefused as refusal:
            _log.warning("more was stored than was reserved; the next sync counts it: %s", refusal)
        except _BROKEN as error:
            self._operator.hear(error)

    def _commit(self, room: Room) -> None:
        """Commit all that was stored; what is yet to be committed keeps its room meanwhile."""
        if not room.stored:
            room.reservation.release()
        for left, (key, size) in zip(reversed(range(len(room.stored))), room.stored.items(), strict=True):
            if not room.reservation.commit(_usable(key), size_bytes=size, is_part=left > 0):
                _log.warning("%s was stored, and its reservation has ended; the next sync counts it", printable(key))

    def is_accepting(self) -> bool:
        """Tell whether an upload of a usual size would be admitted now; nothing is reserved."""
        try:
            return self.guard.is_accepting()
        except UploadRefused:
            return False
        except _BROKEN as error:
            self._operator.hear(error)
            return self.when_broken_now() == "accept"

    def is_archived(self, key: str) -> bool:
        """Tell whether an object is in the archive only; where nobody can be asked the store says what there is."""
        try:
            return self.guard.is_archived(key)
        except ExodusError as error:
            _log.warning("whether %s is archived is not known: %s", printable(key), error)
            return False

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


def _has_grown(reservation: UploadReservation, size_bytes: int) -> bool:
    """Have a reservation grow where it is smaller; False where it ended at this very moment."""
    try:
        if size_bytes > reservation.reserved.bytes:
            reservation.grow(size_bytes)
    except ObjectMissing:
        return False
    return True

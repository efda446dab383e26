"""What the service does for whoever asks it: the stories of the guard, with the service's own rights."""

import logging
import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from exodus_common.clock import SystemClock
from exodus_common.errors import ExodusError
from exodus_common.render import json_text
from exodus_common.terminal import printable
from exodus_storage_guard import status
from exodus_storage_guard.adapters.recent import Recent
from exodus_storage_guard.adapters.service import committing
from exodus_storage_guard.adapters.service.committing import Looked, LookFirst
from exodus_storage_guard.admission import fitting, opening, promised, reservations
from exodus_storage_guard.admission.admissions import Direct, Wanted, requested
from exodus_storage_guard.admission.asking import Asker
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.admission.counting import counts
from exodus_storage_guard.admission.reservations import Steps
from exodus_storage_guard.errors import NotYours, StoreFailed
from exodus_storage_guard.model import ObjectState, Reservation
from exodus_storage_guard.settings import Settings
from exodus_storage_guard.tiering import recall
from exodus_storage_guard.tiering.run import Run

_log = logging.getLogger(__name__)
_ACCEPTING_FOR_SECONDS = 1.0

Chunks = Generator[bytes, None, None]


@dataclass
class GuardService:
    """Serve requests; threads may share it. `config` is the settings file where it is not the usual one."""

    settings: Settings
    config: Path | None
    control: AdmissionControl = field(init=False)
    _direct: Direct = field(init=False)
    _usually: Recent = field(init=False)

    def __post_init__(self) -> None:
        """Open the state; room is made by the command, which runs as the service does."""
        self.control = opening.control(self.settings, self.config)
        self._direct = Direct(self.control)
        self._usually = Recent(partial(self._direct.is_accepting, None), _ACCEPTING_FOR_SECONDS, self.control.clock)

    @cached_property
    def run(self) -> Run:
        """Open the store and the archive, for whoever reads an object."""
        return Run.begin(self.settings, SystemClock())

    def admission(self, wanted: Wanted, asker: Asker) -> Steps:
        """Reserve on behalf of somebody, step by step; nothing is waited for here."""
        asked = requested(self.control, wanted, asker)
        return (yield from reservations.steps(self.control, asked, wait_seconds=wanted.wait_seconds))

    def extend(self, reservation_id: str, lease_seconds: float | None, uid: int) -> bool:
        """Have a reservation of this user's end later."""
        self._see_that_it_is_his(reservation_id, uid)
        return self._direct.extend(reservation_id, lease_seconds)

    def growing(self, reservation_id: str, size_bytes: int, uid: int) -> Steps:
        """Reserve more for an upload of this user's, step by step; nothing is waited for here."""
        self._see_that_it_is_his(reservation_id, uid)
        larger = reservations.larger(self.control, reservation_id, size_bytes)
        return (yield from reservations.steps(self.control, larger, is_new=False))

    def commit(
        self,
        reservation_id: str,
        key: str | None,
        size_bytes: int | None,
        uid: int,
        is_part: bool = False,
        looked: Looked | None = None,
    ) -> bool | LookFirst:
        """Say that an upload of this user's is stored; `looked` is what the store has, where that was to be seen."""
        present = self._see_that_it_is_his(reservation_id, uid)
        if present is not None and (present.committed_at is not None or counts(self.control, present)):
            return committing.commit(self.control, present, key, size_bytes, looked, is_part=is_part)
        if key is None or size_bytes is None:
            return False
        return committing.commit_ended(self.control, reservation_id, key, uid, looked)

    def look(self, key: str) -> Looked:
        """Look at what the store has under a key."""
        return committing.look(self.run.store, key)

    def release(self, reservation_id: str, uid: int) -> bool:
        """Say that an upload of this user's did not happen."""
        self._see_that_it_is_his(reservation_id, uid)
        return self._direct.release(reservation_id)

    def _see_that_it_is_his(self, reservation_id: str, uid: int) -> Reservation | None:
        found = self.control.catalogue.reservation(reservation_id)
        if found is not None and not promised.may_end(found, uid, os.geteuid()):
            raise NotYours(f"the reservation {printable(reservation_id)} is another user's")
        return found

    def reservations(self) -> Sequence[dict[str, object]]:
        """Give what is promised to whom."""
        return [one.fields() for one in promised.promised(self.control)]

    def is_accepting(self, size_bytes: int | None = None) -> bool:
        """Tell whether an upload would be admitted now, as it was seen within the last second.

        Where that cannot be told it is what `admission.when_broken` says, and the operator reads why in the journal.
        """
        try:
            return self._usually.answer() if size_bytes is None else self._direct.is_accepting(size_bytes)
        except ExodusError as error:
            _log.critical("whether there is room is not known: %s", error)
            return self.settings.admission.when_broken == "accept"

    def is_too_large(self, size_bytes: int | None) -> bool:
        """Tell whether an upload of this size never fits, as far as that can be told."""
        try:
            return size_bytes is not None and fitting.is_too_large(self.control, size_bytes)
        except ExodusError:  # said above
            return False

    def status(self) -> str:
        """Give the status as JSON."""
        return json_text(status.status(self.control).fields())

    def state(self, key: str) -> ObjectState | None:
        """Give the state of an object; None where it is not known."""
        entry = self.control.catalogue.get(key)
        return None if entry is None else entry.state

    def read(self, key: str) -> tuple[int, Chunks]:
        """Give an object's size and bytes, from wherever it is; the store is not refilled."""
        size, chunks = recall.read(self.run, key)
        passed_on = whole(chunks, size, printable(key))
        return size, _begun_with(next(passed_on, b""), passed_on)


def _begun_with(first: bytes, rest: Chunks) -> Chunks:
    """Give the first bytes before the rest: what is wrong with a small object is known before it is begun."""
    if first:
        yield first
    yield from rest


def whole(chunks: Iterator[bytes], size: int, what: str) -> Chunks:
    """Pass bytes on, and raise `StoreFailed` before the last one where they are not so many or not read to their end.

    Whoever takes them by their number alone would otherwise hold what failed at its end for the whole.
    """
    passed, held_back = 0, b""
    for chunk in chunks:
        passed += len(chunk)
        if passed > size:
            break
        if held_back:
            yield held_back
        held_back = chunk
    if passed != size:
        raise StoreFailed(f"{what} is not of the {size} bytes that are known of it; exodus-storage-guard sync looks")
    if held_back:
        yield held_back

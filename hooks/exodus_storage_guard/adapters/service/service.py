"""What the service does for whoever asks it: the stories of the guard, with the service's own rights."""

import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.resources import files
from pathlib import Path

from exodus_common.clock import SystemClock
from exodus_common.errors import ExodusError
from exodus_common.render import json_text
from exodus_common.terminal import printable
from exodus_storage_guard import status
from exodus_storage_guard.adapters.recent import Recent
from exodus_storage_guard.admission import reservations
from exodus_storage_guard.admission.accepting import AcceptingFlag
from exodus_storage_guard.admission.reservations import Admission, AdmissionControl
from exodus_storage_guard.admission.sweeper import Command
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.model import Need
from exodus_storage_guard.settings import Settings
from exodus_storage_guard.state import opening as state
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
    _flag: AcceptingFlag = field(init=False)
    _usually: Recent = field(init=False)

    def __post_init__(self) -> None:
        """Open the state; room is made by the command, which runs as the service does."""
        command = self.settings.admission.make_room
        sweeper = Command("command" if command == "service" else command, self.config)
        self.control = AdmissionControl(self.settings, state.opened(self.settings.state), SystemClock(), sweeper)
        self._flag = AcceptingFlag(self.control)
        self._usually = Recent(partial(self._flag.is_accepting, None), _ACCEPTING_FOR_SECONDS, self.control.clock)

    @cached_property
    def run(self) -> Run:
        """Open the store and the archive, for whoever reads an object."""
        return Run.begin(self.settings, SystemClock())

    @cached_property
    def description(self) -> bytes:
        """Give the description of what is served."""
        return files("exodus_storage_guard.adapters.service").joinpath("openapi.json").read_bytes()

    def admit(
        self, size_bytes: int | None, key: str | None, lease_seconds: float | None, wait_seconds: float
    ) -> Admission:
        """Reserve; such a reservation ends by time alone, for who asked is not known here."""
        wanted = reservations.request(self.control, size_bytes, key, lease_seconds=lease_seconds)
        return reservations.admit(self.control, wanted, wait_seconds=wait_seconds)

    def commit(self, reservation_id: str, key: str | None) -> bool:
        """Say that an upload is stored."""
        return reservations.commit(self.control, reservation_id, key)

    def release(self, reservation_id: str) -> bool:
        """Say that it did not happen."""
        return reservations.release(self.control, reservation_id)

    def is_accepting(self, size_bytes: int | None = None) -> bool:
        """Tell whether an upload would be admitted now, as it was seen within the last second.

        Where that cannot be told it is what `admission.when_broken` says, and the operator reads why in the journal.
        """
        try:
            return self._usually.answer() if size_bytes is None else self._flag.is_accepting(size_bytes)
        except ExodusError as error:
            _log.critical("whether there is room is not known: %s", error)
            return self.settings.admission.when_broken == "accept"

    def is_too_large(self, size_bytes: int | None) -> bool:
        """Tell whether an upload of this size never fits, as far as that can be told."""
        try:
            return size_bytes is not None and reservations.is_too_large(self.control, size_bytes)
        except ExodusError:  # said above
            return False

    def status(self) -> str:
        """Give the status as JSON."""
        return json_text(status.status(self.control).fields())

    def make_room(self, size_bytes: int, reservation_id: str | None) -> None:
        """Release what is premigrated until there is so much room."""
        self.control.sweeper.release(Need(size_bytes, reservation_id))

    def measure(self) -> None:
        """Measure the store."""
        self.control.sweeper.look()

    def start_sweep(self, size_bytes: int | None, reservation_id: str | None) -> None:
        """Start a sweep that goes on by itself."""
        self.control.sweeper.start_sweep(None if size_bytes is None else Need(size_bytes, reservation_id))

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

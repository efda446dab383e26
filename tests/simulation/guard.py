"""The whole guard as one process of the world runs it: its own code, with the world behind its doors."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from unittest import mock

from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.capacity import measurement
from exodus_storage_guard.errors import ObjectMissing
from exodus_storage_guard.model import Capacity, Entry, Need, Record, StoredObject
from exodus_storage_guard.settings import (
    AdmissionSettings,
    CapacitySettings,
    SelectSettings,
    Settings,
    SweepSettings,
    WatermarkSettings,
)
from exodus_storage_guard.state.contract import Change, SyncResult
from exodus_storage_guard.state.database import Session, Values, Writing
from exodus_storage_guard.state.rows import Row
from exodus_storage_guard.state.sql import SqlCatalogue
from exodus_storage_guard.state.sqlite_database import SqliteDatabase
from exodus_storage_guard.stores.settings import ArchiveSettings, StoreSettings
from exodus_storage_guard.tiering.archive import Archive
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.tiering.workers import Pulse, Workers
from exodus_storage_guard.transitions import Event
from tests.simulation.machine import Process
from tests.simulation.place import Place
from tests.simulation.world import TOTAL_BYTES, World

T = TypeVar("T")
_ENDPOINT = "http://127.0.0.1:9"
MINIMUM_AGE_DAYS = 30


def settings(*, prunes: bool = False, premigrate: str = "20%", source: str = "filesystem") -> Settings:
    """Give what an operator would have written."""
    measured: dict[str, Any] = {"source": source}
    measured |= {"path": Path("/simulated")} if source == "filesystem" else {"total_bytes": TOTAL_BYTES}
    return Settings(
        store=StoreSettings("s3://store", _ENDPOINT),
        archive=None if prunes else ArchiveSettings("s3://archive", _ENDPOINT),
        capacity=CapacitySettings(**measured),
        watermarks=WatermarkSettings("50%", "70%", "90%"),
        select=SelectSettings(minimum_age_days=MINIMUM_AGE_DAYS, action="prune" if prunes else "archive"),
        admission=AdmissionSettings(emergency_reserve=0, lease_seconds=3600),
        sweep=SweepSettings(premigrate=premigrate),
    )


class SimulatedDatabase(SqliteDatabase):
    """Keep the catalogue in a real SQLite file: each call is an effect, but what is asked within a transaction."""

    def __init__(self, process: Process, file: Path) -> None:
        super().__init__(file)
        self.process = process

    def write(self, work: Callable[[Session], T], what: Writing = Writing.OBJECTS, /) -> T:
        self.process.effect("catalogue write")
        self.process.in_transaction += 1
        try:
            return super().write(work, what)
        finally:
            self.process.in_transaction -= 1

    def read(self, sql: str, values: Values = (), /) -> list[Row]:
        self.process.effect("catalogue read")
        return super().read(sql, values)

    def load_ballast(self) -> None:
        """Write none: 4 MiB for each seed are too many."""


class SimulatedCatalogue(SqlCatalogue):
    """Tell the world what is announced, and go by its time."""

    def __init__(self, process: Process, file: Path) -> None:
        self.database = SimulatedDatabase(process, file)
        super().__init__(self.database)
        self.process = process

    def change(self, changes: Iterable[Change], at: datetime) -> list[Entry]:
        asked = list(changes)
        made = super().change(asked, at)
        keys = {entry.key for entry in made}
        self.process.world.events |= {one.event.value for one in asked if one.entry.key in keys}
        for one in asked:
            if one.event is Event.FORGOTTEN and one.entry.key in keys:
                self.process.world.forget(one.entry.key)
            if one.event in (Event.RELEASE_BEGUN, Event.PRUNE_BEGUN):
                self.process.claimed_at[one.entry.key] = self.process.world.ticks
            self.process.world.note(self.process.name, f"{one.event} {one.entry.key[:3]}: {one.reason[:60]}")
        return made

    def apply_listing(
        self, listing: Iterable[StoredObject], at: datetime, records: Iterable[Record] | None = None
    ) -> SyncResult:
        found = super().apply_listing(listing, at, records)
        self.process.world.events |= {*found.changes}
        return found

    def silent_seconds(self, owner: str) -> float | None:
        """Go by the world's time: a process beats for as long as it lives."""
        if super().silent_seconds(owner) is None:
            return None
        others = [one for one in PROCESSES if one.owner == owner]
        if not others or others[0].is_alive:
            return 0.0 if others else 1e9
        return self.process.world.clock.monotonic() - others[0].died_at


class OneAfterTheOther(Workers):
    """Do everything in the order in which it comes: the world chooses enough already."""

    def over(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        for item in items:
            try:
                yield item, work(item)
            except Exception as error:
                yield item, error


class SimulatedRun(Run):
    """Run without threads of its own."""

    def workers(self, pulse: Pulse) -> Workers:
        return OneAfterTheOther(1, pulse, 60)

    def heartbeat(self) -> AbstractContextManager[None]:
        self.catalogue.beat(self.owner)
        return nullcontext()


@dataclass
class Sweeper:
    """Start sweeps as processes of their own."""

    start: Callable[[Need | None, bool], Process]
    process: Process

    def release(self, need: Need) -> None:
        sweeping = self.start(need, True)
        while sweeping.is_alive and not self.process.is_calm:
            self.process.effect("wait for a sweep")
            self.process.give_way()
            if not self.process.is_alive:
                self.process.effect("die")

    def start_sweep(self, need: Need | None) -> bool:
        self.start(need, False)
        return True

    def look(self) -> None:
        return

    def fetch(self, key: str, target: BinaryIO) -> None:
        raise ObjectMissing(key)


PROCESSES: list[Process] = []


def run_of(process: Process, chosen: Settings, file: Path) -> Run:
    """Open the doors of a run."""
    catalogue = SimulatedCatalogue(process, file)
    archive = Archive(Place(process, "archive")) if chosen.archive else None
    return SimulatedRun(chosen, process.world.clock, catalogue, Place(process, "store"), archive, process.owner)


def control_of(
    process: Process, chosen: Settings, file: Path, start: Callable[[Need | None, bool], Process]
) -> AdmissionControl:
    """Open what an admission works with."""
    catalogue = SimulatedCatalogue(process, file)
    return AdmissionControl(chosen, catalogue, process.world.clock, Sweeper(start, process))


@contextmanager
def behind_doors(world: World, current: Callable[[], Process]) -> Iterator[None]:
    """Have the world behind what the guard asks of its own machine."""
    PROCESSES.clear()

    def measured(path: Path, now: datetime) -> Capacity:
        used = min(world.used_bytes, TOTAL_BYTES)
        return Capacity("filesystem", TOTAL_BYTES, used, TOTAL_BYTES - used, now)

    def is_alive(owner: str) -> bool:
        if owner.split(" ")[0] != current().machine:
            return True
        return any(one.owner == owner and one.is_alive for one in PROCESSES)

    ours = "exodus_storage_guard.processes"
    with (
        mock.patch.object(measurement, "measure_filesystem", measured),
        mock.patch(f"{ours}.this_process", lambda: current().owner),  # noqa: PT008 - asked anew each time
        mock.patch(f"{ours}.is_alive", is_alive),
        mock.patch(f"{ours}.is_of_this_machine", lambda owner: owner.split(" ")[0] == current().machine),
    ):
        yield

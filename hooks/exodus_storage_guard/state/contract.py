"""What every catalogue does; one suite of tests runs over all of them (tests/contracts/test_catalogue.py)."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from exodus_storage_guard.model import (
    Capacity,
    Entry,
    HistoryEvent,
    ObjectState,
    ProvenCopy,
    Record,
    Reservation,
    Seen,
    StoredObject,
    Total,
)
from exodus_storage_guard.transitions import Event

REBUILDING = "rebuilding"
"""What `settled` says since when a rebuild is at work; empty once it came to its end."""


@dataclass(frozen=True, slots=True)
class Change:
    """Ask for one transition of an entry, as it was read: it fails where somebody else was faster.

    What is None stays as it is, except `owner` and `retry_at`, which are always set; and `sha256`, `copy` and
    `copy_mark` where a copy was proven, or what was proven is no more.
    """

    entry: Entry
    event: Event
    reason: str
    owner: str | None = None
    sha256: str | None = None
    copy: str | None = None
    copy_mark: str | None = None
    retry_at: datetime | None = None
    stored: StoredObject | None = None
    hold: bool | None = None


@dataclass(frozen=True, slots=True)
class SyncResult:
    """Count what a listing showed: objects by what happened to them, and how many there are.

    `unseen` is what the keys begin with that it could not look at, and that nothing is changed of.
    """

    listed: Total
    changes: Mapping[str, int] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()


class Catalogue(Protocol):
    """Keep everything that must outlive a process. Errors: `StateFailed`, `TryLater` where it stays locked."""

    def create(self) -> None:
        """Make the catalogue where there is none."""

    def settled(self) -> Mapping[str, str]:
        """Give what `init` wrote down; nothing where it has not been run."""

    def settle(self, name: str, value: str) -> None:
        """Write down one thing that `init` found out."""

    def settle_again(self, name: str, was: str, value: str) -> bool:
        """Write down one thing anew, if it still is as it was read, '' where it never was; tell whether it was."""

    # --- admission: short transactions ---

    def reserve(
        self, wanted: Reservation, decide: Callable[[Sequence[Reservation], Mapping[ObjectState, Total]], bool]
    ) -> bool:
        """Write a reservation down if `decide` says so, in one transaction with what it decides from.

        It is given every other one that `reservations` gives, and the totals; one with the same id is replaced.
        """

    def reservations(self) -> Sequence[Reservation]:
        """Give what is not committed yet, with what ended without a word."""

    def reservation(self, id_: str) -> Reservation | None:
        """Give one reservation, committed or not."""

    def landed(self, seen: Seen) -> Total:
        """Count the committed uploads that a measurement has not seen, at once however many there are."""

    def extend(self, id_: str, until: datetime, holds: Callable[[Reservation], bool]) -> bool:
        """Have a reservation end at `until` that is not committed; tell whether it was one.

        Only where `holds` says, in the same transaction, that nobody can have given its room away.
        """

    def split(self, id_: str, part: Reservation) -> None:
        """Write down a part of a reservation as one of its own, whose room the other has no more, in one transaction.

        It is written all the same where the other is gone, or has not so much: so much is stored.
        """

    def end_reservations(self, ids: Collection[str]) -> int:
        """Remove reservations; give how many there were."""

    def commit(self, reservation: Reservation, stored: StoredObject | None, seen: Seen) -> bool:
        """Write down that an upload is stored, and its object where known; False where the reservation is gone.

        An object that is known already is another one from now on: resident, as old as this upload, and not proven.
        Reservations that a measurement has seen land are forgotten.
        """

    def record(self, capacity: Capacity) -> None:
        """Remember a measurement."""

    def measured(self) -> Capacity | None:
        """Give the latest measurement."""

    def samples(self) -> Sequence[tuple[datetime, int]]:
        """Give what was used over the last days, oldest first."""

    # --- objects ---

    def totals(self) -> Mapping[ObjectState, Total]:
        """Count objects by state, at once however many there are."""

    def get(self, key: str) -> Entry | None:
        """Give one object."""

    def candidates(self, until: datetime | None = None) -> Iterator[Entry]:
        """Stream what is in the store and at rest, oldest first, in flat memory; changes meanwhile do no harm.

        Nothing that was modified after `until`.
        """

    def premigrated(self) -> Iterator[Entry]:
        """Stream what is premigrated, oldest first."""

    def taken(self) -> Iterator[Entry]:
        """Stream what a run is at work on, or was when it ended: what has an owner, each once, by key."""

    def in_state(self, *states: ObjectState) -> Iterator[Entry]:
        """Stream the objects in some states, by key."""

    def change(self, changes: Iterable[Change], at: datetime) -> list[Entry]:
        """Make transitions, durably, in one transaction; give the new entries of those that were as they were read."""

    def hold(self, keys: Collection[str], at: datetime, *, held: bool) -> int:
        """Set or lift the hold of objects; give how many there are."""

    def apply_listing(
        self, listing: Iterable[StoredObject], at: datetime, records: Iterable[Record] | None = None
    ) -> SyncResult:
        """Bring the catalogue in line with a listing that began at `at`; in short transactions and flat memory.

        Where it ends with `ListingIncomplete`, what it could not look at is neither gone nor changed. What has vanished
        and has an older copy is archived with that one. Where the platform keeps records, each object has what its
        record says; `changes` counts rows whose object is neither in the store nor archived as `recorded, and not
        there`.
        """

    def adopt(self, entry: Entry, reason: str) -> bool:
        """Write down a copy that is known from its manifest, and its object; False where that stays as it is known.

        What is in the store stays, and what has a newer copy; what was forgotten does, and its copy is not taken.
        """

    def copies(self) -> Iterator[ProvenCopy]:
        """Stream every copy that was proven and not lost or forgotten since, older ones too, by name."""

    def copies_of(self, key: str) -> Sequence[ProvenCopy]:
        """Give those of one key, the newest first: by the store's clock, then by that of who copied them."""

    def owners_of_copies(self, names: Collection[str]) -> Collection[tuple[str, str]]:
        """Give each of these names that a copy is known by, a lost one too, with its key."""

    def rename_copies(self, names: Mapping[str, str]) -> None:
        """Know copies by other names, in one transaction."""

    def lose_copy(self, copy: ProvenCopy, at: datetime, reason: str) -> None:
        """Know an older copy no more, and note why; what an object has in its row is lost by `change`."""

    def history(self, key: str | None) -> Iterator[HistoryEvent]:
        """Stream what was done, to one object or to all, oldest first."""

    # --- runs, on this machine and others ---

    def beat(self, owner: str) -> None:
        """Write down that a run is at work at this moment."""

    def silent_seconds(self, owner: str) -> float | None:
        """Say for how long a run has not been heard of, by the catalogue's own clock; None where it never was."""

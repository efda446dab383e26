"""What every store does; one suite of tests runs over all of them (tests/contracts/test_store.py)."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from exodus_common.errors import ExodusError
from exodus_storage_guard.model import Capacity, StoredObject, Total

Chunks = Iterator[bytes]
MOST_SMALL_BYTES = 16 * 1024 * 1024
"""How many bytes `Store.read_small` reads at most: a mark or a manifest has fewer."""
Moved = Callable[[int], None]
"""Be told how many more bytes have moved: who watches can tell slow from dead."""


def nobody(size_bytes: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Looks:
    """Say how those of many keys look under which there is an object, and which could not be looked at, and why.

    Under a key that is in neither there is nothing.
    """

    found: Mapping[str, StoredObject]
    failed: Mapping[str, ExodusError]


class Store(Protocol):
    """Hold objects by key. Errors: `StoreFailed` and its kinds, `KeyRefused` for a key that cannot be one here."""

    @property
    def name(self) -> str:
        """Name the store to people, without a secret."""

    def listing(self) -> Iterator[StoredObject]:
        """Stream every object there is, in flat memory; what is being written is not one yet.

        Raises `ListingIncomplete` at its end where it could not look everywhere.
        """

    def stat(self, key: str) -> StoredObject | None:
        """Describe an object; None where there is none."""

    def stat_all(self, keys: Sequence[str], moved: Moved = nobody) -> Looks:
        """Describe those of the keys under which there is an object; `moved` is told after each answer.

        A key that cannot be looked at is told with its reason. Raises `StoreFailed` where the store does not answer.
        """

    def open(self, key: str) -> AbstractContextManager[tuple[StoredObject, Chunks]]:
        """Describe an object and stream its bytes, all of them of what is described.

        Raises `ObjectMissing`, `StoreFailed` where it is cut, and at the end `ObjectChanged` where it was changed.
        """

    def put(self, wanted: StoredObject, chunks: Iterable[bytes]) -> StoredObject:
        """Store bytes, durably and all at once, with the times and metadata of `wanted`; an existing object stays.

        Gives the object as it is seen there from now on: a bucket has times of its own.

        Raises `ObjectChanged` where there is an object of that key or the bytes are not as many as wanted, `StoreFull`,
        and whatever `chunks` raises; then nothing is left behind.
        """

    def take(self, source: "Store", stored: StoredObject, new_key: str) -> StoredObject | None:
        """Have exactly this object of another store copied by the server that has both; None where none does.

        Gives what was copied, with the metadata that a listing has not.

        Raises `ObjectChanged` where it is another object by now, and what `put` raises.
        """

    def sha256(self, key: str, moved: Moved = nobody) -> str:
        """Read an object back from where it lasts, past what memory holds of it, and give the SHA-256 of its bytes."""

    def delete(self, stored: StoredObject) -> bool:
        """Delete exactly this object, durably; False where there is none, `ObjectChanged` where it is another one.

        What others put there after the look stays, however late they do.
        """

    def delete_all(self, batch: Sequence[StoredObject]) -> Mapping[str, ExodusError]:
        """Delete exactly these objects; give the key of each that is not deleted, and why.

        Whether they are gone indeed is for `present` to tell.
        """

    def present(self, keys: Sequence[str], moved: Moved = nobody) -> Collection[str]:
        """Give those of the keys under which there is an object."""

    def move(self, key: str, new_key: str, moved: Moved = nobody) -> None:
        """Give an object another key; raise `ObjectChanged` where there is an object of that key."""

    def read_small(self, key: str) -> bytes | None:
        """Give the bytes of a small object; None where there is none."""

    def write_small(self, key: str, content: bytes) -> None:
        """Write a small object, durably; one that is there is replaced."""

    def discard_unfinished(self, before: datetime) -> int:
        """End what was being written or deleted, by somebody who is gone, and not touched since; give how many.

        What was being written is removed. What was being deleted is an object again: only who looked at it and at its
        copy may delete it. Where another has its key by now, both stay, and an operator is told.
        """

    def abandon(self, key: str) -> None:
        """Remove what somebody who is gone had begun to store under a key, where a store knows of which key it is."""

    def unfinished(self, before: datetime) -> Total:
        """Count what was begun before, by anybody, and is no object yet but takes space; as far as this can be told."""

    def capacity(self) -> Capacity | None:
        """Measure the space there is; None where the store cannot tell."""

    def now(self) -> datetime | None:
        """Say what time it is there, by the clock that gives objects their times; None where the store has no clock.

        Nor has one that is full and cannot be asked without a write: it has to be swept all the same. Raises
        `StoreFailed` where the time is not known.
        """

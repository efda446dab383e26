"""A store or an archive of the world, as one process sees it: the interface that the real ones have."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Literal

from exodus_common.errors import ExodusError
from exodus_storage_guard.errors import ObjectChanged, ObjectMissing, StoreFailed, StoreFull
from exodus_storage_guard.model import Capacity, StoredObject, Total
from exodus_storage_guard.stores.contract import Chunks, Looks, Moved, Store, nobody
from exodus_storage_guard.stores.one_by_one import delete_one_by_one, present_one_by_one, stat_one_by_one
from exodus_storage_guard.tiering.rights import is_probe
from tests.simulation.machine import Process
from tests.simulation.world import Thing, World, WorldWrong

_FAULT_ONE_IN = 40


class Place(Store):
    """Ask the world on behalf of a process; what may go wrong does, by the world's choices."""

    def __init__(self, process: Process, which: Literal["store", "archive"]) -> None:
        self.process, self.which = process, which
        self.world: World = process.world

    @property
    def name(self) -> str:
        return f"the {self.which}"

    @property
    def things(self) -> dict[str, Thing]:
        if self.which == "archive":
            return self.world.at_the_mount_point
        return self.world.store if self.world.is_store_mounted else {}

    # --- what can go wrong ---

    def _reach(self, what: str) -> None:
        self.process.effect(f"{self.which} {what}")
        if self._fails():
            raise StoreFailed(f"{self.name}: {what}: no answer, and nothing was done")

    def _answered(self, what: str) -> None:
        if self._fails():
            raise StoreFailed(f"{self.name}: {what}: no answer, though it was done")

    def _fails(self) -> bool:
        return not self.process.is_calm and self.world.choices.one_in(_FAULT_ONE_IN)

    def _look(self, key: str) -> None:
        if self.which == "archive":
            self.process.looked_at[key] = self.world.ticks

    # --- reading ---

    def listing(self) -> Iterator[StoredObject]:
        self._reach("listing")
        for key in sorted(self.things):
            self.process.effect("listing")
            if key in self.things:
                self._look(key)
                yield described(key, self.things[key])

    def stat(self, key: str) -> StoredObject | None:
        self._reach(f"stat {key}")
        self._look(key)
        return described(key, self.things[key]) if key in self.things else None

    def stat_all(self, keys: Sequence[str], moved: Moved = nobody) -> Looks:
        return stat_one_by_one(self, keys, moved)

    @contextmanager
    def open(self, key: str) -> Iterator[tuple[StoredObject, Chunks]]:
        self._reach(f"open {key}")
        if key not in self.things:
            raise ObjectMissing(f"{self.name}: there is no {key}")
        self._look(key)
        thing = self.things[key]
        yield described(key, thing), self._chunks(key, thing)

    def _chunks(self, key: str, thing: Thing) -> Chunks:
        half = len(thing.content) // 2
        for part in (thing.content[:half], thing.content[half:]):
            self._reach(f"read {key}")
            if part:
                yield part

    def sha256(self, key: str, moved: Moved = nobody) -> str:
        digest = hashlib.sha256()
        with self.open(key) as (_, chunks):
            for chunk in chunks:
                digest.update(chunk)
                moved(len(chunk))
        self._look(key)
        return digest.hexdigest()

    def present(self, keys: Sequence[str], moved: Moved = nobody) -> Collection[str]:
        return present_one_by_one(self, keys, moved)

    def read_small(self, key: str) -> bytes | None:
        self._reach(f"read {key}")
        self._look(key)
        return self.things[key].content if key in self.things else None

    def abandon(self, key: str) -> None:
        return

    def unfinished(self, before: datetime) -> Total:
        return Total()

    def capacity(self) -> Capacity | None:
        return None

    def now(self) -> datetime | None:
        return self.world.clock.true

    # --- writing ---

    def put(self, wanted: StoredObject, chunks: Iterable[bytes]) -> StoredObject:
        content = b"".join(chunks)
        self._reach(f"put {wanted.key}")
        if self.which == "store" and not self.world.is_store_mounted:
            raise StoreFailed(f"{self.name} is not mounted")
        if wanted.key in self.things:
            raise ObjectChanged(f"{self.name}: there is another {wanted.key} already")
        if len(content) != wanted.bytes:
            raise ObjectChanged(f"{wanted.key} has other than its {wanted.bytes} bytes")
        self._refuse_beyond_room(len(content))
        modified_at = wanted.last_modified if self.which == "store" else self.world.clock.true
        metadata = tuple(sorted(wanted.metadata.items()))
        self._write(wanted.key, self.world.thing(content, modified_at, kind=wanted.content_type, metadata=metadata))
        self._answered(f"put {wanted.key}")
        return described(wanted.key, self.things[wanted.key])

    def _refuse_beyond_room(self, size_bytes: int) -> None:
        room = self.world.archive_room
        if self.which == "archive" and room is not None:
            used = sum(len(thing.content) for thing in self.things.values())
            if used + size_bytes > room:
                raise StoreFull(f"{self.name}: no space left")

    def _write(self, key: str, thing: Thing) -> None:
        self.things[key] = thing
        if self.which == "archive":
            self.world.written_at[key] = self.world.ticks
        self._see_that_nothing_is_lost(f"wrote {self.which} {key}")

    def take(self, source: Store, stored: StoredObject, new_key: str) -> StoredObject | None:
        return None

    def write_small(self, key: str, content: bytes) -> None:
        self._reach(f"write {key}")
        self._write(key, self.world.thing(content, self.world.clock.true))
        self._answered(f"write {key}")

    def _is_as_old(self, seen: StoredObject, stored: StoredObject) -> bool:
        """Compare times by the second, as real doors do; where an ETag says nothing of the content time alone tells."""
        if self.world.weak_etags:
            return seen.last_modified == stored.last_modified
        return seen.last_modified.replace(microsecond=0) == stored.last_modified.replace(microsecond=0)

    def delete(self, stored: StoredObject) -> bool:
        self._reach(f"delete {stored.key}")
        present = self.things.get(stored.key)
        if present is None:
            return False
        seen = described(stored.key, present)
        if not seen.is_same_content(stored) or not self._is_as_old(seen, stored):
            raise ObjectChanged(f"{self.name}: {stored.key} is not the object that was looked at before")
        if self.which == "store":
            self.world.take_from_store(stored.key)
            self._see_that_it_was_proven(stored.key, present)
        else:
            del self.things[stored.key]
        self._see_that_nothing_is_lost(f"deleted {self.which} {stored.key}")
        self._answered(f"delete {stored.key}")
        return True

    def delete_all(self, batch: Sequence[StoredObject]) -> Mapping[str, ExodusError]:
        return delete_one_by_one(self, batch)

    def move(self, key: str, new_key: str, moved: Moved = nobody) -> None:
        self._reach(f"move {key} to {new_key}")
        if key not in self.things:
            raise ObjectMissing(f"{self.name}: there is no {key}")
        self.things[new_key] = self.things.pop(key)
        self._see_that_nothing_is_lost(f"moved {self.which} {key} to {new_key}")
        self._answered(f"move {key}")

    def discard_unfinished(self, before: datetime) -> int:
        return 0

    # --- the oracle ---

    def _see_that_it_was_proven(self, key: str, gone: Thing) -> None:
        """Excuse a deletion only where others spoiled the copy between the last look at it and the deletion."""
        if any(self.world.copies(gone.sha256)) or is_probe(key):
            return
        if self.world.prunes:
            if self.world.clock.true - gone.modified_at < self.world.minimum_age:
                raise WorldWrong(f"{self.process.what} pruned {key}, which is too young")
            self.world.somebody_did("pruned, as the operator chose")
            return
        begun_at = self.process.claimed_at.get(key, 0)
        for (name, sha256), spoiled_at in self.world.spoiled_at.items():
            if sha256 == gone.sha256 and begun_at <= self.process.looked_at.get(name, -1) <= spoiled_at:
                self.world.somebody_did(f"the copy {name} was spoiled after it was looked at")
                return
        raise WorldWrong(f"{self.process.what} deleted {key} ({gone.sha256[:6]}), of which there is no good copy")

    def _see_that_nothing_is_lost(self, what: str) -> None:
        self.world.note(self.process.name, what)
        lost = self.world.lost()
        if lost:
            raise WorldWrong(f"{self.process.what} {what}: {lost[0][0]} ({lost[0][1][:6]}) is nowhere any more")


def described(key: str, thing: Thing) -> StoredObject:
    """Say of a thing what a server says of it."""
    found = StoredObject(key, len(thing.content), thing.etag, thing.modified_at, thing.kind)
    return replace(found, metadata=dict(thing.metadata))

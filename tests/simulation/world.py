"""The world as it is, whatever anybody believes of it: places, time, and what must never be lost."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from exodus_storage_guard.tiering.archive import MARK
from tests.simulation.choices import Choices

QUARANTINE = ".exodus-quarantine/"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TOTAL_BYTES = 1_000


class WorldWrong(BaseException):
    """Say what must never happen and did: no story may catch it."""


@dataclass(frozen=True)
class Thing:
    """Be what lies under a name: bytes, and what a server says of them."""

    content: bytes
    etag: str
    modified_at: datetime
    kind: str = ""
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass
class Clock:
    """Tell a time that jumps where the machine's clock does; `true` is what the stores go by."""

    true: datetime = BEGIN
    wrong_by: timedelta = timedelta()

    def now(self) -> datetime:
        """Tell the time; who looks twice is not told the same, as on any machine."""
        self.true += timedelta(microseconds=1)
        return self.true + self.wrong_by

    def monotonic(self) -> float:
        return (self.true - BEGIN).total_seconds()

    def wait(self, seconds: float) -> None:
        self.true += timedelta(seconds=max(0.0, seconds))


@dataclass
class World:
    """Hold everything; `ticks` count effects, whoever has them."""

    choices: Choices
    clock: Clock = field(default_factory=Clock)
    store: dict[str, Thing] = field(default_factory=dict)
    archive: dict[str, Thing] = field(default_factory=dict)
    bare: dict[str, Thing] = field(default_factory=dict)
    is_mounted: bool = True
    is_store_mounted: bool = True
    events: set[str] = field(default_factory=set)
    trash: list[tuple[datetime, int]] = field(default_factory=list)
    accepted: dict[tuple[str, str], str] = field(default_factory=dict)
    spoiled_at: dict[tuple[str, str], int] = field(default_factory=dict)
    """When a copy of some content was last spoiled by others, by its name and that content's SHA-256."""
    ticks: int = 0
    log: list[str] = field(default_factory=list)
    weak_etags: bool = False
    keeps_trash: bool = True
    prunes: bool = False
    minimum_age: timedelta = timedelta(days=30)
    archive_room: int | None = None
    was_set_back: bool = False
    was_brought_back: bool = False
    """Whether the store was restored from a backup: the operator rebuilds then, and each described copy is known."""
    written_at: dict[str, int] = field(default_factory=dict)
    """When each thing in the archive was last written: a power cut may tear what is young."""
    grown_at: int = 0
    """When something last came into the store that nobody had asked room for."""

    def note(self, who: str, what: str) -> None:
        self.log.append(f"{self.ticks:4} {who:14} {what}")

    # --- what is there ---

    def etag_of(self, content: bytes) -> str:
        """Say what a server says of some content: its digest, or on a weak one hardly anything."""
        return f"{len(content)}" if self.weak_etags else hashlib.md5(content, usedforsecurity=False).hexdigest()

    def is_untold(self, known_at: datetime, thing: Thing) -> bool:
        """Tell whether no listing says that a thing is another than what was known: an ETag or a second would."""
        within_a_second = known_at.replace(microsecond=0) == thing.modified_at.replace(microsecond=0)
        return self.weak_etags and within_a_second and known_at != thing.modified_at

    def thing(self, content: bytes, modified_at: datetime, **more: Any) -> Thing:
        return Thing(content, self.etag_of(content), modified_at, **more)

    @property
    def at_the_mount_point(self) -> dict[str, Thing]:
        """Give what is seen where the archive is meant to be."""
        return self.archive if self.is_mounted else self.bare

    @property
    def used_bytes(self) -> int:
        """Count what takes space in the store, the trash it has not emptied yet too."""
        self._empty_trash()
        return sum(len(one.content) for one in self.store.values()) + sum(size for _, size in self.trash)

    def _empty_trash(self) -> None:
        self.trash = [(at, size) for at, size in self.trash if self.clock.true - at < timedelta(minutes=5)]

    def take_from_store(self, key: str) -> Thing:
        gone = self.store.pop(key)
        if self.keeps_trash:
            self.trash.append((self.clock.true, len(gone.content)))
        return gone

    # --- what must not be lost ---

    def accept(self, key: str, thing: Thing) -> None:
        """Write down that an object was stored: from now on it is readable, or somebody else removed it."""
        self.accepted.pop((key, thing.sha256), None)  # the last one that was accepted stands last
        self.accepted[key, thing.sha256] = ""

    def forget(self, key: str) -> None:
        """Take note that what is archived of a key may go from now on, as a person wants it."""
        for (one, sha256), excuse in self.accepted.items():
            if one == key and not excuse and not self._is_stored(key, sha256):
                self.accepted[one, sha256] = "forgotten"

    def copies(self, sha256: str) -> Iterator[str]:
        """Name the copies of some content that anybody would find in the archive."""
        for name, thing in self.archive.items():
            if thing.sha256 == sha256 and not name.startswith(QUARANTINE):
                yield name

    def lost(self) -> list[tuple[str, str]]:
        """Name what was accepted, is neither in the store nor in the archive, and was removed by nobody."""
        return [
            (key, sha256)
            for (key, sha256), excuse in self.accepted.items()
            if not excuse and not self._is_stored(key, sha256) and not any(self.copies(sha256))
        ]

    def _is_stored(self, key: str, sha256: str) -> bool:
        return key in self.store and self.store[key].sha256 == sha256

    def somebody_did(self, what: str) -> None:
        """Take note of what is lost by others' hands."""
        for key, sha256 in self.lost():
            self.accepted[key, sha256] = what
            self.note("world", f"{key[:3]} {sha256[:6]} is lost: {what}")

    def spoil(self, name: str, whole: Thing) -> None:
        """Take note that a copy is not any more what it was."""
        self.spoiled_at[name, whole.sha256] = self.ticks

    def restore_archive(self, before: dict[str, Thing]) -> None:
        """Bring the archive back from a backup; the mark stays."""
        for name in {*self.archive, *before}:
            present = self.archive.get(name)
            if present is not None and present != before.get(name):
                self.spoil(name, present)
        kept = {name: thing for name, thing in self.archive.items() if name == MARK or thing == before.get(name)}
        restored = {name: replace(thing, modified_at=self.clock.true) for name, thing in before.items()}
        self.archive.clear()
        self.archive.update(restored | kept)

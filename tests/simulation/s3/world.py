"""What a simulated S3 server holds: buckets of objects in memory, and a record of what was looked at and deleted."""

import hashlib
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

BEGINNING = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
Etags = Literal["md5", "empty", "constant"]


@dataclass(frozen=True)
class Held:
    """An object; `generation` tells it from every other one there ever was, whatever the server says of it."""

    content: bytes
    etag: str
    modified_at: datetime
    generation: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Habits:
    """In what servers differ without a lie."""

    page: int = 1000
    etags: Etags = "md5"
    encodes: bool = True
    knows_if_none_match: bool = True
    versions: bool = False


@dataclass
class World:
    """One bucket. `looked_at` and `deleted` hold keys with generations; `requests` counts, and `most` ends a loop."""

    seed: str
    habits: Habits = Habits()
    most: int = 1000
    objects: dict[str, list[Held]] = field(default_factory=dict)
    uploads: dict[str, tuple[str, dict[int, bytes]]] = field(default_factory=dict)
    looked_at: set[tuple[str, int]] = field(default_factory=set)
    deleted: list[tuple[str, int]] = field(default_factory=list)
    requests: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    _generation: int = 0
    _asked: dict[str, int] = field(default_factory=dict)

    def put(self, key: str, content: bytes, headers: Mapping[str, str] | None = None) -> Held:
        """Store an object, a little later than the one before it."""
        self._generation += 1
        made = {"md5": hashlib.md5(content, usedforsecurity=False).hexdigest(), "empty": "", "constant": "always"}
        at = BEGINNING + timedelta(seconds=2 * self._generation)
        held = Held(content, made[self.habits.etags], at, self._generation, dict(headers or {}))
        before = self.objects.get(key, []) if self.habits.versions else []
        self.objects[key] = [held, *before]
        return held

    def newest(self, key: str) -> Held | None:
        return next(iter(self.objects.get(key, [])), None)

    def delete(self, key: str, version: str | None) -> None:
        """Delete an object, or one version of it."""
        held = self.objects.get(key, [])
        gone = [one for one in held if version in (None, f"v{one.generation}")]
        self.deleted += [(key, one.generation) for one in gone]
        left = [one for one in held if one not in gone]
        if left:
            self.objects[key] = left
        else:
            self.objects.pop(key, None)

    def keys(self, prefix: str, after: str) -> Sequence[str]:
        return sorted(key for key in self.objects if key.startswith(prefix) and key > after)

    def chance(self, request: str) -> random.Random:
        """Draw for a request by what it asks and how often that was asked: threads may take turns as they like."""
        with self.lock:
            self.requests += 1
            nth = self._asked[request] = self._asked.get(request, 0) + 1
        return random.Random(f"{self.seed} {nth} {request}")  # noqa: S311 - a seed is to be replayed

    def with_habits(self, **habits: object) -> None:
        self.habits = replace(self.habits, **habits)  # type: ignore[arg-type]  # named by the tests

"""A server that lies on a seed's word has no wrong object deleted, hangs nobody, and is told by an error of ours.

A seed that fails is played again by `make test TESTS=tests/simulation/s3 PYTEST_ARGS='-k "seed-7]"' PROCESSES=0`.
"""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3

from exodus_common.errors import ExodusError
from exodus_storage_guard.errors import ObjectChanged
from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores.s3 import presence, ranges
from exodus_storage_guard.stores.s3.store import S3Store
from tests.simulation.s3.lies import Manners, names
from tests.simulation.s3.server import SimulatedS3, simulated_s3
from tests.simulation.s3.world import BEGINNING, Habits, World

SEEDS = range(300)
KEYS = [
    "a\r.apk", "a\n.apk", "a\r\n.apk", "\u0001.apk", "\uffff.apk", "\x1b.apk", "\ufffd.apk", "\x85.apk",
    "a.apk",
    "b+ c.apk", " b.apk", "b .apk", "&#13;.apk", "&lt;.apk", "]]>.apk", "é.apk", "e\u0301.apk", "\U0001f600.apk",
    "d/e.apk", "d-e.apk", "%0A.apk", "z\t.apk", "z.apk", "zz\u2028.apk",
]  # fmt: skip


@pytest.fixture(scope="module")
def simulated() -> Iterator[SimulatedS3]:
    with simulated_s3() as server:
        yield server


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry at once: how long a client waits for a server is no part of what they say to each other."""
    monkeypatch.setattr(urllib3.Retry, "sleep", lambda *_: None)


@dataclass
class Play:
    """One seed's server, what a client asks of it, and what came of it."""

    server: SimulatedS3
    seed: int
    chance: random.Random = field(init=False)
    world: World = field(init=False)
    manners: Manners = field(init=False)
    store: S3Store = field(init=False)
    outcomes: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = chance = random.Random(self.seed)  # noqa: S311 - a seed is to be replayed
        self.manners = chance.choice(
            [Manners(), Manners(0.05), Manners(0.3), *[Manners(1, chance.choice(names())) for _ in range(3)]]
        )
        habits = Habits(
            page=chance.choice([1, 3, 1000]),
            etags=chance.choice(["md5", "md5", "empty", "constant"]),
            encodes=chance.random() < 0.7,
            knows_if_none_match=chance.random() < 0.7,
            versions=chance.random() < 0.2,
        )
        self.world = World(str(self.seed), habits)
        region = chance.choice(["us-east-1", None])
        self.store = S3Store(
            self.server.door(self.world, self.manners, region=region), prefix := chance.choice(["", "p/"])
        )
        keys = chance.choice([KEYS, KEYS[:3] + KEYS[6:]])  # of those that no XML has, one spoils a whole batch
        for key in chance.sample(keys, chance.randrange(1, len(keys))):
            self.world.put(prefix + key, key.encode())
        self.world.put("other.apk", b"of nobody here")
        self.prefix = prefix

    def outcome(self, what: Callable[[], object]) -> object:
        """Give a value or one of our errors; whatever else is raised fails the test."""
        try:
            found = what()
        except ExodusError as error:
            found = error
        self.outcomes.append(found)
        return found

    def known(self) -> list[StoredObject]:
        """Know the objects as a catalogue does: from a listing, or else from one that was made in better times."""
        found = self.outcome(lambda: list(self.store.listing()))
        if isinstance(found, list):
            return found
        return [
            StoredObject(key.removeprefix(self.prefix), len(one.content), one.etag, one.modified_at)
            for key, (one, *_) in self.world.objects.items()
            if key.startswith(self.prefix)
        ]

    def others(self) -> None:
        """Replace some objects by others of the same size, and add and delete some."""
        for key in self.chance.sample(KEYS, 6):
            if self.chance.random() < 0.5:
                self.world.put(self.prefix + key, key.encode()[::-1])
            else:
                self.world.objects.pop(self.prefix + key, None)


def _generations(play: Play) -> set[tuple[str, int]]:
    return {(key, one.generation) for key, held in play.world.objects.items() for one in held[:1]}


def _read(store: S3Store, key: str) -> bytes:
    with store.open(key) as (_, chunks):
        return b"".join(chunks)


def _use(play: Play) -> set[tuple[str, int]]:
    """Do all that a client does; give the objects, as they were, that were asked to be deleted."""
    chance, store, world = play.chance, play.store, play.world
    known, seen = play.known(), _generations(play)
    play.others()
    batch = chance.sample(known, chance.randrange(len(known) + 1))
    asked = {(key, generation) for key, generation in seen if key in {play.prefix + one.key for one in batch}}
    failed = play.outcome(lambda: store.delete_all(batch))
    _honest(play, batch, seen, failed)
    key = chance.choice(KEYS)
    mine = StoredObject("new.apk", 7, "", datetime.now(UTC))
    put = play.outcome(lambda: store.put(mine, [b"content"]))
    if not isinstance(put, ExodusError):
        held = world.newest(play.prefix + "new.apk")
        assert held is not None, "it was said to be stored"
        assert len(held.content) == 7
    many = [f"{number}.apk" for number in range(64)] if chance.random() < 0.1 else []  # so many are looked up in a page
    play.outcome(lambda: store.present([*KEYS[::4], *many]))
    play.outcome(lambda: _read(store, key))
    play.outcome(lambda: store.sha256(key))
    play.outcome(lambda: store.read_small(key))
    play.outcome(lambda: store.write_small("small.json", b"{}"))
    for number in range(chance.randrange(4)):
        parts = dict.fromkeys(range(1, chance.randrange(1, 5)), b"x")
        world.uploads[f"old-{number}"] = f"{play.prefix}{number}.apk", parts
    play.outcome(lambda: store.unfinished(BEGINNING + timedelta(days=1)))
    play.outcome(lambda: store.discard_unfinished(BEGINNING + timedelta(days=1)))
    seen = _generations(play)
    moved = play.outcome(lambda: store.stat(key))
    play.outcome(lambda: store.move(key, "moved.apk"))
    asked |= {one for one in seen if one[0] == play.prefix + key and not isinstance(moved, ExodusError)}
    one = play.outcome(lambda: store.stat("z.apk"))
    seen = _generations(play)
    if isinstance(one, StoredObject):
        play.outcome(lambda: store.delete(one))
        asked |= {each for each in seen if each[0] == play.prefix + "z.apk"}
    return asked


def _honest(play: Play, batch: list[StoredObject], seen: set[tuple[str, int]], failed: object) -> None:
    """An honest server is not suspected: what is as it was goes, and only what was changed stays."""
    habits = play.world.habits
    if play.manners.chance or habits.etags != "md5" or habits.versions or not habits.encodes:
        return
    assert not isinstance(failed, ExodusError), failed
    assert isinstance(failed, dict)
    for one in batch:
        name = play.prefix + one.key
        held = play.world.newest(name)
        assert held is None or (name, held.generation) not in seen, f"{one.key!r} is as it was, and is there yet"
        assert (held is not None) == (one.key in failed), one.key
        assert one.key not in failed or isinstance(failed[one.key], ObjectChanged)


@pytest.mark.parametrize("seed", [pytest.param(seed, id=f"seed-{seed}") for seed in SEEDS])
def test_a_server_that_lies_has_nothing_deleted_but_what_was_looked_at_and_asked_for(
    seed: int, simulated: SimulatedS3
) -> None:
    play = Play(simulated, seed)
    asked = _use(play)

    assert play.world.requests <= play.world.most, "a client that asks for ever"
    assert set(play.world.deleted) <= asked, "it was not asked for"
    assert set(play.world.deleted) <= play.world.looked_at, "nobody looked at it"


class InTurn(Executor):
    """Do at once what is submitted: threads would take turns as the machine likes."""

    def __init__(self, workers: int) -> None:
        pass

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = Future[Any]()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:  # whoever asks for the result gets it
            future.set_exception(error)
        return future


def test_a_seed_is_played_again_exactly(simulated: SimulatedS3, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (ranges, presence):
        monkeypatch.setattr(module, "ThreadPoolExecutor", InTurn)
    monkeypatch.setattr(ranges, "wait", lambda futures, return_when: ({next(iter(futures))}, set()))

    def played(seed: int) -> tuple[object, ...]:
        play = Play(simulated, seed)
        _use(play)
        return play.world.objects, play.world.deleted, [isinstance(one, ExodusError) for one in play.outcomes]

    for seed in range(3, 30, 3):
        assert played(seed) == played(seed)

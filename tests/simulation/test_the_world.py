"""The simulated world itself: it plays the same every time, sees what is wrong, and makes it short."""

from collections.abc import Callable, Sequence
from unittest import mock

import pytest

from exodus_storage_guard.policy import Fit
from exodus_storage_guard.stores.contract import Store
from tests.simulation import play
from tests.simulation.choices import Choices, shrunk
from tests.simulation.machine import Process
from tests.simulation.place import Place
from tests.simulation.world import World


def test_a_seed_plays_the_same_world_every_time() -> None:
    first, second = play.of_seed(3), play.of_seed(3)

    assert (first.choices, first.log) == (second.choices, second.log)
    assert play.played(Choices(first.choices)).log == first.log


def test_other_seeds_play_other_worlds() -> None:
    assert len({tuple(play.of_seed(seed).log) for seed in range(20)}) == 20


def test_without_choices_nothing_is_wrong() -> None:
    assert play.played(Choices()).wrong == ""


@pytest.fixture
def world() -> World:
    found = World(Choices())
    found.store["a"] = found.thing(b"one", found.clock.true)
    found.accept("a", found.store["a"])
    return found


def told_of(world: World, story: Callable[[Store, Store], object]) -> str:
    """Have the guard do something; give what the world finds wrong with it."""

    def whole(process: Process) -> str:
        process.is_calm = True
        story(Place(process, "store"), Place(process, "archive"))
        return ""

    process = Process(world, "machine0 boot 1 0", "guard", whole)
    process.thread.switch()
    return process.wrong


def release(store: Store, archive: Store) -> None:
    found = store.stat("a")
    assert found is not None
    store.delete(found)


def copy(store: Store, archive: Store) -> None:
    with store.open("a") as (found, chunks):
        archive.put(found, chunks)


def test_what_is_deleted_without_a_good_copy_is_found(world: World) -> None:
    assert "no good copy" in told_of(world, release)


def test_what_is_deleted_and_has_a_good_copy_is_right(world: World) -> None:
    assert told_of(world, copy) == ""
    assert told_of(world, release) == ""


def test_a_copy_that_others_spoiled_before_it_was_looked_at_is_none(world: World) -> None:
    told_of(world, copy)
    world.ticks += 1
    world.spoil("a", world.archive["a"])
    world.archive["a"] = world.thing(b"two", world.clock.true)

    def late(store: Store, archive: Store) -> None:
        archive.stat("a")
        release(store, archive)

    assert "no good copy" in told_of(world, late)


def test_a_copy_that_others_spoil_after_it_was_looked_at_is_their_doing(world: World) -> None:
    told_of(world, copy)

    def late(store: Store, archive: Store) -> None:
        archive.stat("a")
        world.spoil("a", world.archive.pop("a"))
        release(store, archive)

    assert told_of(world, late) == ""
    assert world.lost() == []


def test_a_copy_that_is_removed_by_the_guard_while_it_is_the_last_one_is_found(world: World) -> None:
    told_of(world, copy)
    told_of(world, release)

    assert "nowhere any more" in told_of(world, lambda store, archive: archive.move("a", ".exodus-quarantine/a"))


def test_what_somebody_else_deletes_is_not_held_against_the_guard(world: World) -> None:
    world.take_from_store("a")
    world.somebody_did("delete")

    assert told_of(world, copy) == ""


def test_an_admission_that_looks_at_nothing_is_found_out() -> None:
    with mock.patch("exodus_storage_guard.policy.fit", return_value=Fit(0, False, "there is room")):
        found = [play.of_seed(seed).wrong for seed in range(150)]

    assert any("are admitted beside" in wrong for wrong in found)


@pytest.mark.parametrize("wanted", [[5], [3, 5], [5, 5, 5]])
def test_what_fails_is_made_as_short_as_it_can_be(wanted: list[int]) -> None:
    script = [1, 4, 3, 2, 5, 0, 5, 4, 5, 1, 1, 2]

    def fails(candidate: Sequence[int]) -> bool:
        left = iter(candidate)
        return all(one in left for one in wanted)

    assert shrunk(script, fails) == wanted

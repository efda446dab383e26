"""Killed at any point, and run again: nothing is lost, nothing half-deleted, and the end is the same.

The points are enumerated from the table of transitions, before and after each, and from what a store does outside: a
new transition or effect is tested by itself.
"""

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from exodus_storage_guard.transitions import TRANSITIONS, Event
from tests.parts.clocks import Jumped
from tests.parts.command import ROOT
from tests.parts.guard import MIB, Guarded, apk_key, sha256_of, swept

# Runs one story with doors that kill it.
DRIVER = ROOT / "tests/storage/dying.py"
SWEEP_EVENTS = (Event.COPY_BEGUN, Event.COPY_PROVEN, Event.RELEASE_BEGUN, Event.RELEASED)
RECALL_EVENTS = (Event.RECALL_BEGUN, Event.RECALLED)
PRUNE_EVENTS = (Event.PRUNE_BEGUN, Event.PRUNED)
FORGET_EVENTS = (Event.FORGOTTEN,)
# These happen in answer to something that went wrong, and are the subject of test_faults.py, or write nothing outside.
OTHERS = (
    *(Event.FOUND, Event.RETURNED, Event.CHANGED, Event.VANISHED),
    *(Event.COPY_FAILED, Event.COPY_DIFFERED, Event.COPY_ABANDONED, Event.RELEASE_FAILED, Event.PRUNE_FAILED),
    *(Event.RECALL_FAILED, Event.COPY_LOST, Event.COPY_FOUND),
)
WHEN = ("before", "after")


def test_every_event_of_the_table_is_accounted_for() -> None:
    assert {*SWEEP_EVENTS, *RECALL_EVENTS, *PRUNE_EVENTS, *FORGET_EVENTS, *OTHERS} == set(TRANSITIONS)


def killed(guarded: Guarded, story: str, point: str, when: str, **environment: str) -> bool:
    """Run a story that is to be killed; tell whether it was."""
    done = subprocess.run(
        [sys.executable, DRIVER, story, point, when],
        env=guarded.environment | environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode != 0


def assert_nothing_is_lost(guarded: Guarded, before: dict[str, str]) -> None:
    """See that every object is in the store, whole, or proven in the archive, with its manifest."""
    stored = {key: sha256_of(guarded.store / key) for key in guarded.stored() if not key.startswith(".exodus-part-")}
    everywhere = guarded.archived() | stored
    assert everywhere == before


SWEEP_POINTS = [event.value for event in SWEEP_EVENTS] + [
    "archive.put",
    "archive.sha256",
    "archive.write_small",
    "store.delete",
]


@pytest.fixture
def full(guarded: Guarded) -> tuple[Guarded, dict[str, str]]:
    """Fill a store above its high mark; give what was in it."""
    guarded.write(capacity={"total_bytes": "10 MiB"}, admission={"emergency_reserve": 0}, sweep={"premigrate": "20%"})
    guarded.fill(9, size=MIB, oldest=400, newest=200)
    guarded("init")
    return guarded, {key: sha256_of(guarded.store / key) for key in guarded.stored()}


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("point", SWEEP_POINTS)
def test_a_sweep_that_is_killed_and_run_again_ends_the_same(
    point: str, when: str, full: tuple[Guarded, dict[str, str]]
) -> None:
    guarded, before = full

    assert killed(guarded, "sweep", point, when)
    assert_nothing_is_lost(guarded, before)
    again = guarded("sweep", "--json")

    assert again.exit_code == 0, again.all_output
    assert_nothing_is_lost(guarded, before)
    assert guarded.states() == {"resident": 5, "premigrated": 2, "archived": 2}
    assert set(guarded.archived()) == {apk_key(number) for number in range(4)}
    assert guarded("verify").exit_code == 0


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("point", [event.value for event in RECALL_EVENTS] + ["store.put"])
def test_a_restore_that_is_killed_and_run_again_ends_the_same(
    point: str, when: str, full: tuple[Guarded, dict[str, str]]
) -> None:
    guarded, before = full
    guarded("sweep")
    key = apk_key(0)
    key_file = guarded.folder / "key"
    key_file.write_text(key)

    assert killed(guarded, "restore", point, when, KEY_FILE=str(key_file))
    assert_nothing_is_lost(guarded, before)
    guarded("sweep")
    again = guarded("restore", key, "--json")

    assert again.exit_code == 0, again.all_output
    assert_nothing_is_lost(guarded, before)
    assert sha256_of(guarded.store / key) == before[key]
    assert guarded("unhold", key).exit_code == 0
    assert "recalling" not in guarded.states()


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("point", ["forgotten", "archive.delete"])
def test_a_forget_that_is_killed_and_run_again_ends_the_same(
    point: str, when: str, full: tuple[Guarded, dict[str, str]]
) -> None:
    guarded, before = full
    guarded("sweep")
    key = apk_key(0)
    key_file = guarded.folder / "key"
    key_file.write_text(key)

    assert killed(guarded, "forget", point, when, KEY_FILE=str(key_file))
    again = guarded("forget", key, "--yes")

    assert again.exit_code == (1 if (point, when) == ("forgotten", "after") else 0)
    assert guarded.states()["gone"] == 1
    before.pop(key)
    assert_nothing_is_lost(guarded, before)


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("point", [event.value for event in PRUNE_EVENTS] + ["store.delete"])
def test_a_prune_that_is_killed_and_run_again_ends_the_same(point: str, when: str, guarded: Guarded) -> None:
    guarded.write(
        archive=None,
        select={"action": "prune"},
        capacity={"total_bytes": "10 MiB"},
        admission={"emergency_reserve": 0},
    )
    guarded.fill(9, size=MIB, oldest=400, newest=200)
    guarded("init")
    assert killed(guarded, "sweep", point, when)
    again = guarded("sweep", "--json")

    assert again.exit_code == 0, again.all_output
    assert guarded.states() == {"resident": 7, "gone": 2}
    assert guarded.stored() == {apk_key(number) for number in range(2, 9)}


def test_leftovers_of_a_killed_copy_do_not_look_like_copies(full: tuple[Guarded, dict[str, str]]) -> None:
    guarded, before = full
    part = guarded.archive / ".exodus-part-00"
    part.write_bytes(b"half")

    guarded("sweep")
    assert part.exists(), "somebody may be writing it"
    swept(guarded.run(clock=Jumped(timedelta(days=2))))

    assert not part.exists()
    assert_nothing_is_lost(guarded, before)
    assert not list(Path(guarded.archive).glob(".exodus-part-*"))

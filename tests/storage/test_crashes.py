"""Killed at any point, and run again: nothing is lost, nothing half-deleted, and the end is the same.

The points are enumerated from the table of transitions, before and after each, and from what a store does outside: a
new transition or effect is tested by itself. So it is with folders, and with buckets of each server and archives of
each kind.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from exodus_storage_guard.stores import leftovers
from exodus_storage_guard.stores.names import is_part, read_aside
from exodus_storage_guard.tiering.archive import Archive
from exodus_storage_guard.tiering.copy_names import OURS, manifest_name
from exodus_storage_guard.tiering.sync import sync
from exodus_storage_guard.transitions import TRANSITIONS, Event
from tests.parts.bucketed import IN_FOLDERS, KINDS, Kind, platform_of
from tests.parts.clocks import Jumped
from tests.parts.command import ROOT
from tests.parts.doors import replace_methods
from tests.parts.guard import MIB, Guarded, apk_key, swept

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
    *(Event.RECALL_FAILED, Event.COPY_LOST, Event.COPY_FOUND, Event.ARCHIVE_CHANGED),
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
    stored = {read_aside(key) or key: sha256 for key, sha256 in guarded.contents().items() if not is_part(key)}
    everywhere = guarded.archived() | stored
    assert everywhere == before


def described_copies(archive: Archive) -> set[tuple[str, str]]:
    """Give the key and the SHA-256 of every copy that has a manifest: a key may have several."""
    names = {one.key for one in archive.store.listing() if not one.key.startswith(OURS)}
    manifests = {name: archive.manifest(name) for name in names if manifest_name(name) in names}
    return {(found.key, archive.sha256(name)) for name, found in manifests.items() if found is not None}


# --- where all is, and at which points it is killed there ---

SHORT = {IN_FOLDERS[0]}
# What a sweep does outside is another thing where one server has both buckets, and behind ssh.
SHORT_SWEEPS = SHORT | {Kind("minio", "same-server", "sqlite"), Kind("minio", "ssh", "postgresql")}


def deletion(kind: Kind) -> list[str]:
    return ["store.delete" if kind.store == "directory" else "store.delete_all", "store.present"]


def between(kind: Kind) -> list[str]:
    """Name the moment at which an original has no name but one of ours."""
    return ["store.set-aside"] if kind.store == "directory" else []


def sweep_points(kind: Kind) -> list[str]:
    copy = "archive.take" if kind.archive == "same-server" else "archive.put"
    return [*SWEEP_EVENTS, copy, "archive.sha256", "archive.write_small", *deletion(kind)]


def restore_points(kind: Kind) -> list[str]:
    return [*RECALL_EVENTS, "store.put"]


def forget_points(kind: Kind) -> list[str]:
    set_aside = ["archive.set-aside"] if kind.archive in ("directory", "ssh") else []
    return [*FORGET_EVENTS, "archive.delete", *set_aside]


def prune_points(kind: Kind) -> list[str]:
    return [*PRUNE_EVENTS, *deletion(kind)]


def deaths(
    points: Callable[[Kind], Sequence[str]], kinds: Sequence[Kind], short: Collection[Kind] = SHORT
) -> list[object]:
    """Name every platform with every way to be killed there; all but a few are left to the long tests.

    With servers those are the ends of steps: what a step finds when it begins is what the one before it left.
    """
    return [
        pytest.param(
            *(kind, point, when),
            marks=() if kind in SHORT or (kind in short and when == "after") else pytest.mark.full,
            id="-".join((*kind, point, when)),
        )
        for kind in kinds
        for point in points(kind)
        for when in WHEN
    ]


SPOILED = [*IN_FOLDERS, *sorted(SHORT_SWEEPS - SHORT)]
DEATH = ("platform", "point", "when")
EVERYWHERE = [*IN_FOLDERS, *KINDS]
WITHOUT_ARCHIVE = [kind for kind in EVERYWHERE if kind.archive == "directory"]


@pytest.fixture
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Guarded:
    """Give an empty store, an archive and a catalogue of a kind."""
    return platform_of(request.param, tmp_path, request.getfixturevalue)


@pytest.fixture
def full(platform: Guarded) -> tuple[Guarded, dict[str, str]]:
    """Fill a store above its high mark; give what was in it."""
    platform.write(capacity={"total_bytes": "10 MiB"}, admission={"emergency_reserve": 0}, sweep={"premigrate": "20%"})
    platform.fill(9, size=MIB, oldest=400, newest=200)
    platform("init")
    return platform, platform.contents()


# --- the stories ---


@pytest.mark.parametrize(
    DEATH, deaths(lambda kind: [*sweep_points(kind), *between(kind)], EVERYWHERE, SHORT_SWEEPS), indirect=["platform"]
)
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


@pytest.mark.parametrize(DEATH, deaths(sweep_points, SPOILED, SHORT), indirect=["platform"])
def test_a_sweep_that_is_killed_and_whose_copies_others_spoil_loses_nothing(
    point: str, when: str, full: tuple[Guarded, dict[str, str]]
) -> None:
    guarded, before = full
    assert killed(guarded, "sweep", point, when)
    archive, here = guarded.run().archive, guarded.contents()
    assert archive is not None
    copies = sorted(one.key for one in archive.store.listing() if one.key in here)
    for number, name in enumerate(copies):
        with archive.store.open(name) as (found, chunks):
            content = b"".join(chunks)
        archive.store.delete(found)
        if number % 2:
            archive.store.put(found, [bytes([content[0] ^ 1]) + content[1:]])

    guarded("sweep")

    assert described_copies(archive) | guarded.contents().items() >= before.items()


@pytest.mark.parametrize(DEATH, deaths(between, IN_FOLDERS), indirect=["platform"])
def test_an_original_that_was_set_aside_is_an_object_again_whatever_has_become_of_its_copy(
    point: str, when: str, full: tuple[Guarded, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded, before = full
    assert killed(guarded, "sweep", point, when)
    for key in guarded.archived():
        (guarded.archive / key).write_bytes(b"rotten")
    monkeypatch.setattr(leftovers, "AT_WORK", timedelta(days=-1))  # he who was killed is gone for a while

    sync(guarded.run())

    gone = 1 if when == "after" else 0
    found = guarded.contents()
    assert len(found) == len(before) - gone
    assert found.items() <= before.items()


@pytest.mark.parametrize(DEATH, deaths(restore_points, EVERYWHERE), indirect=["platform"])
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
    assert guarded.contents()[key] == before[key]
    assert guarded("unhold", key).exit_code == 0
    assert "recalling" not in guarded.states()


@pytest.mark.parametrize(DEATH, deaths(forget_points, EVERYWHERE), indirect=["platform"])
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

    assert again.exit_code == 0, again.all_output
    assert guarded.states()["gone"] == 1
    before.pop(key)
    assert_nothing_is_lost(guarded, before)


@pytest.mark.parametrize(DEATH, deaths(prune_points, WITHOUT_ARCHIVE), indirect=["platform"])
def test_a_prune_that_is_killed_and_run_again_ends_the_same(point: str, when: str, platform: Guarded) -> None:
    guarded = platform.write(
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


@pytest.mark.parametrize(
    "platform",
    [pytest.param(kind, marks=() if kind in SHORT else pytest.mark.full, id="-".join(kind)) for kind in IN_FOLDERS],
    indirect=True,
)
def test_leftovers_of_a_killed_copy_do_not_look_like_copies(full: tuple[Guarded, dict[str, str]]) -> None:
    guarded, before = full
    part = guarded.archive / ".exodus-part-0123456789abcdef"
    part.write_bytes(b"half")

    guarded("sweep")
    assert part.exists(), "somebody may be writing it"
    swept(guarded.run(clock=Jumped(timedelta(days=2))))
    assert part.exists(), "only this machine says that it is old"
    later = guarded.run(clock=Jumped(timedelta(days=2)))
    assert later.archive is not None
    replace_methods(later.archive.store, now=lambda self: later.clock.now())
    swept(later)

    assert not part.exists()
    assert_nothing_is_lost(guarded, before)
    assert not list(Path(guarded.archive).glob(".exodus-part-*"))

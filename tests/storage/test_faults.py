"""Archives, disks and clocks that fail: the source stays, and somebody is told what, where, and what next."""

import hashlib
import subprocess
import threading
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from exodus_storage_guard.archive import Archive
from exodus_storage_guard.errors import NotInitialised, StoreFailed
from exodus_storage_guard.model import StoredObject, Verdict
from exodus_storage_guard.run import Run
from exodus_storage_guard.stores.contract import Moved, nobody
from exodus_storage_guard.stores.directory import DirectoryStore
from exodus_storage_guard.sync import sync
from tests.parts.clocks import Jumped
from tests.parts.guard import MIB, Guarded, on_sqlite, sha256_of, swept
from tests.parts.mounts import Namespace, mounted


@pytest.fixture
def full(guarded: Guarded) -> tuple[Guarded, dict[str, str]]:
    """Fill a store above its high mark; give what was in it."""
    guarded.write(capacity={"total_bytes": "10 MiB"}, admission={"emergency_reserve": 0})
    guarded.fill(9, oldest=400, newest=200)
    guarded("init")
    return guarded, {key: sha256_of(guarded.store / key) for key in guarded.stored()}


def with_archive(guarded: Guarded, kind: type[DirectoryStore]) -> Run:
    return guarded.run(archive=Archive(kind(guarded.archive)))


class Flips(DirectoryStore):
    """An archive in which a byte turns over."""

    def put(self, wanted: StoredObject, chunks: Iterable[bytes]) -> StoredObject:
        stored = super().put(wanted, chunks)
        with (self._folder / wanted.key).open("r+b") as file:
            first = file.read(1)
            file.seek(0)
            file.write(bytes([first[0] ^ 1]))
        return stored


class Truncates(DirectoryStore):
    """An archive that loses the end."""

    def put(self, wanted: StoredObject, chunks: Iterable[bytes]) -> StoredObject:
        stored = super().put(wanted, chunks)
        with (self._folder / wanted.key).open("r+b") as file:
            file.truncate(stored.bytes // 2)
        return stored


class Hangs(DirectoryStore):
    """An archive that takes some bytes and then never any more."""

    def put(self, wanted: StoredObject, chunks: Iterable[bytes]) -> StoredObject:
        next(iter(chunks))
        threading.Event().wait()
        raise AssertionError("nothing wakes it")


@pytest.mark.parametrize("kind", [Flips, Truncates])
def test_a_copy_that_differs_is_put_aside_and_the_object_stays(
    kind: type[DirectoryStore], full: tuple[Guarded, dict[str, str]]
) -> None:
    guarded, before = full

    report = swept(with_archive(guarded, kind))
    healthy = guarded("sweep", "--json")

    assert report.verdict is Verdict.CRITICAL
    assert report.freed_bytes == 0
    assert "put aside, and the object stays where it is" in report.reason
    assert {key: sha256_of(guarded.store / key) for key in guarded.stored()} | guarded.archived() == before
    assert guarded.states()["quarantined"] >= 1
    assert guarded("status", "--json").json["verdict"] == "critical"
    aside = [path for path in guarded.archive.rglob("*.apk") if ".exodus-quarantine" in str(path)]
    assert len(aside) == guarded.states()["quarantined"]
    assert healthy.json["freed_bytes"] == 2 * MIB  # of others: what is put aside is tried again tomorrow


def test_an_archive_that_hangs_is_given_up_and_the_next_run_goes_on(full: tuple[Guarded, dict[str, str]]) -> None:
    guarded, before = full
    guarded.write(
        capacity={"total_bytes": "10 MiB"},
        admission={"emergency_reserve": 0},
        sweep={"request_timeout_seconds": 0.5},
    )

    with pytest.raises(StoreFailed, match=r"nothing has moved for 0.5 s"):
        swept(with_archive(guarded, Hangs))

    assert {key: sha256_of(guarded.store / key) for key in guarded.stored()} == before


class Slow(DirectoryStore):
    """An archive that is read back more slowly than it may be silent, and never is."""

    def sha256(self, key: str, moved: Moved = nobody) -> str:
        for _ in range(4):
            threading.Event().wait(0.2)
            moved(1)
        return super().sha256(key, moved)


def test_an_archive_that_is_read_back_slowly_is_not_taken_for_dead(full: tuple[Guarded, dict[str, str]]) -> None:
    guarded, _ = full
    guarded.write(
        capacity={"total_bytes": "10 MiB"},
        admission={"emergency_reserve": 0},
        sweep={"request_timeout_seconds": 0.5},
    )

    assert swept(with_archive(guarded, Slow)).freed_bytes == 2 * MIB


def test_an_object_that_others_change_while_it_is_copied_stays_as_they_left_it(
    full: tuple[Guarded, dict[str, str]],
) -> None:
    guarded, before = full
    oldest = min(before, key=lambda key: (guarded.store / key).stat().st_mtime)

    class Disturbed(DirectoryStore):
        def sha256(self, key: str, moved: Moved = nobody) -> str:
            if key == oldest:
                (guarded.store / key).write_bytes(b"changed")
            return super().sha256(key, moved)

    report = swept(with_archive(guarded, Disturbed))

    assert (guarded.store / oldest).read_bytes() == b"changed"
    assert oldest not in {one.key for one in report.objects if one.verdict is Verdict.OK}  # type: ignore[union-attr]
    assert report.freed_bytes == 2 * MIB
    assert guarded.archived().get(oldest) == before[oldest], "what was proven is what it was before"


def test_an_object_that_others_change_after_it_was_proven_is_not_deleted(full: tuple[Guarded, dict[str, str]]) -> None:
    guarded, before = full
    oldest = min(before, key=lambda key: (guarded.store / key).stat().st_mtime)

    class Late(DirectoryStore):
        def delete(self, stored: StoredObject) -> bool:
            if stored.key == oldest:
                (guarded.store / oldest).write_bytes(b"changed")
            return super().delete(stored)

    swept(guarded.run(store=Late(guarded.store)))

    assert (guarded.store / oldest).read_bytes() == b"changed"
    assert guarded.archived()[oldest] == before[oldest]


def test_an_archive_whose_disk_is_not_mounted_is_never_written_to(full: tuple[Guarded, dict[str, str]]) -> None:
    guarded, before = full
    guarded.archive.rename(guarded.folder / "unmounted")
    gone = guarded("sweep", "--json")
    guarded.archive.mkdir()
    empty = guarded("sweep", "--json")

    assert (gone.exit_code, empty.exit_code) == (1, 1)
    assert "is its disk mounted?" in gone.stderr
    assert "has no mark of ours: is its disk mounted?" in empty.stderr
    assert list(guarded.archive.iterdir()) == []
    assert guarded.stored() == set(before)


def test_another_archives_mark_is_not_taken_for_ours(full: tuple[Guarded, dict[str, str]]) -> None:
    guarded, _ = full
    Archive(DirectoryStore(guarded.archive)).check_mark(guarded.run().settled("archive"))
    mark = guarded.archive / ".exodus-storage-guard.json"
    mark.write_text('{"archive": "another"}')

    with pytest.raises(NotInitialised, match="another mark"):
        swept(guarded.run())


def test_a_store_whose_disk_is_not_mounted_is_not_taken_for_an_empty_one(full: tuple[Guarded, dict[str, str]]) -> None:
    guarded, before = full
    guarded.store.rename(guarded.folder / "unmounted")
    guarded.store.mkdir()

    synced = guarded("sync")
    swept_ = guarded("sweep")

    assert (synced.exit_code, swept_.exit_code) == (1, 1)
    assert "lists nothing, and held objects before: is its disk mounted?" in synced.stderr
    assert guarded.states() == {"resident": len(before)}
    assert guarded("sync", "--emptied").exit_code == 0
    assert guarded.states() == {"gone": len(before)}


@pytest.mark.parametrize("years", [-30, -1])
def test_a_clock_that_jumped_back_makes_everything_young(years: int, full: tuple[Guarded, dict[str, str]]) -> None:
    guarded, before = full

    report = swept(guarded.run(clock=Jumped(timedelta(days=365 * years))))

    assert report.freed_bytes == 0
    assert "younger than the minimum age" in report.reason
    assert guarded.stored() == set(before)


def test_a_clock_that_jumped_ahead_archives_early_and_loses_nothing(full: tuple[Guarded, dict[str, str]]) -> None:
    guarded, before = full

    report = swept(guarded.run(clock=Jumped(timedelta(days=365 * 30))))

    assert report.freed_bytes == 2 * MIB
    assert {key: sha256_of(guarded.store / key) for key in guarded.stored()} | guarded.archived() == before


def test_two_sweeps_at_once_never_do_the_same_object_twice(guarded: Guarded) -> None:
    guarded.write(capacity={"total_bytes": "60 MiB"}, admission={"emergency_reserve": 0})
    keys = guarded.fill(58, oldest=400, newest=200)
    before = {key: sha256_of(guarded.store / key) for key in keys}
    guarded("init")

    both = [guarded.start("sweep", "--json") for _ in range(3)]
    for one in both:
        one.communicate(timeout=60)
    guarded("sweep")

    events = [(one["key"], one["event"]) for one in guarded("history", "--json").json]
    archived = [key for key, event in events if event == "archived"]
    assert len(archived) == len(set(archived))
    assert {key: sha256_of(guarded.store / key) for key in guarded.stored()} | guarded.archived() == before
    assert set(archived) == set(keys[: len(archived)])
    assert guarded.states() == {"resident": 45, "archived": 13}


# --- disks that are really full, or read-only ---


def inside(guarded: Guarded, namespace: Namespace, *arguments: str) -> tuple[int, str]:
    argv = namespace.argv(guarded.argv(*arguments))
    done = subprocess.run(argv, env=guarded.environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_an_archive_that_really_fills_up_stops_the_sweep_and_the_sources_stay(guarded: Guarded) -> None:
    guarded.write(capacity={"total_bytes": "10 MiB"}, admission={"emergency_reserve": 0})
    guarded.fill(9, oldest=400, newest=200)
    before = {key: sha256_of(guarded.store / key) for key in guarded.stored()}
    with mounted(f"mount -t tmpfs -o size=1500k tmpfs {guarded.archive}") as namespace:
        inside(guarded, namespace, "init")
        _, planned = inside(guarded, namespace, "plan")
        exit_code, said = inside(guarded, namespace, "sweep")

        left = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in namespace.path(guarded.archive).glob("*.apk")
        }
        assert not list(namespace.path(guarded.archive).glob(".exodus-part*"))
    assert "the archive has" in planned
    assert exit_code == 1
    assert "the archive is full" in said
    stored = {key: sha256_of(guarded.store / key) for key in guarded.stored()}
    assert len(stored) >= 8
    assert stored | left == before


def test_an_archive_that_is_read_only_is_named_and_the_sources_stay(full: tuple[Guarded, dict[str, str]]) -> None:
    guarded, before = full
    with mounted(
        f"mount --bind {guarded.archive} {guarded.archive}; mount -o remount,ro,bind {guarded.archive}"
    ) as own:
        exit_code, said = inside(guarded, own, "sweep")

    assert exit_code == 1
    assert "Read-only file system" in said
    assert guarded.stored() == set(before)


@on_sqlite
def test_a_state_that_is_read_only_is_named_and_nothing_is_moved(full: tuple[Guarded, dict[str, str]]) -> None:
    guarded, before = full
    state = guarded.state.parent
    with mounted(f"mount --bind {state} {state}; mount -o remount,ro,bind {state}") as own:
        admitted, why = inside(guarded, own, "admit", "--bytes", "1")
        swept_, said = inside(guarded, own, "sweep")

    assert (admitted, swept_) == (1, 1)
    assert "the catalogue" in why
    assert "the catalogue" in said
    assert guarded.stored() == set(before)


@on_sqlite
def test_a_state_on_a_full_disk_gives_up_its_ballast_and_goes_on(full: tuple[Guarded, dict[str, str]]) -> None:
    guarded, before = full
    state = guarded.state.parent
    script = f"cp -a {state} {state}.kept; mount -t tmpfs -o size=12m tmpfs {state}; cp -a {state}.kept/. {state}/"
    with mounted(script) as own:
        own.sh(f"dd if=/dev/zero of={state}/filler bs=4k 2>/dev/null || true")
        admitted, why = inside(guarded, own, "sweep")
        ballast = own.path(state / "state.db.ballast").exists()

    assert admitted == 0, why
    assert not ballast
    assert {key: sha256_of(guarded.store / key) for key in guarded.stored()} | guarded.archived() == before
    assert len(guarded.stored()) == 7


def test_a_sync_of_a_store_of_odd_files_takes_only_what_is_one(guarded: Guarded, tmp_path: Path) -> None:
    guarded.put("plain_file.txt", size=1)
    (guarded.store / "link.apk").symlink_to("/etc/passwd")
    (guarded.store / "folder.apk").mkdir()
    run = guarded.run()
    guarded("init")

    assert sync(run).listed.count == 1

"""Archives, disks and clocks that fail: the source stays, and somebody is told what, where, and what next.

What is not about a disk happens to folders, and to buckets of each server with archives of each kind.
"""

import gc
import hashlib
import io
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from exodus_common.errors import ExodusError
from exodus_storage_guard.errors import ListingIncomplete, NotInitialised, StoreFailed
from exodus_storage_guard.model import ObjectState, StoredObject, Verdict
from exodus_storage_guard.stores.contract import Moved, Store, nobody
from exodus_storage_guard.stores.directory.store import DirectoryStore
from exodus_storage_guard.tiering.archive import MARK, Archive
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.tiering.sync import sync
from tests.parts.bucketed import IN_FOLDERS, KINDS, Bucketed, Kind, platform_of
from tests.parts.clocks import Jumped
from tests.parts.doors import replace_methods
from tests.parts.guard import MIB, Guarded, apk_key, sha256_of, swept
from tests.parts.marks import on_sqlite
from tests.parts.mounts import Namespace, mounted

# How a copy is made is another thing where one server has both buckets, and behind ssh.
SHORT = {IN_FOLDERS[0], Kind("minio", "same-server", "sqlite"), Kind("minio", "ssh", "postgresql")}
# Of an archive that says nothing; a real server on a busy machine takes a moment longer to answer than a folder.
PATIENCE_SECONDS = 2
OLDEST = apk_key(0)


@pytest.fixture(
    params=[
        pytest.param(kind, marks=() if kind in SHORT else pytest.mark.full, id="-".join(kind))
        for kind in (*IN_FOLDERS, *KINDS)
    ]
)
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guarded]:
    """Give an empty store, an archive and a catalogue of each kind."""
    yield platform_of(request.param, tmp_path, request.getfixturevalue)
    gc.collect()  # a connection that a traceback kept open ends here, and not in the midst of another test


@pytest.fixture
def full(guarded: Guarded) -> tuple[Guarded, dict[str, str]]:
    """Fill a folder above its high mark; give what was in it."""
    return filled(guarded)


@pytest.fixture
def full_platform(platform: Guarded) -> tuple[Guarded, dict[str, str]]:
    """Fill a store of each kind above its high mark; give what was in it."""
    return filled(platform)


def filled(guarded: Guarded) -> tuple[Guarded, dict[str, str]]:
    small(guarded)
    guarded.fill(9, oldest=400, newest=200)
    guarded("init")
    return guarded, guarded.contents()


def small(guarded: Guarded, **tables: dict[str, Any]) -> None:
    guarded.write(capacity={"total_bytes": "10 MiB"}, admission={"emergency_reserve": 0}, **tables)


def archive_of(run: Run) -> Store:
    assert run.archive is not None
    return run.archive.store


def names_in_archive(run: Run) -> set[str]:
    return {stored.key for stored in archive_of(run).listing()}


# --- archives and stores that fail in some way, whatever kind they are of ---

Spoiling = Callable[[bytes], bytes]


def with_a_byte_turned_over(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def without_the_end(content: bytes) -> bytes:
    return content[: len(content) // 2]


def spoil(store: Store, spoiled: Spoiling) -> None:
    """Have a store keep other bytes than it was sent, or was asked to copy, and say that all went well."""
    usual = type(store)

    def keep_other_bytes(self: Store, key: str) -> None:
        with usual.open(self, key) as (stored, chunks):
            content = spoiled(b"".join(chunks))
        assert usual.delete(self, stored)
        usual.put(self, replace(stored, bytes=len(content)), [content])

    def put(self: Store, wanted: StoredObject, chunks: Iterable[bytes]) -> StoredObject:
        stored = usual.put(self, wanted, chunks)
        keep_other_bytes(self, wanted.key)
        return stored

    def take(self: Store, source: Store, stored: StoredObject, new_key: str) -> StoredObject | None:
        taken = usual.take(self, source, stored, new_key)
        if taken is not None and source is not self:  # a bucket puts a copy aside by taking it from itself
            keep_other_bytes(self, new_key)
        return taken

    replace_methods(store, put=put, take=take)


def hang(store: Store, woken: threading.Event) -> None:
    """Have a store take some bytes, or make a copy, and never say any more."""
    usual = type(store)

    def put(self: Store, wanted: StoredObject, chunks: Iterable[bytes]) -> StoredObject:
        next(iter(chunks))
        woken.wait()
        raise StoreFailed("the test is over")

    def take(self: Store, source: Store, stored: StoredObject, new_key: str) -> None:
        if usual.take(self, source, stored, new_key) is not None:
            woken.wait()
            raise StoreFailed("the test is over")

    replace_methods(store, put=put, take=take)


def read_slowly(store: Store) -> None:
    """Have a store be read back more slowly than it may be silent, and never be."""
    usual = type(store)

    def sha256(self: Store, key: str, moved: Moved = nobody) -> str:
        for _ in range(6):
            threading.Event().wait(PATIENCE_SECONDS / 4)
            moved(1)
        return usual.sha256(self, key, moved)

    replace_methods(store, sha256=sha256)


def before_it_deletes(store: Store, do: Callable[[Sequence[StoredObject]], Sequence[StoredObject]]) -> None:
    """Have something happen before a store deletes a batch, which is then what that gives."""
    usual = type(store)

    def delete_all(self: Store, batch: Sequence[StoredObject]) -> Mapping[str, ExodusError]:
        return usual.delete_all(self, do(batch))

    replace_methods(store, delete_all=delete_all)


CHANGED = b"changed"


def change_behind_its_back(guarded: Guarded, key: str) -> None:
    """Change an object as others do, of whom the platform's records know nothing."""
    if isinstance(guarded, Bucketed):
        guarded.server.client.put_object(guarded.bucket, key, io.BytesIO(CHANGED), len(CHANGED))
    else:
        (guarded.store / key).write_bytes(CHANGED)


# --- the faults ---


@pytest.mark.parametrize("spoiled", [with_a_byte_turned_over, without_the_end])
def test_a_copy_that_differs_is_put_aside_and_the_object_stays(
    spoiled: Spoiling, full_platform: tuple[Guarded, dict[str, str]]
) -> None:
    guarded, before = full_platform
    run = guarded.run()
    spoil(archive_of(run), spoiled)

    report = swept(run)
    healthy = guarded("sweep", "--json")

    assert report.verdict is Verdict.CRITICAL
    assert report.freed_bytes == 0
    assert "put aside, and the object stays where it is" in report.reason
    assert guarded.contents() | guarded.archived() == before
    assert guarded.states()["quarantined"] >= 1
    assert guarded("status", "--json").json["verdict"] == "critical"
    aside = [name for name in names_in_archive(run) if ".exodus-quarantine" in name and name.endswith(".apk")]
    assert len(aside) == guarded.states()["quarantined"]
    assert healthy.json["freed_bytes"] == 2 * MIB  # of others: what is put aside is tried again tomorrow


def test_an_archive_that_hangs_is_given_up_and_the_next_run_goes_on(
    full_platform: tuple[Guarded, dict[str, str]],
) -> None:
    guarded, before = full_platform
    small(guarded, sweep={"request_timeout_seconds": PATIENCE_SECONDS})
    run, woken = guarded.run(), threading.Event()
    # A process with this one's number that began when no other did: it is gone once the sweep has given up.
    ended = replace(run, owner=f"{run.owner.rpartition(' ')[0]} 0")
    hang(archive_of(ended), woken)

    with pytest.raises(StoreFailed, match=rf"nothing has moved for {PATIENCE_SECONDS} s"):
        swept(ended)

    assert guarded.contents() == before
    assert guarded("sweep", "--json").json["freed_bytes"] == 2 * MIB
    assert guarded.contents() | guarded.archived() == before
    woken.set()


def test_an_archive_that_is_read_back_slowly_is_not_taken_for_dead(
    full_platform: tuple[Guarded, dict[str, str]],
) -> None:
    guarded, _ = full_platform
    small(guarded, sweep={"request_timeout_seconds": PATIENCE_SECONDS})
    run = guarded.run()
    read_slowly(archive_of(run))

    assert swept(run).freed_bytes == 2 * MIB


def test_an_object_that_others_change_while_it_is_copied_stays_as_they_left_it(
    full_platform: tuple[Guarded, dict[str, str]],
) -> None:
    guarded, before = full_platform
    run = guarded.run()
    usual = type(archive_of(run))

    def sha256(self: Store, key: str, moved: Moved = nobody) -> str:
        if key == OLDEST:
            change_behind_its_back(guarded, key)
        return usual.sha256(self, key, moved)

    replace_methods(archive_of(run), sha256=sha256)
    report = swept(run)

    assert guarded.contents()[OLDEST] == hashlib.sha256(CHANGED).hexdigest()
    assert OLDEST not in {one.key for one in report.objects if one.verdict is Verdict.OK}  # type: ignore[union-attr]
    assert report.freed_bytes == 2 * MIB
    assert guarded.archived().get(OLDEST) == before[OLDEST], "what was proven is what it was before"


def test_an_object_that_others_change_after_it_was_proven_is_not_deleted(
    full_platform: tuple[Guarded, dict[str, str]],
) -> None:
    guarded, before = full_platform
    run = guarded.run()

    def changed(batch: Sequence[StoredObject]) -> Sequence[StoredObject]:
        if OLDEST in {stored.key for stored in batch}:
            change_behind_its_back(guarded, OLDEST)
        return batch

    before_it_deletes(run.store, changed)
    swept(run)

    assert guarded.contents()[OLDEST] == hashlib.sha256(CHANGED).hexdigest()
    assert guarded.archived()[OLDEST] == before[OLDEST]


def test_an_object_that_is_still_there_after_its_deletion_is_not_released(
    full_platform: tuple[Guarded, dict[str, str]],
) -> None:
    guarded, before = full_platform
    run = guarded.run()
    before_it_deletes(run.store, lambda batch: [stored for stored in batch if stored.key != OLDEST])
    report = swept(run)

    assert report.verdict is Verdict.WARNING
    assert report.reason.endswith(f"{OLDEST} was deleted and is still there: is its bucket versioned?")
    assert guarded.contents()[OLDEST] == before[OLDEST]
    entry = run.catalogue.get(OLDEST)
    assert entry is not None
    assert entry.state is ObjectState.PREMIGRATED


def test_what_cannot_be_seen_to_be_gone_is_looked_for_by_the_next_run(
    full_platform: tuple[Guarded, dict[str, str]],
) -> None:
    guarded, before = full_platform
    run = guarded.run()
    run = replace(run, owner=f"{run.owner.rpartition(' ')[0]} 0")  # this process goes on; the run is to have ended

    usual = type(run.store).present

    def present(self: Store, keys: Sequence[str], moved: Moved = nobody) -> Collection[str]:
        found = usual(self, keys, moved)
        if len(found) < len(keys):
            raise StoreFailed("nobody answers")
        return found

    replace_methods(run.store, present=present)
    with pytest.raises(StoreFailed, match="nobody answers"):
        swept(run)

    assert not run.catalogue.totals().get(ObjectState.ARCHIVED)
    left = guarded.contents()
    assert len(left) == 7, "what was not seen to be gone is not answered by deleting more"
    assert left | guarded.archived() == before
    again = guarded("sweep", "--json")
    assert (again.exit_code, again.json["objects"]) == (0, [])
    assert guarded.contents() == left
    assert run.catalogue.totals()[ObjectState.ARCHIVED].count == 2


def test_an_archive_without_our_mark_is_never_written_to(full_platform: tuple[Guarded, dict[str, str]]) -> None:
    guarded, before = full_platform
    archive = archive_of(guarded.run())
    mark = archive.stat(MARK)
    assert mark is not None
    archive.delete(mark)

    refused = guarded("sweep", "--json")

    assert refused.exit_code == 1
    assert "has no mark of ours: is its disk mounted?" in refused.stderr
    assert list(archive.listing()) == []
    assert guarded.contents() == before


@pytest.mark.parametrize(
    "mark", [b"{}", b"[]", b"[" * 200_000, b"\xff\xfe", b'{"archive": "../x"}', b'{"archive": 1e999}']
)
def test_a_mark_that_is_none_is_told_with_what_to_do(mark: bytes, tmp_path: Path) -> None:
    (tmp_path / MARK).write_bytes(mark)

    with pytest.raises(NotInitialised, match="cannot be read"):
        Archive(DirectoryStore(tmp_path)).marked()


def test_an_archive_with_another_archives_mark_is_never_written_to(
    full_platform: tuple[Guarded, dict[str, str]],
) -> None:
    guarded, before = full_platform
    run = guarded.run()
    assert run.archive is not None
    run.archive.check_mark(run.settled("archive"))
    run.archive.store.write_small(MARK, b'{"archive": "another"}')

    with pytest.raises(NotInitialised, match="another mark"):
        swept(run)

    assert names_in_archive(run) == {MARK}
    assert guarded.contents() == before


@pytest.mark.parametrize("years", [-30, -1])
def test_a_clock_that_jumped_back_makes_everything_young(
    years: int, full_platform: tuple[Guarded, dict[str, str]]
) -> None:
    guarded, before = full_platform

    report = swept(guarded.run(clock=Jumped(timedelta(days=365 * years))))

    assert report.freed_bytes == 0
    assert "younger than the minimum age" in report.reason
    assert guarded.contents() == before


def test_a_clock_that_jumped_ahead_archives_early_and_loses_nothing(
    full_platform: tuple[Guarded, dict[str, str]],
) -> None:
    guarded, before = full_platform

    report = swept(guarded.run(clock=Jumped(timedelta(days=365 * 30))))

    assert report.freed_bytes == 2 * MIB
    assert guarded.contents() | guarded.archived() == before


def test_three_sweeps_at_once_never_do_the_same_object_twice(platform: Guarded) -> None:
    guarded = platform.write(capacity={"total_bytes": "60 MiB"}, admission={"emergency_reserve": 0})
    keys = guarded.fill(58, oldest=400, newest=200)
    before = guarded.contents()
    guarded("init")

    all_three = [guarded.start("sweep", "--json") for _ in range(3)]
    for one in all_three:
        one.communicate(timeout=60)
    guarded("sweep")

    events = [(one["key"], one["event"]) for one in guarded("history", "--json").json]
    archived = [key for key, event in events if event == "archived"]
    assert len(archived) == len(set(archived))
    assert guarded.contents() | guarded.archived() == before
    assert set(archived) == set(keys[: len(archived)])
    assert guarded.states() == {"resident": 45, "archived": 13}


# --- disks that are not mounted ---


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


_MANY_RESERVATIONS = """
import sys
from exodus_storage_guard import StorageGuard

guard = StorageGuard.from_config(sys.argv[1])
for _ in range(1500):
    guard.admit(1).release()
"""


@on_sqlite
@pytest.mark.parametrize("kept", ["ballast", "nothing"])
def test_whoever_keeps_a_state_open_on_a_full_disk_goes_on_for_ever(
    full: tuple[Guarded, dict[str, str]], kept: str
) -> None:
    guarded, _ = full
    guarded.write(capacity={"total_bytes": "1 GiB"})
    state = guarded.state.parent
    script = f"cp -a {state} {state}.kept; mount -t tmpfs -o size=12m tmpfs {state}; cp -a {state}.kept/. {state}/"
    argv = [sys.executable, "-c", _MANY_RESERVATIONS, str(guarded.config)]
    with mounted(script) as own:
        own.sh(f"dd if=/dev/zero of={state}/filler bs=4k 2>/dev/null || true; truncate -s -400k {state}/filler")
        if kept == "nothing":
            own.sh(f"rm {state}/state.db.ballast; dd if=/dev/zero of={state}/more bs=4k count=1024 2>/dev/null || true")
        done = subprocess.run(
            own.argv(argv), env=guarded.environment, capture_output=True, text=True, timeout=120, check=False
        )

    assert done.returncode == 0, done.stderr


def test_a_sync_of_a_store_of_odd_files_takes_only_what_is_one(guarded: Guarded, tmp_path: Path) -> None:
    guarded.put("plain_file.txt", size=1)
    (guarded.store / "link.apk").symlink_to("/etc/passwd")
    (guarded.store / "folder.apk").mkdir()
    run = guarded.run()
    guarded("init")

    assert sync(run).listed.count == 1


def test_a_sync_names_what_it_could_not_look_at_and_calls_none_of_it_gone(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ("dark/one.apk", "seen.apk"):
        guarded.put(key, size=1)
    guarded("init")
    run = guarded.run()

    def listing(self: Store) -> Iterator[StoredObject]:
        if (guarded.store / "seen.apk").exists():
            yield DirectoryStore(guarded.store).stat("seen.apk") or pytest.fail("it is there")
        raise ListingIncomplete(self.name, {"dark/": "Permission denied"})

    replace_methods(run.store, listing=listing)
    first = sync(run)
    (guarded.store / "seen.apk").unlink()
    second = sync(run)

    assert (first.listed.count, first.changes, first.unseen) == (1, {}, ("dark/",))
    assert second.changes == {"vanished": 1}
    assert guarded.states() == {"resident": 1, "gone": 1}
    assert [record.getMessage().count("dark/: Permission denied") for record in caplog.records] == [1, 1]


@on_sqlite
@pytest.mark.parametrize("at", ["@300000000000", "@-99999999999"])
def test_a_time_that_no_calendar_has_ends_neither_init_nor_sync_nor_sweep(guarded: Guarded, at: str) -> None:
    small(guarded)
    with mounted(f"mount -t tmpfs -o mode=755 tmpfs {guarded.store}") as own:  # which holds any time
        own.sh(f"head -c 9000000 /dev/zero > {guarded.store}/{OLDEST}; touch -d {at} {guarded.store}/{OLDEST}")
        done = [inside(guarded, own, verb) for verb in ("init", "sync", "sweep", "status")]

    assert [exit_code for exit_code, _ in done[:2]] == [0, 0], done
    assert not [said for _, said in done if "Traceback" in said]

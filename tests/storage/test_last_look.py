"""Nothing is deleted on anybody's word: the copy is looked at again immediately before its original goes.

Over folders, and over buckets of each server, with archives of each kind.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from exodus_common.errors import ExodusError
from exodus_storage_guard import processes
from exodus_storage_guard.errors import NotFreeable, StoreFailed, StoreFull
from exodus_storage_guard.model import Need, StoredObject, Verdict
from exodus_storage_guard.state.sql import SqlCatalogue
from exodus_storage_guard.stores.contract import Moved, Store, nobody
from exodus_storage_guard.tiering import sweep
from exodus_storage_guard.tiering.archive import MARK
from exodus_storage_guard.tiering.copy_names import is_ours, manifest_name
from exodus_storage_guard.tiering.deleting import delete
from exodus_storage_guard.tiering.moving import Moved as MovedObject
from exodus_storage_guard.tiering.moving import Mover
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.tiering.workers import Pulse, Workers
from tests.parts.bucketed import IN_FOLDERS, Kind, platform_of
from tests.parts.clocks import SetClock
from tests.parts.doors import replace_methods
from tests.parts.guard import MIB, Guarded, apk_key, swept
from tests.parts.marks import on_sqlite

SHORT = (IN_FOLDERS[0], Kind("minio", "same-server", "sqlite"))
LONG = (
    *IN_FOLDERS[1:],
    Kind("versitygw", "ssh", "postgresql"),
    Kind("minio", "s3", "postgresql"),
    Kind("versitygw", "same-server", "sqlite"),
)
KEYS = [apk_key(number) for number in range(4)]


@pytest.fixture(
    params=[
        *(pytest.param(kind, id="-".join(kind)) for kind in SHORT),
        *(pytest.param(kind, marks=pytest.mark.full, id="-".join(kind)) for kind in LONG),
    ]
)
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Guarded:
    """Give four old objects, all of them premigrated, in a store that is below its low mark."""
    found = platform_of(request.param, tmp_path, request.getfixturevalue)
    found.write(capacity={"total_bytes": "8 MiB"}, sweep={"premigrate": "100%"}, admission={"emergency_reserve": 0})
    found.fill(4, oldest=400, newest=200)
    assert found("init").exit_code == 0
    assert swept(found.run()).freed_bytes == 0
    assert found.states()["premigrated"] == 4
    return found


def archive_of(run: Run) -> Store:
    assert run.archive is not None
    return run.archive.store


def removed(store: Store, name: str) -> None:
    present = store.stat(name)
    assert present is not None
    store.delete(present)


def damaged(store: Store, name: str) -> None:
    with store.open(name) as (found, chunks):
        content = b"".join(chunks)
    removed(store, name)
    store.put(found, [bytes([content[0] ^ 1]) + content[1:]])


def need_all(platform: Guarded) -> dict[str, str]:
    """Sweep for more than all there is; give what became of each object."""
    found = platform("sweep", "--need", "8 MiB", "--premigrated-only", "--json").json
    return {one["key"]: one["verdict"] for one in found["objects"]}


def test_an_original_stays_whose_copy_is_gone_or_other_since_it_was_proven(platform: Guarded) -> None:
    before = platform.contents()
    archive = archive_of(platform.run())
    removed(archive, KEYS[0])
    removed(archive, KEYS[1])
    damaged(archive, KEYS[2])

    said = need_all(platform)

    assert said == {KEYS[0]: "critical", KEYS[1]: "critical", KEYS[2]: "critical", KEYS[3]: "ok"}
    assert platform.contents() == {key: before[key] for key in KEYS[:3]}
    assert platform("status", "--json").json["verdict"] == "critical"  # one copy is put aside


def test_what_is_proven_no_more_is_archived_anew_by_the_next_sweep(platform: Guarded) -> None:
    before = platform.contents()
    removed(archive_of(platform.run()), KEYS[0])
    damaged(archive_of(platform.run()), KEYS[1])

    need_all(platform)
    again = platform("sweep", "--need", "8 MiB", "--json").json

    assert {one["key"]: one["verdict"] for one in again["objects"]} == {KEYS[0]: "ok", KEYS[1]: "ok"}
    assert platform.contents() == {}
    assert platform.archived() == before
    assert platform("verify", "--all").exit_code == 0


def test_a_copy_that_was_only_written_again_as_it_is_is_read_and_serves(platform: Guarded) -> None:
    archive = archive_of(platform.run())
    with archive.open(KEYS[0]) as (found, chunks):
        content = b"".join(chunks)
    removed(archive, KEYS[0])
    archive.put(found, [content])

    assert need_all(platform) == dict.fromkeys(KEYS, "ok")
    assert platform.contents() == {}


def test_a_copy_that_is_gone_is_told_though_its_object_is_archived_anew_at_once(platform: Guarded) -> None:
    removed(archive_of(platform.run()), KEYS[0])

    report = swept_for_all(platform.run())

    assert (report.verdict, report.freed_bytes) == (Verdict.CRITICAL, 4 * MIB)
    assert KEYS[0] in report.reason
    assert platform.contents() == {}
    assert platform("verify", "--all").exit_code == 0


@pytest.mark.parametrize("spoil", [removed, damaged])
def test_an_original_stays_whose_manifest_is_gone_or_says_otherwise(
    platform: Guarded, spoil: Callable[[Store, str], None]
) -> None:
    spoil(archive_of(platform.run()), manifest_name(KEYS[0]))

    assert need_all(platform)[KEYS[0]] == "critical"
    assert set(platform.contents()) == {KEYS[0]}
    assert platform("sweep", "--need", "8 MiB").exit_code == 1  # more is asked for than there is
    assert platform.contents() == {}
    assert platform("verify", "--all").exit_code == 0


def test_an_original_stays_of_which_only_the_state_says_that_there_is_a_copy(platform: Guarded) -> None:
    platform.put("z" * 60 + "_young.apk", days=300)
    platform("sync")
    sql = "UPDATE objects SET state = 'premigrated', sha256 = ?, copy = key WHERE state = 'resident'"
    catalogue = platform.run().catalogue
    assert isinstance(catalogue, SqlCatalogue)
    assert catalogue._database.write(lambda session: session.execute(sql, ("00" * 32,)).rowcount) == 1

    said = need_all(platform)

    assert said.get("z" * 60 + "_young.apk") != "ok"
    assert set(platform.contents()) == {"z" * 60 + "_young.apk"}


def test_an_original_stays_whose_copy_is_said_to_be_that_of_another(platform: Guarded) -> None:
    catalogue = platform.run().catalogue
    sql = """UPDATE objects SET (sha256, copy, copy_mark) = (SELECT sha256, copy, NULL FROM objects AS other
        WHERE other.key = ?) WHERE key = ?"""
    names = (KEYS[1].encode(), KEYS[0].encode())
    assert isinstance(catalogue, SqlCatalogue)
    catalogue._database.write(lambda session: session.execute(sql, names))

    assert need_all(platform).get(KEYS[0]) != "ok"
    assert set(platform.contents()) == {KEYS[0]}


def test_an_archive_that_is_not_the_marked_one_any_more_has_nothing_deleted(platform: Guarded) -> None:
    before = platform.contents()
    archive = archive_of(platform.run())
    removed(archive, MARK)

    found = platform("sweep", "--need", "8 MiB", "--premigrated-only", "--json")

    assert found.exit_code == 1
    assert platform.contents() == before


def test_an_archive_that_goes_away_during_a_sweep_has_nothing_deleted(platform: Guarded) -> None:
    """As a mount that ends: what was the archive is a folder without a mark, which takes whatever it is given."""
    before = platform.contents()
    for key in KEYS:
        removed(archive_of(platform.run()), key)
        removed(archive_of(platform.run()), manifest_name(key))
    assert need_all(platform) == dict.fromkeys(KEYS, "critical")
    run = platform.run()
    archive = archive_of(run)
    usual = archive.put
    left = iter(range(2))

    def put(self: Store, wanted: StoredObject, chunks: Iterable[bytes]) -> StoredObject:
        if next(left, None) is None and archive.stat(MARK) is not None:
            removed(archive, MARK)
        return usual(wanted, chunks)

    replace_methods(archive, put=put, take=lambda *_: None)

    report = swept_for_all(run)

    assert report.verdict is Verdict.CRITICAL
    assert "mark" in report.reason
    assert platform.contents() == before
    assert platform.states().get("copying", 0) == 0


def swept_for_all(run: Run) -> sweep.Report:
    return sweep.sweep(run, Need(8 * MIB), premigrated_only=False, start_at_high=False, progress=lambda done, aim: None)


def without_copies(platform: Guarded) -> Run:
    """Have the guard see that no copy is left, so that all objects are to be copied anew."""
    for key in KEYS:
        removed(archive_of(platform.run()), key)
        removed(archive_of(platform.run()), manifest_name(key))
    need_all(platform)
    return platform.run()


def test_a_failure_of_the_whole_archive_is_not_held_against_its_objects(platform: Guarded) -> None:
    run = without_copies(platform)

    def refuse(*_: object) -> StoredObject:
        raise StoreFailed("it is read-only for a minute")

    replace_methods(archive_of(run), put=refuse, take=lambda *_: None, write_small=refuse)

    report = swept_for_all(run)

    assert report.verdict is Verdict.CRITICAL
    assert "read-only for a minute" in report.reason
    assert platform.states().get("failed", 0) == 0
    assert platform("sweep", "--need", "8 MiB", "--json").json["freed_bytes"] == 4 * MIB


def test_a_failure_of_one_object_is_its_own_and_the_others_go(platform: Guarded) -> None:
    run = without_copies(platform)
    usual = archive_of(run).put

    def put(self: Store, wanted: StoredObject, chunks: Iterable[bytes]) -> StoredObject:
        if wanted.key == KEYS[0]:
            raise StoreFailed("this one never works")
        return usual(wanted, chunks)

    replace_methods(archive_of(run), put=put, take=lambda *_: None)
    swept_for_all(run)

    assert platform.states() == {"failed": 1, "archived": 3} | {
        state: count for state, count in platform.states().items() if not count
    }


def test_what_was_proven_before_the_archive_was_full_is_released(platform: Guarded) -> None:
    run = without_copies(platform)
    usual = archive_of(run).put

    def put(self: Store, wanted: StoredObject, chunks: Iterable[bytes]) -> StoredObject:
        if wanted.key in KEYS[2:]:
            raise StoreFull("no space left")
        return usual(wanted, chunks)

    replace_methods(archive_of(run), put=put, take=lambda *_: None)

    report = swept_for_all(run)

    assert report.freed_bytes == 2 * MIB
    assert "the archive is full" in report.reason
    assert set(platform.contents()) == set(KEYS[2:])


def test_a_copy_that_goes_while_another_one_is_read_keeps_its_original(platform: Guarded) -> None:
    run = platform.run()
    archive = archive_of(run)
    catalogue = run.catalogue
    assert isinstance(catalogue, SqlCatalogue)
    sql = "UPDATE objects SET copy_mark = NULL WHERE key = ?"
    catalogue._database.write(lambda session: session.execute(sql, (KEYS[1].encode(),)).rowcount)
    usual = type(archive).sha256

    def sha256(self: Store, key: str, moved: Moved = nobody) -> str:
        removed(archive, KEYS[0])
        return usual(self, key, moved)

    replace_methods(archive, sha256=sha256)

    report = sweep.sweep(
        run, Need(8 * MIB), premigrated_only=True, start_at_high=False, progress=lambda done, aim: None
    )

    assert {one.key: one.verdict for one in report.objects if isinstance(one, MovedObject)}[KEYS[0]] is Verdict.WARNING
    assert set(platform.contents()) == {KEYS[0]}


@on_sqlite
def test_nothing_is_deleted_by_a_look_that_was_long_ago(guarded: Guarded) -> None:
    """As where the machine slept between the look and the deletion."""
    clock = SetClock()
    guarded.put(KEYS[0])
    store = guarded.run().store
    wanted = store.stat(KEYS[0])
    assert wanted is not None
    check = Mover(guarded.run(clock=clock), None, Pulse(clock))._until_it_is_old()
    workers = Workers(1, Pulse(clock), 60)

    check()
    clock.seconds += 61
    left = delete(store, [wanted], workers, check)

    assert "the next run looks" in str(left[KEYS[0]])
    assert set(guarded.stored()) == {KEYS[0]}


@on_sqlite
def test_what_cannot_be_seen_of_a_run_that_died_holds_up_no_other(guarded: Guarded) -> None:
    guarded.write(capacity={"total_bytes": "4 MiB"}, select={"pattern": "."}, admission={"emergency_reserve": 0})
    guarded.put("folder/key.apk")
    for key in KEYS[:3]:
        guarded.put(key)
    guarded("init")
    dead = f"{processes.this_process().rsplit(' ', 2)[0]} 999999 1"
    with closing(sqlite3.connect(guarded.state)) as connection:
        sql = "UPDATE objects SET state = 'releasing', copy = key, owner = ? WHERE key = ?"
        connection.execute(sql, (dead, b"folder/key.apk"))
        connection.commit()
    shutil.rmtree(guarded.store / "folder")
    (guarded.store / "folder").write_bytes(b"in the way")

    swept_again = guarded("sweep", "--need", "3 MiB", "--json")

    assert "Traceback" not in swept_again.stderr
    assert "cannot be seen" in swept_again.stderr
    assert swept_again.json["freed_bytes"] == 3 * MIB


@on_sqlite
def test_a_name_like_the_mark_of_an_archive_stops_nothing(guarded: Guarded) -> None:
    (guarded.store / f"upload{MARK}").mkdir(parents=True)
    guarded.put(f"an-upload{MARK}", size=5 * MIB)
    guarded.put(KEYS[0])

    assert guarded("init").exit_code == 0
    assert guarded("sync").exit_code == 0


@on_sqlite
def test_a_store_that_is_not_mounted_has_released_nothing(guarded: Guarded) -> None:
    guarded.write(capacity={"total_bytes": "20 MiB"}, sweep={"premigrate": "100%"}, admission={"emergency_reserve": 0})
    guarded.fill(5, oldest=400, newest=200)
    guarded("init")
    guarded("sweep")
    before = guarded.states()
    guarded.store.rename(guarded.folder / "unmounted")
    guarded.store.mkdir()

    refused = guarded("sweep", "--need", "18 MiB", "--premigrated-only")

    assert (refused.exit_code, guarded.states()) == (1, before)
    assert "is its disk mounted?" in refused.stderr


@on_sqlite
def test_objects_that_cannot_be_freed_here_and_there_stop_no_sweep(guarded: Guarded) -> None:
    guarded.write(capacity={"total_bytes": "14 MiB"}, admission={"emergency_reserve": 0})
    keys = guarded.fill(13, oldest=400, newest=200)
    guarded("init")
    run = guarded.run()
    usual = type(run.store).delete_all

    def delete_all(self: Store, batch: Sequence[StoredObject]) -> Mapping[str, ExodusError]:
        locked = {one.key: NotFreeable("it is locked") for one in batch if one.key in keys[::2]}
        return locked | dict(usual(self, [one for one in batch if one.key not in locked]))

    replace_methods(run.store, delete_all=delete_all)
    report = sweep.sweep(
        run, Need(13 * MIB), premigrated_only=False, start_at_high=False, progress=lambda done, aim: None
    )

    assert report.freed_bytes == 6 * MIB
    assert "in a row" not in report.reason


@on_sqlite
def test_a_copy_that_cannot_be_looked_at_holds_up_no_other(guarded: Guarded) -> None:
    guarded.write(capacity={"total_bytes": "20 MiB"}, select={"pattern": "."}, sweep={"premigrate": "100%"})
    guarded.put("folder/key.apk")
    for key in KEYS[:3]:
        guarded.put(key)
    guarded("init")
    guarded("sweep")
    shutil.rmtree(guarded.archive / "folder")
    (guarded.archive / "folder").write_bytes(b"in the way")

    swept_again = guarded("sweep", "--need", "19 MiB", "--premigrated-only", "--json")

    verdicts = {one["key"]: (one["verdict"], one["reason"]) for one in swept_again.json["objects"]}
    assert "in the way" in verdicts["folder/key.apk"][1]
    assert {key for key, (verdict, _) in verdicts.items() if verdict == "ok"} == set(KEYS[:3])
    assert set(guarded.stored()) == {"folder/key.apk"}


@on_sqlite
def test_an_archive_that_keeps_what_it_was_tried_out_with_is_a_good_one(guarded: Guarded) -> None:
    guarded("init")
    run = guarded.run()

    def delete(self: Store, stored: StoredObject) -> bool:
        raise NotFreeable("it is kept for a year")

    replace_methods(archive_of(run), delete=delete)
    run.proving_archive.try_out()
    run.proving_archive.try_out()

    kept = [one.key for one in archive_of(run).listing() if one.key != MARK]
    assert len(kept) == len(set(kept)) == 2
    assert all(is_ours(key) for key in kept)


@on_sqlite
def test_an_archive_that_gives_back_other_bytes_than_it_took_is_none(guarded: Guarded) -> None:
    guarded("init")
    run = guarded.run()
    archive = run.proving_archive
    replace_methods(archive.store, read_small=lambda self, key: b"other")

    with pytest.raises(StoreFailed, match="is not read back"):
        archive.try_out()

    assert [one.key for one in archive_of(run).listing()] == [MARK]

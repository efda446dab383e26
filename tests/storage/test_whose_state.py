"""A state knows whose it is: settings that name another store or archive are refused, and any others go on with it."""

import itertools
import json
import os
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from exodus_common.errors import SettingsInvalid
from exodus_storage_guard import StorageGuard
from exodus_storage_guard.cli.main import main
from exodus_storage_guard.model import Entry
from exodus_storage_guard.state.contract import Catalogue, Change
from exodus_storage_guard.stores.settings import StoreSettings
from exodus_storage_guard.tiering import initialise
from exodus_storage_guard.tiering.archive import MARK
from tests.parts.doors import replace_methods
from tests.parts.guard import Guarded, apk_key
from tests.parts.marks import on_sqlite

OLDEST = apk_key(0)


def small(guarded: Guarded, **tables: dict[str, Any] | None) -> Guarded:
    usual: dict[str, dict[str, Any] | None] = {
        "capacity": {"total_bytes": "10 MiB"},
        "admission": {"emergency_reserve": 0},
        "sweep": {"premigrate": "10%"},
    }
    return guarded.write(**usual | tables)


@pytest.fixture
def lived_in(guarded: Guarded) -> Guarded:
    """Give a store of which two objects are archived and one is premigrated."""
    small(guarded).fill(9, oldest=400, newest=200)
    guarded("init")
    guarded("sweep")
    assert guarded.states() == {"archived": 2, "premigrated": 1, "resident": 6}
    return guarded


# --- another archive ---


def unmount(guarded: Guarded) -> Path:
    """Leave the empty mount point of the archive; give where its disk is."""
    disk = guarded.folder / "unmounted"
    guarded.archive.rename(disk)
    guarded.archive.mkdir()
    return disk


@pytest.mark.parametrize("command", ["init", "rebuild"])
def test_init_does_not_mark_an_archive_whose_disk_is_not_mounted(command: str, lived_in: Guarded) -> None:
    disk, before = unmount(lived_in), lived_in.contents()

    refused = lived_in(command)

    assert refused.exit_code == 1
    assert "3 objects are known to have their copies in" in refused.stderr
    assert "is its disk mounted?" in refused.stderr
    assert "exodus-storage-guard init --new-archive" in refused.stderr
    assert list(lived_in.archive.iterdir()) == []
    assert lived_in("sweep", "--need", "8 MiB").exit_code == 1
    assert lived_in.contents() == before
    lived_in.archive.rmdir()
    disk.rename(lived_in.archive)
    assert lived_in("init").exit_code == 0
    assert lived_in("verify").exit_code == 0


def test_a_new_archive_keeps_what_is_known_of_the_one_before(lived_in: Guarded) -> None:
    disk, before = unmount(lived_in), lived_in.contents()

    made = lived_in("init", "--new-archive")
    fetched = lived_in("fetch", OLDEST, str(lived_in.folder / "fetched"))
    verified = lived_in("verify", "--json")
    forgotten = lived_in("forget", "--yes", OLDEST)
    swept = lived_in("sweep", "--need", "5 MiB", "--json")

    assert made.exit_code == 0, made.all_output
    assert "What is archived stays known, with its copies in" in made.stdout
    for told in (fetched, forgotten):
        assert told.exit_code == 1
        assert f"the copy of {OLDEST} lies in the archive {lived_in.archive}" in told.all_output
    assert {one["verdict"] for one in verified.json["objects"]} == {"warning"}
    assert swept.exit_code == 0, swept.all_output
    assert lived_in.states()["archived"] == 2 + len(swept.json["objects"])
    assert lived_in.contents() | lived_in.archived() == before, "each that was swept is in the new archive"
    assert "its copy lies in the archive" in lived_in("history", OLDEST).stdout
    assert (disk / OLDEST).exists()


def test_an_archive_that_was_left_is_known_again_when_it_is_taken_back(lived_in: Guarded) -> None:
    disk = unmount(lived_in)
    lived_in("init", "--new-archive")
    lived_in("sweep", "--need", "5 MiB")
    lived_in.archive.rename(lived_in.folder / "second")
    disk.rename(lived_in.archive)

    refused = lived_in("init")
    taken = lived_in("init", "--new-archive")
    fetched = lived_in("fetch", OLDEST, str(lived_in.folder / "fetched"))

    assert refused.exit_code == 1
    assert taken.exit_code == 0, taken.all_output
    assert fetched.exit_code == 0, fetched.all_output
    assert "lost" not in lived_in.states()


@on_sqlite
@pytest.mark.parametrize("cut_at", range(4))
def test_a_change_of_archives_that_is_cut_short_is_brought_to_its_end(
    cut_at: int, lived_in: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = unmount(lived_in)
    monkeypatch.setattr(initialise, "_BATCH", 1)
    cut, begun = lived_in.run(), itertools.count()
    usual = type(cut.catalogue)

    def change(self: Catalogue, changes: Iterable[Change], at: datetime) -> list[Entry]:
        if next(begun) == cut_at:
            raise KeyboardInterrupt
        return usual.change(self, changes, at)

    replace_methods(cut.catalogue, change=change)
    with suppress(KeyboardInterrupt):
        initialise.initialise(cut, new_archive=True)

    assert lived_in("init", "--new-archive").exit_code == 0
    assert f"lies in the archive {lived_in.archive}" in lived_in("fetch", OLDEST, "-").stderr
    assert lived_in.states() == {"archived": 2, "resident": 7}
    lived_in.archive.rename(lived_in.folder / "second")
    disk.rename(lived_in.archive)
    assert lived_in("init", "--new-archive").exit_code == 0
    assert lived_in("verify").exit_code == 0


def test_an_archive_that_moved_with_its_mark_is_no_other_one(lived_in: Guarded) -> None:
    moved = lived_in.folder / "moved"
    lived_in.archive.rename(moved)
    small(lived_in, archive={"url": f"directory://{moved}"})

    assert lived_in("verify").exit_code == 0
    assert lived_in("init").exit_code == 0


def test_an_archive_is_free_to_change_as_long_as_nothing_is_in_it(guarded: Guarded) -> None:
    guarded.put(apk_key(1), days=3)
    guarded("init")
    unmount(guarded)

    assert guarded("init").exit_code == 0
    assert guarded("sweep").exit_code == 0


def test_a_place_that_has_no_mark_never_takes_the_id_of_another_one(guarded: Guarded) -> None:
    guarded.put(apk_key(1))
    guarded("init")
    first = guarded.archive / MARK
    before = json.loads(first.read_text())["archive"]
    second = guarded.folder / "second"
    second.mkdir()
    guarded.write(archive={"url": f"directory://{second}"})
    assert guarded("init").exit_code == 0
    assert json.loads((second / MARK).read_text())["archive"] != before
    guarded.write(archive={"url": f"directory://{second}"}, watermarks={"low": "0.1%", "high": "0.2%"})
    assert guarded("sweep").exit_code == 0
    guarded.write()

    fetched = guarded("fetch", apk_key(1), "-")

    assert fetched.exit_code == 1
    assert "bears another mark than ours" in fetched.stderr


def test_an_archive_is_not_left_unasked_while_it_has_an_older_version(lived_in: Guarded) -> None:
    for path in lived_in.archive.glob("*.apk"):
        lived_in.put(path.name, content=b"another version", days=1)
    lived_in("sync")
    assert lived_in.states() == {"resident": 9}
    unmount(lived_in)

    refused = lived_in("init")

    assert refused.exit_code == 1
    assert "init --new-archive" in refused.stderr


def test_what_others_put_back_whose_copy_is_in_an_archive_of_before_is_copied_anew(lived_in: Guarded) -> None:
    disk = unmount(lived_in)
    lived_in("init", "--new-archive")
    shutil.copy2(disk / OLDEST, lived_in.store / OLDEST)
    lived_in("sync")

    assert lived_in("sweep", "--need", "9 MiB").exit_code == 0
    assert OLDEST in lived_in.archived()


def test_a_mark_that_cannot_be_read_is_told_of_with_a_remedy_that_works(lived_in: Guarded) -> None:
    (lived_in.archive / MARK).write_bytes(b'{"archive": "../x"}')
    refused = lived_in("sweep")
    (lived_in.archive / MARK).unlink()

    assert refused.exit_code == 1
    assert "remove it and run: exodus-storage-guard init --new-archive" in refused.stderr
    assert lived_in("init", "--new-archive").exit_code == 0


# --- another store ---


@pytest.fixture
def other(lived_in: Guarded) -> Guarded:
    """Give other settings, of another store, over the same state."""
    folder = lived_in.folder / "other"
    return small(Guarded(folder), state={"url": f"sqlite:///{lived_in.state}"})


OF_A_STORE = ("init", "sync", "sweep", "plan", "verify", "status", "check", "rebuild", "admit --bytes 1")
OF_A_KEY = ("restore KEY", "fetch KEY -", "forget --yes KEY", "hold KEY")


@on_sqlite
def test_settings_of_another_store_are_refused_by_every_command(other: Guarded, lived_in: Guarded) -> None:
    for command in (*OF_A_STORE, *OF_A_KEY):
        refused = other(*command.replace("KEY", OLDEST).split(" "))

        assert refused.exit_code == 78, (command, refused.all_output)
        assert f"is that of the store directory://{lived_in.store}" in refused.stderr
        assert "init --new-store" in refused.stderr
    assert not [*other.store.iterdir(), *other.archive.iterdir()]
    assert lived_in("verify").exit_code == 0


@on_sqlite
def test_an_upload_into_another_store_is_not_admitted(other: Guarded) -> None:
    guard = StorageGuard.from_config(other.config)

    with pytest.raises(SettingsInvalid, match="each store has a state of its own"):
        guard.admit(1)
    with pytest.raises(SettingsInvalid):
        guard.is_accepting(1)


def test_a_store_that_moved_is_said_to_have(lived_in: Guarded) -> None:
    moved = lived_in.folder / "moved"
    lived_in.store.rename(moved)
    small(lived_in, store={"url": f"directory://{moved}"})

    assert lived_in("sweep").exit_code == 78
    assert lived_in("init", "--new-store").exit_code == 0
    assert lived_in("sweep").exit_code == 0
    assert lived_in.states() == {"archived": 2, "premigrated": 1, "resident": 6}


@on_sqlite
def test_a_state_of_before_knows_its_store_from_the_next_sweep_on(other: Guarded, lived_in: Guarded) -> None:
    with closing(sqlite3.connect(lived_in.state)) as connection:
        connection.execute("DELETE FROM settled WHERE name = 'store'")
        connection.commit()

    assert lived_in("status").exit_code == 0
    assert lived_in("sweep").exit_code == 0
    assert other("sweep").exit_code == 78


@pytest.mark.parametrize(
    ("one", "another"),
    [("http://Example.org", "http://example.org:80/"), ("https://example.org:443", "https://example.org/")],
)
def test_a_store_is_the_same_however_it_is_written(one: str, another: str) -> None:
    assert StoreSettings("s3://apks/a", one).identity == StoreSettings("s3://apks/a/", another).identity


def test_a_store_of_another_server_bucket_or_prefix_is_another() -> None:
    endpoints = ("http://a.example", "https://a.example", "http://a.example:81", "http://b.example")
    stores = [StoreSettings(url, end) for url in ("s3://apks", "s3://apks/a", "s3://apk") for end in endpoints]

    assert len({store.identity for store in stores}) == len(stores)


# --- any other change of settings ---

PRUNE = {"select": {"action": "prune"}, "archive": None}
SETTINGS: dict[str, dict[str, dict[str, Any] | None]] = {
    "archive": {},
    "prune": PRUNE,
    "other pattern": {"select": {"pattern": r"\.zip$"}},
    "any age": {"select": {"minimum_age_days": 0}},
    "records": {},
    "filesystem": {"capacity": {"source": "filesystem", "path": "/dev/shm", "total_bytes": None}},
}
COMMANDS = (
    *("status", "check", "plan", "sync", "sweep", "plan --need 9MiB", "sweep --need 9MiB", "verify", "restore KEY"),
    *("fetch KEY FILE", "hold KEY", "unhold KEY", "history KEY", "admit --bytes 1", "report --html FILE"),
    *("forget --yes NONE", "init", "rebuild", "status"),
)
PAIRS = [
    pytest.param(*pair, marks=() if set(pair) == {"archive", "prune"} else pytest.mark.full)
    for pair in itertools.permutations(SETTINGS, 2)
]


def tables_of(guarded: Guarded, name: str) -> dict[str, dict[str, Any] | None]:
    if name != "records":
        return SETTINGS[name]
    platform = guarded.folder / "platform.db"
    with closing(sqlite3.connect(platform)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS apk (key TEXT, created_at TEXT, sha256 TEXT)")
    query = "SELECT key, created_at, sha256 FROM apk"
    return {"records": {"url": f"sqlite:///{platform}", "query": query}}


@on_sqlite
@pytest.mark.parametrize(("first", "then"), PAIRS)
def test_no_change_of_settings_ends_in_a_traceback_or_a_loss(
    first: str, then: str, guarded: Guarded, capsys: pytest.CaptureFixture[str]
) -> None:
    small(guarded, **tables_of(guarded, first)).fill(9, oldest=400, newest=200)
    before = guarded.contents()
    run(guarded, "init", "sweep", "sweep --need 3MiB")

    for name in (then, first):
        small(guarded, **tables_of(guarded, name))
        run(guarded, *COMMANDS)

    pruned = {one["key"] for one in history(guarded, capsys) if one["event"] == "gone"}
    kept = guarded.contents() | guarded.archived()
    assert kept == {key: sha256 for key, sha256 in before.items() if key in kept}
    assert set(before) - set(kept) <= pruned
    assert not pruned or "prune" in (first, then)


@on_sqlite
def test_what_is_premigrated_is_released_by_a_prune_and_known_as_archived(lived_in: Guarded) -> None:
    premigrated = apk_key(2)
    small(lived_in, **PRUNE)

    swept = lived_in("sweep", "--need", "5 MiB", "--json")

    assert swept.exit_code == 0, swept.all_output
    assert [one["action"] for one in swept.json["objects"]] == ["release", "prune", "prune"]
    assert lived_in.states()["archived"] == 3
    refused = lived_in("fetch", premigrated, "-")
    assert refused.exit_code == 78
    assert f"lies in the archive {lived_in.archive}" in refused.stderr
    small(lived_in)
    assert lived_in("fetch", premigrated, "-").exit_code == 0


def run(guarded: Guarded, *commands: str) -> None:
    """Run commands in this very process: what they raise is seen."""
    os.environ["EXODUS_STORAGE_GUARD_CONFIG"] = str(guarded.config)
    try:
        for command in commands:
            words = {"KEY": OLDEST, "FILE": str(guarded.folder / "file"), "NONE": "unknown"}
            assert main([words.get(word, word) for word in command.split(" ")]) in (0, 1, 75, 78), command
    finally:
        del os.environ["EXODUS_STORAGE_GUARD_CONFIG"]


def history(guarded: Guarded, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    capsys.readouterr()
    run(guarded, "history --json")
    found: list[dict[str, str]] = json.loads(capsys.readouterr().out)
    return found

"""A catalogue of an older program is brought up once, one of a newer program is left alone: over each kind."""

import sqlite3
import threading
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest

from exodus_storage_guard.errors import NotInitialised, StateFailed
from exodus_storage_guard.model import ObjectState, Total
from exodus_storage_guard.state.contract import Catalogue
from exodus_storage_guard.state.database import SCHEMA_VERSION, scripts
from exodus_storage_guard.state.postgresql import PostgresqlCatalogue
from exodus_storage_guard.state.sqlite import SqliteCatalogue
from tests.parts.postgresql import Postgresql

ROW = """INSERT INTO objects (key, bytes, etag, modified_at, state, since, found_at)
    VALUES (CAST('k' AS {bytes}), 7, 'e', 1, 'resident', 1, 1)"""
Open = Callable[[], SqliteCatalogue | PostgresqlCatalogue]
Say = Callable[[str], object]


def script(name: str) -> str:
    return files("exodus_storage_guard.state").joinpath(f"{name}.sql").read_text("utf-8")


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Open, Say]:
    """Give a kind, how to open its catalogue, and a way to talk to the database beside us."""
    if request.param == "sqlite":
        file = tmp_path / "state.db"
        return "sqlite", lambda: SqliteCatalogue(file), lambda sql: sqlite3.connect(file).executescript(sql)
    server: Postgresql = request.getfixturevalue("postgresql")
    url = server.database()

    def say(sql: str) -> object:
        with psycopg.connect(url, autocommit=True) as connection:
            return connection.execute(sql.encode())

    return "postgresql", lambda: PostgresqlCatalogue(url), say


def of_version(kind: tuple[str, Open, Say], version: int) -> None:
    """Make the tables of the first version, with an object in them, and say that they are of another one."""
    name, _, say = kind
    if name == "sqlite":
        say(f"{script(name)}\n{ROW.format(bytes='BLOB')};\nPRAGMA user_version = {version};")
        return
    row = f"{ROW.format(bytes='BYTEA')};\nINSERT INTO schema_version VALUES ({version})"
    say("CREATE SCHEMA exodus_storage_guard")
    say(f"SET search_path = exodus_storage_guard;\n{script(name)}\n{row}")


def known(catalogue: Catalogue) -> dict[ObjectState, Total]:
    return dict(catalogue.totals())


def test_a_catalogue_of_the_version_before_is_brought_up_by_whoever_opens_it(kind: tuple[str, Open, Say]) -> None:
    of_version(kind, 2)

    catalogue = kind[1]()

    assert known(catalogue) == {ObjectState.RESIDENT: Total(1, 7)}
    entry = catalogue.get("k")
    assert entry is not None
    assert entry.copy_mark is None
    assert known(kind[1]()) == {ObjectState.RESIDENT: Total(1, 7)}


@pytest.mark.parametrize(("state", "known_copies"), [("archived", ["k"]), ("premigrated", ["k"]), ("gone", [])])
def test_a_copy_that_an_older_catalogue_knows_is_known(
    kind: tuple[str, Open, Say], state: str, known_copies: list[str]
) -> None:
    of_version(kind, 2)
    update = f"UPDATE objects SET state = '{state}', copy = key, sha256 = 'ab'"  # noqa: S608 - of our own states
    kind[2](update if kind[0] == "sqlite" else f"SET search_path = exodus_storage_guard; {update}")

    copies = list(kind[1]().copies())

    assert [one.name for one in copies] == known_copies
    assert all((one.key, one.sha256, one.stored.bytes) == ("k", "ab", 7) for one in copies)


def test_of_many_who_open_it_at_once_one_brings_it_up(kind: tuple[str, Open, Say]) -> None:
    of_version(kind, 2)
    found: list[object] = []

    def opened() -> None:
        try:
            found.append(known(kind[1]()))
        except Exception as error:  # told by the assertion
            found.append(error)

    threads = [threading.Thread(target=opened) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == 6 * [{ObjectState.RESIDENT: Total(1, 7)}]


def test_a_catalogue_of_a_newer_program_is_refused_by_everybody_and_left_as_it_is(kind: tuple[str, Open, Say]) -> None:
    of_version(kind, SCHEMA_VERSION + 1)

    for use in (kind[1]().create, kind[1]().totals, kind[1]().reservations, lambda: kind[1]().settle("a", "b")):
        with pytest.raises(StateFailed, match="upgrade exodus-storage-guard"):
            use()


def test_what_is_older_than_any_script_is_refused(kind: tuple[str, Open, Say]) -> None:
    of_version(kind, 1)

    with pytest.raises(StateFailed, match="rebuild"):
        kind[1]().totals()


def test_an_empty_file_is_no_catalogue_and_init_makes_it_one(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    file.touch()

    with pytest.raises(NotInitialised, match="init"):
        SqliteCatalogue(file).totals()
    SqliteCatalogue(file).create()
    assert known(SqliteCatalogue(file)) == {}


def test_an_upgrade_that_fails_half_way_leaves_the_version_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "state.db"
    of_version(("sqlite", lambda: SqliteCatalogue(file), lambda sql: sqlite3.connect(file).executescript(sql)), 2)
    broken = [*scripts("sqlite", 2), "CREATE TABLE nonsense ();\n"]
    with monkeypatch.context() as patched:
        patched.setattr("exodus_storage_guard.state.sqlite_database.scripts", lambda kind, version: iter(broken))
        with pytest.raises(StateFailed):
            SqliteCatalogue(file).totals()

    assert sqlite3.connect(file).execute("PRAGMA user_version").fetchone() == (2,)
    assert known(SqliteCatalogue(file)) == {ObjectState.RESIDENT: Total(1, 7)}

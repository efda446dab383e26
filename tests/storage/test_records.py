"""Age and checksum from the platform's own database: what was recorded counts, and what disagrees is not touched."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from exodus_common.errors import SettingsInvalid
from exodus_storage_guard.errors import RecordsFailed
from exodus_storage_guard.records.query import records
from exodus_storage_guard.records.settings import RecordsSettings
from tests.parts.guard import Guarded, apk_key, sha256_of
from tests.parts.postgresql import Postgresql

QUERY = "SELECT apk.name AS key, report.creation_date AS created_at, apk.sum AS sha256 "
QUERY += "FROM report, apk WHERE apk.report = report.id"
NOW = datetime.now(UTC)


class Platform:
    """The platform's database, with two of its tables."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.do("CREATE TABLE report (id INTEGER, creation_date TIMESTAMP)")
        self.do("CREATE TABLE apk (report INTEGER, name TEXT, sum TEXT)")

    def do(self, sql: str, *values: Any) -> None:
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
                connection.execute(sql, [str(one) if isinstance(one, datetime) else one for one in values])
                connection.commit()
        else:
            with psycopg.connect(self.url) as connection:
                connection.execute(sql.replace("?", "%s").encode(), values)

    def record(self, number: int, key: str, days: float, sha256: str | None = None) -> None:
        self.do("INSERT INTO report VALUES (?, ?)", number, NOW.replace(tzinfo=None) - timedelta(days=days))
        self.do("INSERT INTO apk VALUES (?, ?, ?)", number, key, sha256)


@pytest.fixture(params=["sqlite", "postgresql"])
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Platform:
    if request.param == "sqlite":
        return Platform(f"sqlite:///{tmp_path / 'platform.db'}")
    server: Postgresql = request.getfixturevalue("postgresql")
    return Platform(server.database())


@pytest.fixture
def recorded(platform: Platform, tmp_path: Path) -> Guarded:
    """Give a store that was migrated yesterday: every object is young by its own time."""
    guarded = Guarded(tmp_path)
    guarded.write(
        capacity={"total_bytes": "10 MiB"},
        admission={"emergency_reserve": 0},
        records={"url": platform.url, "query": QUERY},
    )
    for number in range(9):
        path = guarded.put(apk_key(number), days=1)
        platform.record(number, path.name, 400 - number, sha256_of(path))
    return guarded


def test_a_store_that_was_migrated_is_swept_by_what_was_recorded_oldest_first(recorded: Guarded) -> None:
    assert recorded("init").exit_code == 0

    swept = recorded("sweep", "--json")

    assert swept.exit_code == 0, swept.all_output
    assert [one["key"] for one in swept.json["objects"]] == [apk_key(0), apk_key(1)]
    assert set(recorded.archived()) == {apk_key(0), apk_key(1)}


def test_an_object_that_nobody_recorded_is_reported_and_not_touched(recorded: Guarded, platform: Platform) -> None:
    platform.do("DELETE FROM apk WHERE name = ?", apk_key(0))
    platform.record(100, "z" * 60 + "_recorded.and.never.stored.apk", 300)
    assert recorded("init").exit_code == 0

    planned = recorded("plan", "--json").json
    synced = recorded("sync", "--json").json
    recorded("sweep")

    assert {"reason": "in no record of the platform's", "count": 1, "bytes": 1024 * 1024} in planned["kept"]
    assert synced["changes"]["recorded, and not there"] == 1
    assert (recorded.store / apk_key(0)).exists()
    assert set(recorded.archived()) == {apk_key(1), apk_key(2)}


def test_an_object_that_is_other_than_recorded_is_reported_and_not_touched(
    recorded: Guarded, platform: Platform
) -> None:
    platform.do("UPDATE apk SET sum = ? WHERE name = ?", "ab" * 32, apk_key(0))
    before = sha256_of(recorded.store / apk_key(0))
    assert recorded("init").exit_code == 0

    swept = recorded("sweep", "--json")

    assert swept.exit_code == 1
    assert "is not what the platform recorded" in swept.json["reason"]
    assert sha256_of(recorded.store / apk_key(0)) == before
    assert apk_key(0) not in recorded.archived()
    assert recorded.states()["quarantined"] == 1
    assert swept.json["freed_bytes"] == 2 * 1024 * 1024  # of others


def test_what_was_proven_before_the_record_was_known_is_kept_where_they_disagree(
    recorded: Guarded, platform: Platform
) -> None:
    recorded.write(capacity={"total_bytes": "40 MiB"}, sweep={"premigrate": "20%"}, select={"minimum_age_days": 0})
    recorded("init")
    recorded("sweep")
    assert recorded.states()["premigrated"] >= 1
    platform.do("UPDATE apk SET sum = ? WHERE name = ?", "ab" * 32, apk_key(0))
    recorded.write(
        capacity={"total_bytes": "10 MiB"},
        admission={"emergency_reserve": 0},
        records={"url": platform.url, "query": QUERY},
    )

    recorded("sweep")

    assert (recorded.store / apk_key(0)).exists()
    kept = {one["reason"]: one["count"] for one in recorded("plan", "--need", "9 MiB", "--json").json["kept"]}
    assert kept["other than what the platform recorded"] == 1


def test_records_that_cannot_be_read_are_named_and_no_secret_is_shown(tmp_path: Path, postgresql: Postgresql) -> None:
    guarded = Guarded(tmp_path)
    guarded.write(records={"url": postgresql.url("nowhere"), "query": QUERY})

    tried = guarded("init")

    assert tried.exit_code == 1
    assert "the platform's database" in tried.stderr
    assert postgresql.password not in tried.all_output


def read(platform: Platform, query: str) -> Iterator[object]:
    return records(RecordsSettings(platform.url, query))


def test_the_platforms_database_is_only_read(platform: Platform) -> None:
    platform.record(1, "key", 1)

    with pytest.raises(RecordsFailed, match=r"read-?only|syntax error"):  # PostgreSQL streams nothing but SELECT
        list(read(platform, "DELETE FROM apk RETURNING name AS key, report AS created_at, sum AS sha256"))
    assert len(list(read(platform, QUERY))) == 1


def test_a_query_without_what_is_needed_is_refused(platform: Platform) -> None:
    with pytest.raises(SettingsInvalid, match="gives no column created_at"):
        list(read(platform, "SELECT name AS key FROM apk"))


@pytest.mark.parametrize(
    ("literal", "means"),
    [
        ("'2026-01-02 03:04:05'", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("'2026-01-02T03:04:05+01:00'", datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)),
        ("'2026-01-02'", datetime(2026, 1, 2, tzinfo=UTC)),
        ("1767323045", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_databases_write_them(literal: str, means: datetime, platform: Platform) -> None:
    (found,) = read(platform, f"SELECT 'k' AS key, {literal} AS created_at")

    assert found.created_at == means  # type: ignore[attr-defined]
    assert date(2026, 1, 2) == means.date()


@pytest.mark.parametrize("columns", ["'k', 'soon', NULL", "'k', '2026-01-01', 'xyz'", "NULL, '2026-01-01', NULL"])
def test_a_row_that_makes_no_sense_is_named(columns: str, platform: Platform) -> None:
    key, at, sha256 = columns.split(", ")
    with pytest.raises(RecordsFailed, match="allowed:"):
        list(read(platform, f"SELECT {key} AS key, {at} AS created_at, {sha256} AS sha256"))

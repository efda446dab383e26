"""The door to the platform's own database: when each APK was submitted, and the SHA-256 that was recorded of it.

It is only read, in one query that streams; what the query gives are columns named `key`, `created_at` and `sha256`.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time
from typing import Any
from urllib.parse import quote

from exodus_common.errors import SettingsInvalid
from exodus_common.terminal import printable
from exodus_storage_guard.errors import RecordsFailed
from exodus_storage_guard.model import Record
from exodus_storage_guard.records.settings import RecordsSettings
from exodus_storage_guard.secret_file import secret

_BATCH = 2000
_SECONDS = 60
_NEEDED = ("key", "created_at")
_SHA256_DIGITS = 64


def records(place: RecordsSettings) -> Iterator[Record]:
    """Stream what the platform recorded, in flat memory; raise `RecordsFailed`, or `SettingsInvalid` for the query."""
    rows = _of_postgresql(place) if place.is_postgresql else _of_sqlite(place)
    names = list(next(rows))
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise SettingsInvalid(f"records.query: gives no column {missing[0]}; allowed: key, created_at and sha256")
    for row in rows:
        yield _record(dict(zip(names, row, strict=True)))


def _of_sqlite(place: RecordsSettings) -> Iterator[Sequence[Any]]:
    """Give the names of the columns, then the rows."""
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(place.file))}?mode=ro", uri=True, timeout=_SECONDS)
        ) as connection:
            cursor = connection.execute(place.query)
            yield [column[0] for column in cursor.description or ()]
            yield from cursor
    except sqlite3.Error as error:
        raise RecordsFailed(f"records: {printable(str(place.file))}: {error}") from error


def _of_postgresql(place: RecordsSettings) -> Iterator[Sequence[Any]]:
    """Give the names of the columns, then the rows, a few thousand at a time."""
    try:
        import psycopg
        from psycopg.conninfo import make_conninfo
    except ImportError as error:
        raise SettingsInvalid(f"records.url: postgresql:// needs the package psycopg: {error}") from error
    password = {"password": secret(place.password_file)} if place.password_file else {}
    whole = make_conninfo(place.url, connect_timeout=10, **password)
    read_only = "-c default_transaction_read_only=on -c statement_timeout=600s"
    try:
        with psycopg.connect(whole, options=read_only) as connection, connection.cursor(name="records") as cursor:
            cursor.itersize = _BATCH
            cursor.execute(place.query.encode())
            yield [column.name for column in cursor.description or ()]
            yield from cursor
    except psycopg.Error as error:
        said = " ".join(line.strip() for line in str(error).splitlines())[:300]
        raise RecordsFailed(f"records: the platform's database: {printable(said)}") from error


def _record(row: dict[str, Any]) -> Record:
    key, sha256 = row["key"], row.get("sha256")
    if not isinstance(key, str) or not key:
        raise RecordsFailed(f"records: a row has {key!r:.40} as its key; allowed: text")
    digest = str(sha256).strip().lower() if sha256 else None
    if digest is not None and (len(digest) != _SHA256_DIGITS or not set(digest) <= set("0123456789abcdef")):
        raise RecordsFailed(
            f"records: the row of {printable(key)} has {digest!r:.80} as its sha256; allowed: 64 hex digits"
        )
    return Record(key, _instant(key, row["created_at"]), digest)


def _instant(key: str, value: object) -> datetime:
    """Read a time as databases give it: a timestamp, a date, ISO 8601, or seconds since 1970; without a zone: UTC."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime.combine(value, time(), UTC)
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise RecordsFailed(
            f"records: the row of {printable(key)} has {value!r:.40} as its created_at; allowed: a time"
        )
    return found if found.tzinfo else found.replace(tzinfo=UTC)

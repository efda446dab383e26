"""What the catalogue knows of copies: each that was proven, until it is lost or forgotten."""

import os
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from exodus_storage_guard.batches import batches
from exodus_storage_guard.instants import instant
from exodus_storage_guard.model import Entry, ObjectState, ProvenCopy
from exodus_storage_guard.state.database import Database, Session
from exodus_storage_guard.state.rows import COPY, key_bytes, proven_copy
from exodus_storage_guard.transitions import Event

_PAGE, _ASKED_AT_ONCE = 1000, 100
_OWNERS = """SELECT copy, key FROM objects WHERE copy IN ({marks}) AND state <> 'gone'
UNION SELECT name, key FROM copies WHERE name IN ({marks})"""
_NEW = ", ".join(f"{column} = excluded.{column}" for column in COPY.split(", ")[1:])
_ADOPT = f"INSERT INTO copies ({COPY}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING"
_PROVEN = _ADOPT.replace("NOTHING", f"UPDATE SET {_NEW}")
# What was adopted from a plain file has no ETag: nobody has seen it in the store, and its time is that of a file.
NEWEST_FIRST = "etag <> '' DESC, modified_at DESC, archived_at DESC, name DESC"
"""Orders versions by the store's clock; that of who copied them only tells apart what has one time there."""
_FORGOTTEN = """SELECT 1 FROM objects WHERE key = ? AND state = 'gone' AND 'forgotten' = (
  SELECT event FROM history WHERE history.key = objects.key AND event NOT IN ('held', 'unheld')
  ORDER BY id DESC LIMIT 1)"""


def streamed(database: Database) -> Iterator[ProvenCopy]:
    """Stream all of them, by name, page by page."""
    sql, name = f"SELECT {COPY} FROM copies WHERE name > ? ORDER BY name LIMIT {_PAGE}", b""
    while page := database.read(sql, (name,)):
        yield from map(proven_copy, page)
        name = page[-1][0]


def of_key(database: Database, key: str) -> list[ProvenCopy]:
    """Give those of one key, the newest first."""
    sql = f"SELECT {COPY} FROM copies WHERE key = ? ORDER BY {NEWEST_FIRST}"
    return [proven_copy(row) for row in database.read(sql, (key_bytes(key),))]


def follow(session: Session, event: Event, before: Entry, made: Entry) -> None:
    """Write down what an event that happened to an object says of its copies."""
    if event in (Event.COPY_PROVEN, Event.COPY_FOUND):
        _write(session, _PROVEN, made, made.since)
    elif event is Event.FORGOTTEN:
        session.execute("DELETE FROM copies WHERE key = ?", (key_bytes(made.key),))
    elif before.copy is not None and _is_copy_no_more(event, before):
        drop(session, before.copy)


def _is_copy_no_more(event: Event, before: Entry) -> bool:
    """Tell whether what was proven is lost or put aside, and not what was yet to be."""
    return event is Event.COPY_LOST or (event is Event.COPY_DIFFERED and before.state is ObjectState.RELEASING)


def adopt(session: Session, entry: Entry) -> None:
    """Write down the copy that an object has, where it is not known better already."""
    if entry.state is not ObjectState.LOST:
        _write(session, _ADOPT, entry, entry.since)


def _write(session: Session, sql: str, entry: Entry, at: datetime) -> None:
    if entry.copy is None or entry.sha256 is None:
        return
    stored = entry.stored
    what = (stored.bytes, stored.etag, instant(stored.last_modified), entry.sha256, instant(at), entry.copy_mark)
    session.execute(sql, (key_bytes(entry.copy), key_bytes(entry.key), *what))


def rename(session: Session, names: Mapping[str, str]) -> None:
    """Know copies by other names."""
    for name, new in names.items():
        session.execute("UPDATE copies SET name = ? WHERE name = ?", (key_bytes(new), key_bytes(name)))


def drop(session: Session, name: str) -> bool:
    """Know a copy no more; False where it was not known."""
    return session.execute("DELETE FROM copies WHERE name = ?", (key_bytes(name),)).rowcount > 0


def owners(database: Database, names: Collection[str]) -> set[tuple[str, str]]:
    """Give each of these names that a copy is known by, with its key."""
    found = set[tuple[str, str]]()
    for some in batches(names, _ASKED_AT_ONCE):
        marks, values = ", ".join("?" * len(some)), tuple(map(key_bytes, some))
        rows = database.read(_OWNERS.format(marks=marks), values + values)
        found |= {(os.fsdecode(name), os.fsdecode(key)) for name, key in rows}
    return found


def is_forgotten(session: Session, key: str) -> bool:
    """Tell whether the last thing that was done to an object is that it was forgotten."""
    return session.execute(_FORGOTTEN, (key_bytes(key),)).fetchone() is not None

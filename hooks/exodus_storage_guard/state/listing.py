"""Bring the catalogue in line with a listing: what is new, changed or gone, as the table of transitions has it.

The listing goes to a file of its own first. Then the catalogue is compared with it by ranges of keys, each in a short
transaction, so that nobody who admits waits for a million objects.
"""

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path

from exodus_storage_guard.instants import instant
from exodus_storage_guard.model import IN_STORE, ObjectState, StoredObject, Total
from exodus_storage_guard.state.connections import Connections
from exodus_storage_guard.state.contract import SyncResult
from exodus_storage_guard.state.rows import key_bytes
from exodus_storage_guard.transitions import TRANSITIONS, Event

_BATCH, _RANGE = 5_000, 5_000
_REASONS = {
    Event.FOUND: "found in the store again",
    Event.CHANGED: "changed by others",
    Event.VANISHED: "deleted by others",
}
_IN_STORE = ", ".join(f"'{state.value}'" for state in TRANSITIONS[Event.VANISHED])
_NOT_IN_STORE = ", ".join(f"'{state.value}'" for state in TRANSITIONS[Event.FOUND])
# One pass over both, in the order of their keys; whatever is found is looked at again in a transaction.
_DIFFER = f"""
INSERT OR IGNORE INTO listing.differ
SELECT new.key FROM listing.sorted AS new LEFT JOIN main.objects AS old ON old.key = new.key
WHERE old.key IS NULL OR old.etag <> new.etag OR old.bytes <> new.bytes OR old.state IN ({_NOT_IN_STORE})
UNION ALL
SELECT old.key FROM main.objects AS old LEFT JOIN listing.sorted AS new ON new.key = old.key
WHERE new.key IS NULL AND old.state IN ({_IN_STORE})"""
_IN_RANGE = "{0}.key IN (SELECT key FROM listing.differ WHERE key > :low AND key <= :high)"
_ADD = f"""
INSERT INTO main.objects (key, bytes, etag, modified_at, state, since, found_at)
SELECT new.key, new.bytes, new.etag, new.modified_at, 'resident', :at, :at FROM listing.sorted AS new
WHERE {_IN_RANGE.format("new")} AND NOT EXISTS (SELECT 1 FROM main.objects AS old WHERE old.key = new.key)"""
# What an upload wrote down when it was committed is now seen for the first time. And a file that was only linked, or
# given other rights, is what it was, as long as nothing was proven of it.
_COMPLETE = f"""
UPDATE main.objects AS old SET etag = new.etag, bytes = new.bytes, modified_at = new.modified_at
FROM listing.sorted AS new WHERE new.key = old.key AND {_IN_RANGE.format("old")} AND (old.etag = ''
  OR (old.state = 'resident' AND old.bytes = new.bytes AND old.modified_at = new.modified_at))"""
_SELECTS = {
    Event.FOUND: "EXISTS (SELECT 1 FROM listing.sorted AS new WHERE new.key = old.key)",
    Event.CHANGED: """old.etag <> '' AND EXISTS (SELECT 1 FROM listing.sorted AS new
        WHERE new.key = old.key AND (new.etag <> old.etag OR new.bytes <> old.bytes))""",
    # What came after the listing had begun need not be in it.
    Event.VANISHED: """old.since < :at AND old.found_at < :at
        AND NOT EXISTS (SELECT 1 FROM listing.sorted AS new WHERE new.key = old.key)""",
}
_NOTE = """
INSERT INTO main.history (at, key, event, bytes, sha256, reason)
SELECT :at, old.key, :after, old.bytes, old.sha256, :reason FROM main.objects AS old WHERE {where}"""
_MOVE = "UPDATE main.objects AS old SET state = :after, since = :at, note = :reason, failures = 0{more} WHERE {where}"
_TAKE_NEW = """, sha256 = NULL, copy = NULL,
  (bytes, etag, modified_at) = (SELECT bytes, etag, modified_at FROM listing.sorted AS new WHERE new.key = old.key)"""


def apply_listing(connections: Connections, listing: Iterable[StoredObject], at: datetime) -> SyncResult:
    """Do what `Catalogue.apply_listing` promises."""
    changes: Counter[str] = Counter()
    with connections.translated(), _side_file(connections) as connection:
        listed = _write_down(connection, listing)
        for low, high in _ranges(connection):
            changes += connections.write(lambda connection: _apply(connection, low, high, at))  # noqa: B023 - called at once
    return SyncResult(listed, dict(changes))


@contextmanager
def _side_file(connections: Connections) -> Iterator[sqlite3.Connection]:
    """Attach a file that is gone when its last user is, beside the catalogue, whose disk is the one with room."""
    connection = connections.get()
    with tempfile.TemporaryDirectory(dir=connections.file.parent, prefix=".listing-") as folder:
        connection.execute("ATTACH DATABASE ? AS listing", (str(Path(folder) / "listing.db"),))
        try:
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -16000"):
                connection.execute(f"PRAGMA listing.{pragma}")
            yield connection
        finally:
            connection.execute("DETACH DATABASE listing")


def _write_down(connection: sqlite3.Connection, listing: Iterable[StoredObject]) -> Total:
    """Write a listing down as it comes, and sort it: an index that grows at random places is slower."""
    columns = "(key BLOB{}, bytes INTEGER, etag TEXT, modified_at INTEGER)"
    connection.execute("CREATE TABLE listing.heard " + columns.format(""))
    rows = ((key_bytes(one.key), one.bytes, one.etag, instant(one.last_modified)) for one in listing)
    while batch := list(islice(rows, _BATCH)):
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO listing.heard VALUES (?, ?, ?, ?)", batch)
        connection.execute("COMMIT")
    connection.execute("CREATE TABLE listing.sorted " + columns.format(" PRIMARY KEY") + " WITHOUT ROWID")
    connection.execute("INSERT OR REPLACE INTO listing.sorted SELECT * FROM listing.heard ORDER BY key")
    connection.execute("DROP TABLE listing.heard")
    count, size = connection.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM listing.sorted").fetchone()
    return Total(count, size)


def _ranges(connection: sqlite3.Connection) -> Iterator[tuple[bytes, bytes]]:
    """Cut the keys that differ into ranges that a short transaction can do."""
    connection.execute("CREATE TABLE listing.differ (key BLOB PRIMARY KEY) WITHOUT ROWID")
    connection.execute(_DIFFER)
    low = b""
    highest = "SELECT max(key) FROM (SELECT key FROM listing.differ WHERE key > ? ORDER BY key LIMIT ?)"
    while (high := connection.execute(highest, (low, _RANGE)).fetchone()[0]) is not None:
        yield low, high
        low = high


def _apply(connection: sqlite3.Connection, low: bytes, high: bytes, at: datetime) -> Counter[str]:
    scope = {"low": low, "high": high, "at": instant(at)}
    counted: Counter[str] = Counter()
    connection.execute(_COMPLETE, scope)
    for event in (Event.VANISHED, Event.CHANGED, Event.FOUND):
        for before, after in TRANSITIONS[event].items():
            counted[event] += _move(connection, event, before, after, scope)
    counted["added"] += connection.execute(_ADD, scope).rowcount
    return +counted


def _move(
    connection: sqlite3.Connection, event: Event, before: ObjectState, after: ObjectState, scope: Mapping[str, object]
) -> int:
    where = f"old.state = '{before.value}' AND {_IN_RANGE.format('old')} AND {_SELECTS[event]}"
    parameters = {**scope, "after": after.value, "reason": _REASONS[event]}
    noted = connection.execute(_NOTE.format(where=where), parameters).rowcount
    if noted:
        more = _TAKE_NEW if after in IN_STORE else ""
        connection.execute(_MOVE.format(where=where, more=more), parameters)
    return noted

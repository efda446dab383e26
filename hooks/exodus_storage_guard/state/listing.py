"""Bring the catalogue in line with a listing: what is new, changed or gone, as the table of transitions has it.

The listing goes to a file of its own first. Then the catalogue is compared with it by ranges of keys, each in a short
transaction, so that nobody who admits waits for a million objects.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from exodus_storage_guard.errors import ListingIncomplete
from exodus_storage_guard.instants import instant
from exodus_storage_guard.model import ELSEWHERE, ObjectState, Record, StoredObject, Total
from exodus_storage_guard.state.contract import SyncResult
from exodus_storage_guard.state.copies import NEWEST_FIRST
from exodus_storage_guard.state.database import Database, Session
from exodus_storage_guard.state.rows import key_bytes
from exodus_storage_guard.transitions import TRANSITIONS, Event

_RANGE = 5_000
_DAY = timedelta(days=1)
# Before the listing had begun; or by a clock that was ahead: no listing takes a day.
_SINCE_BEFORE, _FOUND_BEFORE = (f"(old.{name} < :at OR old.{name} > :next_day)" for name in ("since", "found_at"))
_REASONS = {
    Event.FOUND: "found in the store again",
    Event.RETURNED: "found in the store again, as it was archived",
    Event.CHANGED: "changed by others",
    Event.VANISHED: "deleted by others",
    Event.COPY_FOUND: "an older copy of it is in the archive",
}
_IN_STORE = ", ".join(f"'{state.value}'" for state in TRANSITIONS[Event.VANISHED])
_NOT_IN_STORE = ", ".join(f"'{state.value}'" for state in TRANSITIONS[Event.FOUND])
# To the second: some servers tell no more of an object than of a list.
_OTHER_TIME = "new.modified_at / 1000000 <> old.modified_at / 1000000"
# One pass over both, in the order of their keys; whatever is found is looked at again in a transaction.
_DIFFER = f"""
INSERT INTO differ
SELECT new.key FROM listed AS new LEFT JOIN objects AS old ON old.key = new.key
WHERE old.key IS NULL OR old.etag <> new.etag OR old.bytes <> new.bytes OR {_OTHER_TIME}
  OR old.state IN ({_NOT_IN_STORE})
UNION ALL
SELECT old.key FROM objects AS old LEFT JOIN listed AS new ON new.key = old.key
WHERE new.key IS NULL AND old.state IN ({_IN_STORE})"""
_IN_RANGE = "{0}.key IN (SELECT key FROM differ WHERE key > :low AND key <= :high)"
_ADD = f"""
INSERT INTO objects (key, bytes, etag, modified_at, state, since, found_at)
SELECT new.key, new.bytes, new.etag, new.modified_at, 'resident', :at, :at FROM listed AS new
WHERE {_IN_RANGE.format("new")} AND NOT EXISTS (SELECT 1 FROM objects AS old WHERE old.key = new.key)"""
# What an upload wrote down when it was committed is now seen for the first time, by a listing that began later. And a
# file that was only linked, or given other rights, is what it was. Of neither was anything proven.
_COMPLETE = f"""
UPDATE objects AS old SET etag = new.etag, bytes = new.bytes, modified_at = new.modified_at
FROM listed AS new WHERE new.key = old.key AND {_IN_RANGE.format("old")} AND old.state = 'resident'
  AND ((old.etag = '' AND {_SINCE_BEFORE}) OR (old.bytes = new.bytes AND old.modified_at = new.modified_at))"""
_NOT_SEEN = """DELETE FROM differ WHERE key >= ? AND substr(key, 1, ?) = ?
  AND key NOT IN (SELECT listed.key FROM listed)"""
_RECORDS_DIFFER = """
INSERT INTO differ
SELECT old.key FROM objects AS old LEFT JOIN recorded AS new ON new.key = old.key
WHERE old.recorded_at IS DISTINCT FROM new.created_at OR old.recorded_sha256 IS DISTINCT FROM new.sha256"""
_RECORD = f"""
UPDATE objects AS old SET (recorded_at, recorded_sha256) =
  (SELECT new.created_at, new.sha256 FROM recorded AS new WHERE new.key = old.key)
WHERE {_IN_RANGE.format("old")}"""
_NOT_THERE = """
SELECT count(*) FROM recorded AS new LEFT JOIN objects AS old ON old.key = new.key
WHERE old.key IS NULL OR old.state IN ('gone', 'lost')"""
_SELECTS = {
    # What went after the listing had begun may still be in it.
    Event.FOUND: f"{_SINCE_BEFORE} AND EXISTS (SELECT 1 FROM listed AS new WHERE new.key = old.key)",
    # A listing of a machine whose clock is wrong costs no proof: what it brings back the next one takes away again.
    # A copy in an archive of before is no proof: nobody can look at it before the object is deleted.
    Event.RETURNED: f"""{_SINCE_BEFORE} AND old.etag <> ''
        AND (old.copy IS NULL OR substr(old.copy, 1, :elsewhere_bytes) <> :elsewhere)
        AND EXISTS (SELECT 1 FROM listed AS new
            WHERE new.key = old.key AND new.etag = old.etag AND new.bytes = old.bytes AND NOT {_OTHER_TIME})""",
    # The same ETag and another time, be it an earlier one: uploaded again, and it need not be the same content.
    Event.CHANGED: f"""(old.etag <> '' OR old.state <> 'resident') AND EXISTS (SELECT 1 FROM listed AS new
        WHERE new.key = old.key AND (new.etag <> old.etag OR new.bytes <> old.bytes OR {_OTHER_TIME}))""",
    # What came after the listing had begun need not be in it.
    Event.VANISHED: f"""{_SINCE_BEFORE} AND {_FOUND_BEFORE}
        AND NOT EXISTS (SELECT 1 FROM listed AS new WHERE new.key = old.key)""",
    Event.COPY_FOUND: """NOT EXISTS (SELECT 1 FROM listed AS new WHERE new.key = old.key)
        AND EXISTS (SELECT 1 FROM copies AS c WHERE c.key = old.key)""",
}
_NOTE = """
INSERT INTO history (at, key, event, bytes, sha256, reason)
SELECT :at, old.key, :after, old.bytes, old.sha256, :reason FROM objects AS old WHERE {where}"""
_MOVE = "UPDATE objects AS old SET state = :after, since = :at, note = :reason, failures = 0{more} WHERE {where}"
_TAKE_NEW = """,
  (bytes, etag, modified_at) = (SELECT bytes, etag, modified_at FROM listed AS new WHERE new.key = old.key)"""
_TAKES = {
    Event.FOUND: f"{_TAKE_NEW}, sha256 = NULL, copy = NULL, copy_mark = NULL",
    Event.CHANGED: f"{_TAKE_NEW}, sha256 = NULL, copy = NULL, copy_mark = NULL",
    Event.RETURNED: _TAKE_NEW,
    Event.VANISHED: "",
    Event.COPY_FOUND: f""", (bytes, etag, modified_at, sha256, copy, copy_mark) = (
        SELECT c.bytes, c.etag, c.modified_at, c.sha256, c.name, c.mark FROM copies AS c
        WHERE c.key = old.key ORDER BY {NEWEST_FIRST} LIMIT 1)""",
}
_STEPS = [
    *((Event.VANISHED, before) for before in TRANSITIONS[Event.VANISHED]),
    (Event.COPY_FOUND, ObjectState.GONE),  # what has just vanished and has an older copy is not gone
    *((event, before) for event in (Event.CHANGED, Event.RETURNED, Event.FOUND) for before in TRANSITIONS[event]),
]


def apply_listing(
    database: Database, listing: Iterable[StoredObject], at: datetime, records: Iterable[Record] | None = None
) -> SyncResult:
    """Do what `Catalogue.apply_listing` promises."""
    changes: Counter[str] = Counter()
    unseen = list[str]()
    with database.beside() as session:
        listed = _write_down(database, session, _noting(listing, unseen))
        for low, high in _ranges(session, unseen=unseen):
            changes += database.write(lambda session: _apply(session, low, high, at))  # noqa: B023 - called at once
        if records is not None:
            changes += _apply_records(database, session, records)
    return SyncResult(listed, dict(changes), tuple(unseen))


def _noting(listing: Iterable[StoredObject], unseen: list[str]) -> Iterator[StoredObject]:
    try:
        yield from listing
    except ListingIncomplete as error:
        unseen += error.unseen


def _apply_records(database: Database, session: Session, records: Iterable[Record]) -> Counter[str]:
    """Have each object know what its record says; give how many changed, and how many records have no object."""
    rows = ((key_bytes(one.key), instant(one.created_at), one.sha256) for one in records)
    database.write_records(session, rows)
    counted: Counter[str] = Counter()
    for low, high in _ranges(session, _RECORDS_DIFFER):
        scope = {"low": low, "high": high}
        counted["recorded"] += database.write(lambda session: session.execute(_RECORD, scope).rowcount)  # noqa: B023
    counted["recorded, and not there"] = session.execute(_NOT_THERE).fetchone()[0]
    return +counted


def _write_down(database: Database, session: Session, listing: Iterable[StoredObject]) -> Total:
    """Write a listing down as it comes, and sort it: an index that grows at random places is slower."""
    rows = ((key_bytes(one.key), one.bytes, one.etag, instant(one.last_modified)) for one in listing)
    database.write_listing(session, rows)
    count, size = session.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM listed").fetchone()
    return Total(count, int(size))


def _ranges(session: Session, differ: str = _DIFFER, unseen: Iterable[str] = ()) -> Iterator[tuple[bytes, bytes]]:
    """Cut the keys that differ into ranges that a short transaction can do; what nobody has seen does not differ."""
    session.execute("DELETE FROM differ")
    session.execute(differ)
    for place in map(key_bytes, unseen):
        session.execute(_NOT_SEEN, (place, len(place), place))
    low = b""
    few = f"SELECT key FROM differ WHERE key > ? ORDER BY key LIMIT {_RANGE}"
    highest = f"SELECT key FROM ({few}) AS few ORDER BY key DESC LIMIT 1"
    while found := session.execute(highest, (low,)).fetchone():
        yield low, found[0]
        low = found[0]


def _apply(session: Session, low: bytes, high: bytes, at: datetime) -> Counter[str]:
    scope = {
        "low": low,
        "high": high,
        "at": instant(at),
        "next_day": instant(at + _DAY),
        "elsewhere": key_bytes(ELSEWHERE),
    }
    scope |= {"elsewhere_bytes": len(ELSEWHERE)}
    counted: Counter[str] = Counter()
    session.execute(_COMPLETE, scope)
    for event, before in _STEPS:
        counted[event] += _move(session, event, before, TRANSITIONS[event][before], scope)
    counted["added"] += session.execute(_ADD, scope).rowcount
    return +counted


def _move(session: Session, event: Event, before: ObjectState, after: ObjectState, scope: Mapping[str, object]) -> int:
    where = f"old.state = '{before.value}' AND {_IN_RANGE.format('old')} AND {_SELECTS[event]}"
    parameters = {**scope, "after": after.value, "reason": _REASONS[event]}
    noted = session.execute(_NOTE.format(where=where), parameters).rowcount
    if noted:
        session.execute(_MOVE.format(where=where, more=_TAKES[event]), parameters)
    return noted

"""The catalogue in SQL that SQLite and PostgreSQL both speak; each has its door, and its own way with a listing."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from exodus_storage_guard.instants import instant
from exodus_storage_guard.model import (
    Capacity,
    Entry,
    HistoryEvent,
    ObjectState,
    ProvenCopy,
    Record,
    Reservation,
    Seen,
    StoredObject,
    Total,
)
from exodus_storage_guard.state import copies, rows
from exodus_storage_guard.state.contract import Change, SyncResult
from exodus_storage_guard.state.database import Database, Session, Writing
from exodus_storage_guard.state.listing import apply_listing
from exodus_storage_guard.transitions import Event, after

_PAGE = 1000
_SAMPLES_EVERY, _SAMPLES_FOR = timedelta(minutes=10), timedelta(days=30)
_RUNS_FOR = timedelta(days=1)
_TOTALS = """SELECT state, count, bytes, (SELECT min(bytes) FROM objects WHERE bytes < 0) FROM totals
  WHERE count <> 0"""
_AT_REST = "state IN ('resident', 'premigrated', 'failed', 'quarantined')"
_RESERVE = f"INSERT INTO reservations ({rows.RESERVATION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FAILURES = (Event.COPY_FAILED, Event.COPY_DIFFERED)
_CHANGE = """UPDATE objects SET state = ?, since = ?, owner = ?, retry_at = ?, note = ?,
  sha256 = {sha256}, copy = {copy}, copy_mark = {copy_mark},
  held = coalesce(?, held), failures = ?, bytes = ?, etag = ?, modified_at = ?
WHERE key = ? AND state = ? AND bytes = ? AND etag = ? AND owner IS NOT DISTINCT FROM ?"""
_PROOF = ("sha256", "copy", "copy_mark")
_KEPT = _CHANGE.format(**{column: f"coalesce(?, {column})" for column in _PROOF})
_ANEW = _CHANGE.format(**dict.fromkeys(_PROOF, "?"))
_ADOPT = """INSERT INTO objects (key, bytes, etag, modified_at, state, since, found_at, sha256, copy, copy_mark, note)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET bytes = excluded.bytes, etag = excluded.etag, modified_at = excluded.modified_at,
  state = excluded.state, since = excluded.since, sha256 = excluded.sha256, copy = excluded.copy,
  copy_mark = excluded.copy_mark, note = excluded.note
WHERE objects.state = 'gone' OR (objects.state IN ('archived', 'lost')
  AND (objects.etag <> '', objects.modified_at, objects.since, objects.copy)
    < (excluded.etag <> '', excluded.modified_at, excluded.since, excluded.copy))"""
# Whatever a run was about to do to the object that was there before, it finds that it has lost its claim.
_RENEW = """UPDATE objects SET bytes = ?, etag = '', modified_at = ?, state = 'resident', since = ?, owner = NULL,
  sha256 = NULL, copy = NULL, copy_mark = NULL, recorded_at = NULL, recorded_sha256 = NULL,
  failures = 0, retry_at = NULL, note = ?
WHERE key = ? AND EXISTS (SELECT 1 FROM reservations WHERE id = ? AND committed_at IS NULL)"""
_AGAIN = "uploaded again"
# A hold stops what has not begun; what has is brought to its end, and then held.
_IF_HELD_AS_READ = "AND held = ?"
_BEGINNINGS = (Event.COPY_BEGUN, Event.RELEASE_BEGUN, Event.PRUNE_BEGUN)


class SqlCatalogue:
    """Keep the catalogue in a database."""

    def __init__(self, database: Database) -> None:
        """Take the door to the database."""
        self._database = database

    def create(self) -> None:
        """Make the tables where there are none."""
        self._database.create()

    def settled(self) -> Mapping[str, str]:
        """Give what `init` wrote down."""
        return dict(self._database.read("SELECT name, value FROM settled"))

    def settle(self, name: str, value: str) -> None:
        """Write down one thing that `init` found out."""
        sql = "INSERT INTO settled VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        self._database.write(lambda session: session.execute(sql, (name, value)))

    def settle_again(self, name: str, was: str, value: str) -> bool:
        """Write down one thing anew, if it still is as it was read."""
        sql = "INSERT INTO settled VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value "
        sql += "WHERE settled.value = ?"
        return self._database.write(
            lambda session: session.execute(sql, (name, value, was)).rowcount > 0, Writing.ADMISSION
        )

    # --- admission ---

    def reserve(
        self, wanted: Reservation, decide: Callable[[Sequence[Reservation], Mapping[ObjectState, Total]], bool]
    ) -> bool:
        """Write a reservation down if `decide` says so, in one transaction with what it decides from."""

        def work(session: Session) -> bool:
            others = [one for one in self.reservations() if one.id != wanted.id]
            if not decide(others, self.totals()):
                return False
            session.execute("DELETE FROM reservations WHERE id = ?", (wanted.id,))
            session.execute(_RESERVE, rows.reservation_row(wanted))
            return True

        return self._database.write(work, Writing.ADMISSION)

    def reservations(self) -> Sequence[Reservation]:
        """Give what is not committed yet."""
        found = self._database.read(f"SELECT {rows.RESERVATION} FROM reservations WHERE committed_at IS NULL")
        return [rows.reservation(row) for row in found]

    def reservation(self, id_: str) -> Reservation | None:
        """Give one reservation, committed or not."""
        found = self._database.read(f"SELECT {rows.RESERVATION} FROM reservations WHERE id = ?", (id_,))
        return rows.reservation(found[0]) if found else None

    def landed(self, seen: Seen) -> Total:
        """Count the committed uploads that a measurement has not seen."""
        sql = "SELECT count(*), coalesce(sum(bytes), 0), min(bytes) FROM reservations "
        sql += "WHERE committed_at >= ? AND committed_at < ?"
        sql += " AND key IS NULL" if seen.keyed else ""
        return rows.total(self._database.read(sql, (instant(seen.until), instant(seen.future)))[0])

    def extend(self, id_: str, until: datetime, holds: Callable[[Reservation], bool]) -> bool:
        """Have a reservation that still holds end later."""
        sql = "UPDATE reservations SET expires_at = ? WHERE id = ? AND committed_at IS NULL"

        def work(session: Session) -> bool:
            present = self.reservation(id_)
            return present is not None and holds(present) and session.execute(sql, (instant(until), id_)).rowcount > 0

        return self._database.write(work, Writing.ADMISSION)

    def split(self, id_: str, part: Reservation) -> None:
        """Write down a part of a reservation as one of its own, whose room the other has no more."""
        sql = "UPDATE reservations SET bytes = ?, charged_bytes = ? WHERE id = ? AND committed_at IS NULL"

        def work(session: Session) -> None:
            present = self.reservation(id_)
            if present is not None:
                left = max(0, present.bytes - part.bytes), max(0, present.charged_bytes - part.charged_bytes)
                session.execute(sql, (*left, id_))
            session.execute(_RESERVE, rows.reservation_row(part))

        self._database.write(work, Writing.ADMISSION)

    def end_reservations(self, ids: Collection[str]) -> int:
        """Remove reservations; give how many there were."""
        sql = "DELETE FROM reservations WHERE id = ?"
        return self._database.write(
            lambda session: sum(session.execute(sql, (id_,)).rowcount for id_ in ids), Writing.ADMISSION
        )

    def commit(self, reservation: Reservation, stored: StoredObject | None, seen: Seen) -> bool:
        """Write down that an upload is stored: its object, or else what it took until a measurement has seen it."""
        forget = "DELETE FROM reservations WHERE committed_at < ? OR committed_at >= ?"
        forget += " OR (committed_at IS NOT NULL AND key IS NOT NULL)" if seen.keyed else ""
        update = """UPDATE reservations SET committed_at = ?, owner = NULL, bytes = ?, key = ?
            WHERE id = ? AND committed_at IS NULL"""
        insert = """INSERT INTO objects (key, bytes, etag, modified_at, state, since, found_at)
            VALUES (?, ?, '', ?, 'resident', ?, ?) ON CONFLICT (key) DO NOTHING"""
        assert reservation.committed_at is not None
        if stored is not None:
            self._renew(reservation.id, stored, reservation.committed_at)
        at = instant(reservation.committed_at)
        key = None if reservation.key is None else rows.key_bytes(reservation.key)

        def work(session: Session) -> bool:
            session.execute(forget, (instant(seen.until), instant(seen.future)))
            if not session.execute(update, (at, reservation.bytes, key, reservation.id)).rowcount:
                return False
            if stored is not None:
                session.execute(insert, (rows.key_bytes(stored.key), stored.bytes, at, at, at))
            return True

        return self._database.write(work, Writing.ADMISSION)

    def _renew(self, reservation_id: str, stored: StoredObject, at: datetime) -> None:
        """Have a known object be the upload that is being committed; first, since a kill between must not leave it old.

        Those who write objects wait for each other: beside them, it would lock rows in another order than they do.
        """
        key, when = rows.key_bytes(stored.key), instant(at)

        def work(session: Session) -> None:
            values = (stored.bytes, when, when, _AGAIN, key, reservation_id)
            if session.execute(_RENEW, values).rowcount:
                _note(session, at, key, ObjectState.RESIDENT.value, stored.bytes, None, _AGAIN)

        if self.get(stored.key) is not None:
            self._database.write(work)

    def record(self, capacity: Capacity) -> None:
        """Remember a measurement: the latest one, and one every ten minutes of the last thirty days."""
        last = self._database.read("SELECT at FROM samples ORDER BY at DESC LIMIT 1 OFFSET 1")
        at = instant(capacity.measured_at)
        too_close = bool(last) and at - last[0][0] < _SAMPLES_EVERY // timedelta(microseconds=1)

        def work(session: Session) -> None:
            if too_close:
                session.execute("DELETE FROM samples WHERE at = (SELECT max(at) FROM samples)")
            # A clock that jumped back leaves samples of a future: they are of no use.
            session.execute(
                "DELETE FROM samples WHERE at < ? OR at >= ?", (at - _SAMPLES_FOR // timedelta(microseconds=1), at)
            )
            session.execute(
                f"INSERT INTO samples ({rows.SAMPLE}) VALUES (?, ?, ?, ?, ?, ?)", rows.capacity_row(capacity)
            )

        self._database.write(work, Writing.ADMISSION)

    def measured(self) -> Capacity | None:
        """Give the latest measurement."""
        found = self._database.read(f"SELECT {rows.SAMPLE} FROM samples ORDER BY at DESC LIMIT 1")
        return rows.capacity(found[0]) if found else None

    def samples(self) -> Sequence[tuple[datetime, int]]:
        """Give what was used over the last days, oldest first."""
        found = self._database.read("SELECT at, used_bytes FROM samples ORDER BY at")
        return [rows.sample(row) for row in found]

    # --- objects ---

    def totals(self) -> Mapping[ObjectState, Total]:
        """Count objects by state."""
        return dict(map(rows.total_of_state, self._database.read(_TOTALS)))

    def get(self, key: str) -> Entry | None:
        """Give one object."""
        found = self._database.read(f"SELECT {rows.ENTRY} FROM objects WHERE key = ?", (rows.key_bytes(key),))
        return rows.entry(found[0]) if found else None

    def candidates(self, until: datetime | None = None) -> Iterator[Entry]:
        """Stream what is in the store and at rest, oldest first; nothing that was modified after `until`."""
        return self._by_age(_AT_REST, until)

    def premigrated(self) -> Iterator[Entry]:
        """Stream what is premigrated, oldest first."""
        return self._by_age("state = 'premigrated'", None)

    def _by_age(self, where: str, until: datetime | None) -> Iterator[Entry]:
        """Read page by page: a reader that stays keeps SQLite's log from being folded in."""
        sql = f"SELECT {rows.ENTRY} FROM objects WHERE {where} AND (aged_at, key) > (?, ?) "
        sql += f"AND aged_at <= ? ORDER BY aged_at, key LIMIT {_PAGE}"
        at, key = -(2**63), b""
        last = 2**63 - 1 if until is None else instant(until)
        while page := self._database.read(sql, (at, key, last)):
            yield from map(rows.entry, page)
            last_one = rows.entry(page[-1])
            at, key = instant(last_one.aged_from), rows.key_bytes(last_one.key)

    def taken(self) -> Iterator[Entry]:
        """Stream what has an owner, each once, by key."""
        return self._by_key("owner IS NOT NULL")

    def in_state(self, *states: ObjectState) -> Iterator[Entry]:
        """Stream the objects in some states, by key."""
        for state in states:
            yield from self._by_key(f"state = '{state.value}'")

    def _by_key(self, where: str) -> Iterator[Entry]:
        sql = f"SELECT {rows.ENTRY} FROM objects WHERE {where} AND key > ? ORDER BY key LIMIT {_PAGE}"
        key = b""
        while page := self._database.read(sql, (key,)):
            yield from map(rows.entry, page)
            key = page[-1][0]

    def change(self, changes: Iterable[Change], at: datetime) -> list[Entry]:
        """Make transitions, durably, in one transaction; give the new entries of those that were as they were read."""
        asked = list(changes)

        def work(session: Session) -> list[Entry]:
            return [made for change in asked if (made := self._changed(session, change, at)) is not None]

        return self._database.write(work)

    def _changed(self, session: Session, change: Change, at: datetime) -> Entry | None:
        entry = change.entry
        state, stored = after(entry.state, change.event), change.stored or entry.stored
        failures = entry.failures + 1 if change.event in _FAILURES else 0
        new = (state.value, instant(at), change.owner, rows.instant_or_none(change.retry_at), rows.text(change.reason))
        is_anew = _says_all_of_the_proof(change.event, state)
        was = replace(entry, sha256=None, copy=None, copy_mark=None) if is_anew else entry
        proof = (change.sha256, rows.key_bytes_or_none(change.copy), change.copy_mark)
        more = (rows.flag_or_none(change.hold), failures, stored.bytes, stored.etag, instant(stored.last_modified))
        key = rows.key_bytes(entry.key)
        as_read = (key, entry.state.value, entry.bytes, entry.stored.etag, entry.owner)
        begins = change.event in _BEGINNINGS
        sql = f"{_ANEW if is_anew else _KEPT} {_IF_HELD_AS_READ if begins else ''} RETURNING held"
        condition = (*as_read, int(entry.held)) if begins else as_read
        held = session.execute(sql, (*new, *proof, *more, *condition)).fetchone()
        if held is None:
            return None
        told = "forgotten" if change.event is Event.FORGOTTEN else state.value
        _note(session, at, key, told, stored.bytes, change.sha256 or entry.sha256, change.reason)
        made = replace(
            entry,
            stored=stored,
            state=state,
            since=at,
            sha256=change.sha256 or was.sha256,
            copy=change.copy or was.copy,
            copy_mark=change.copy_mark or was.copy_mark,
            held=bool(held[0]),
            owner=change.owner,
            failures=failures,
            retry_at=change.retry_at,
            note=rows.text(change.reason),
        )
        copies.follow(session, change.event, entry, made)
        return made

    def hold(self, keys: Collection[str], at: datetime, *, held: bool) -> int:
        """Set or lift the hold of objects; give how many there are."""

        def work(session: Session) -> int:
            return sum(_held(session, rows.key_bytes(key), at, held=held) for key in keys)

        return self._database.write(work)

    def apply_listing(
        self, listing: Iterable[StoredObject], at: datetime, records: Iterable[Record] | None = None
    ) -> SyncResult:
        """Bring the catalogue in line with a listing that began at `at`, and with the platform's records."""
        return apply_listing(self._database, listing, at, records)

    def adopt(self, entry: Entry, reason: str) -> bool:
        """Write down a copy that is known from its manifest, and its object."""
        stored, key, at = entry.stored, rows.key_bytes(entry.key), instant(entry.since)
        values = (key, stored.bytes, stored.etag, instant(stored.last_modified), entry.state.value, at, at)

        def work(session: Session) -> bool:
            if copies.is_forgotten(session, entry.key):
                return False
            copies.adopt(session, entry)
            proof = (entry.sha256, rows.key_bytes_or_none(entry.copy), entry.copy_mark)
            if not session.execute(_ADOPT, (*values, *proof, rows.text(reason))).rowcount:
                return False
            _note(session, entry.since, key, entry.state.value, stored.bytes, entry.sha256, reason)
            return True

        return self._database.write(work)

    def copies(self) -> Iterator[ProvenCopy]:
        """Stream every copy that was proven, by name."""
        return copies.streamed(self._database)

    def copies_of(self, key: str) -> Sequence[ProvenCopy]:
        """Give those of one key, the newest first."""
        return copies.of_key(self._database, key)

    def owners_of_copies(self, names: Collection[str]) -> Collection[tuple[str, str]]:
        """Give each of these names that a copy is known by, with its key."""
        return copies.owners(self._database, names)

    def rename_copies(self, names: Mapping[str, str]) -> None:
        """Know copies by other names, in one transaction."""
        self._database.write(lambda session: copies.rename(session, names))

    def lose_copy(self, copy: ProvenCopy, at: datetime, reason: str) -> None:
        """Know an older copy no more, and note why."""

        def work(session: Session) -> None:
            if copies.drop(session, copy.name):
                key, lost = rows.key_bytes(copy.key), ObjectState.LOST.value
                _note(session, at, key, lost, copy.stored.bytes, copy.sha256, reason)

        self._database.write(work)

    def history(self, key: str | None) -> Iterator[HistoryEvent]:
        """Stream what was done; that an object was found is in its own row, not a million times in the history."""
        wanted, last = None if key is None else rows.key_bytes(key), 0
        which, values = ("", ()) if wanted is None else ("AND key = ? ", (wanted,))
        sql = "SELECT id, at, key, event, bytes, sha256, reason FROM history WHERE id > ? "
        sql += f"{which}ORDER BY id LIMIT {_PAGE}"
        if wanted is not None:
            # What was adopted from its manifest was not found in the store.
            found = """SELECT found_at, key, 'resident', bytes, NULL, 'found in the store' FROM objects WHERE key = ?
                AND coalesce((SELECT event FROM history WHERE key = ? ORDER BY id LIMIT 1), '')
                  NOT IN ('archived', 'lost')"""
            yield from map(rows.history_event, self._database.read(found, (wanted, wanted)))
        while page := self._database.read(sql, (last, *values)):
            yield from (rows.history_event(row[1:]) for row in page)
            last = page[-1][0]

    def beat(self, owner: str) -> None:
        """Write down that a run is at work at this moment."""
        sql = f"INSERT INTO runs VALUES (?, {self._database.now}) "
        sql += "ON CONFLICT (owner) DO UPDATE SET beat_at = excluded.beat_at"
        old = f"DELETE FROM runs WHERE beat_at < {self._database.now} - {_RUNS_FOR // timedelta(microseconds=1)}"

        def work(session: Session) -> None:
            session.execute(old)
            session.execute(sql, (owner,))

        self._database.write(work, Writing.ADMISSION)

    def silent_seconds(self, owner: str) -> float | None:
        """Say for how long a run has not been heard of, by the database's own clock; None where it never was."""
        found = self._database.read(f"SELECT {self._database.now} - beat_at FROM runs WHERE owner = ?", (owner,))
        return found[0][0] / 1_000_000 if found else None


def _says_all_of_the_proof(event: Event, state: ObjectState) -> bool:
    """Tell whether nothing of an earlier proof stays; what is lost can be found again by what is known of it."""
    if event in (Event.COPY_LOST, Event.COPY_DIFFERED):
        return state is not ObjectState.LOST
    return event is Event.COPY_PROVEN


def _note(session: Session, at: datetime, key: bytes, event: str, size: int, sha256: str | None, reason: str) -> None:
    session.execute(
        "INSERT INTO history (at, key, event, bytes, sha256, reason) VALUES (?, ?, ?, ?, ?, ?)",
        (instant(at), key, event, size, sha256, rows.text(reason)),
    )


def _held(session: Session, key: bytes, at: datetime, *, held: bool) -> bool:
    found = session.execute("SELECT held, bytes, sha256 FROM objects WHERE key = ?", (key,)).fetchone()
    if found is None:
        return False
    if bool(found[0]) != held:
        session.execute("UPDATE objects SET held = ? WHERE key = ?", (int(held), key))
        _note(session, at, key, "held" if held else "unheld", found[1], found[2], "by hand")
    return True

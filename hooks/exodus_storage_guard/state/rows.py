"""Turn values into rows and back: instants are whole microseconds, keys bytes."""

import os
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar

from exodus_common.terminal import printable
from exodus_storage_guard.errors import StateFailed
from exodus_storage_guard.instants import datetime_of, instant
from exodus_storage_guard.model import (
    Capacity,
    Entry,
    HistoryEvent,
    ObjectState,
    ProvenCopy,
    Reservation,
    StoredObject,
    Total,
)

Row = tuple[Any, ...]
T = TypeVar("T")
ENTRY = "key, bytes, etag, modified_at, state, since, sha256, copy, held, owner, failures, retry_at, note"
ENTRY += ", recorded_at, recorded_sha256, copy_mark"
RESERVATION = "id, key, bytes, charged_bytes, created_at, expires_at, owner, committed_at, uid, client"
COPY = "name, key, bytes, etag, modified_at, sha256, archived_at, mark"
SAMPLE = "at, source, total_bytes, used_bytes, free_bytes, free_files"


def instant_or_none(at: datetime | None) -> int | None:
    """Give an instant that may be missing."""
    return None if at is None else instant(at)


def datetime_or_none(value: int | None) -> datetime | None:
    """Read an instant that may be missing."""
    return None if value is None else datetime_of(value)


def key_bytes(key: str) -> bytes:
    """Give a key as the store has it."""
    return os.fsencode(key)


def key_bytes_or_none(key: str | None) -> bytes | None:
    """Give a name that may be missing."""
    return None if key is None else key_bytes(key)


def flag_or_none(flag: bool | None) -> int | None:
    """Give a flag that may be missing."""
    return None if flag is None else int(flag)


def text(reason: str) -> str:
    """Give a text without what no database can hold."""
    return reason.encode("utf-8", "backslashreplace").decode("utf-8")


def possible(read: Callable[[Row], T]) -> Callable[[Row], T]:
    """Raise `StateFailed` for a row that cannot be: whatever was decided from it would be wrong."""

    @wraps(read)
    def reading(row: Row) -> T:
        try:
            return read(row)
        except (ValueError, TypeError, ArithmeticError) as error:
            what = printable(str(error)[:200])
            raise StateFailed(
                f"the catalogue holds what cannot be ({what}): somebody else wrote into it. Put it aside; "
                "exodus-storage-guard rebuild makes it anew from the archive and the store"
            ) from error

    return reading


@possible
def total(row: Row) -> Total:
    """Read a count, a sum of bytes, which PostgreSQL has as a Decimal, and the least of what was added up.

    A sum hides what is less than nothing, and would be room that there is not.
    """
    count, size, least = row
    if least is not None and least < 0:
        raise ValueError(f"something of {least} bytes")
    return Total(int(count), int(size))


@possible
def total_of_state(row: Row) -> tuple[ObjectState, Total]:
    """Read a state, and then what `total` reads."""
    state, *counted = row
    return ObjectState(state), total(tuple(counted))


@possible
def entry(row: Row) -> Entry:
    """Read the columns of `ENTRY`."""
    (
        key,
        size,
        etag,
        modified_at,
        state,
        since,
        sha256,
        copy,
        held,
        owner,
        failures,
        retry_at,
        note,
        recorded_at,
        recorded,
        copy_mark,
    ) = row
    stored = StoredObject(os.fsdecode(key), size, etag, datetime_of(modified_at))
    return Entry(
        stored,
        ObjectState(state),
        datetime_of(since),
        sha256,
        None if copy is None else os.fsdecode(copy),
        bool(held),
        owner,
        failures,
        datetime_or_none(retry_at),
        note,
        datetime_or_none(recorded_at),
        recorded,
        copy_mark,
    )


@possible
def reservation(row: Row) -> Reservation:
    """Read the columns of `RESERVATION`."""
    id_, key, size, charged, created_at, expires_at, owner, committed_at, uid, client = row
    return Reservation(
        id_,
        size,
        charged,
        datetime_of(created_at),
        datetime_of(expires_at),
        None if key is None else os.fsdecode(key),
        owner,
        datetime_or_none(committed_at),
        None if uid is None else int(uid),
        client,
    )


def reservation_row(one: Reservation) -> tuple[object, ...]:
    """Give the columns of `RESERVATION`."""
    key = None if one.key is None else key_bytes(one.key)
    times = instant(one.created_at), instant(one.expires_at)
    asker = one.owner, instant_or_none(one.committed_at), None if one.uid is None else str(one.uid)
    return (one.id, key, one.bytes, one.charged_bytes, *times, *asker, one.client)


@possible
def capacity(row: Row) -> Capacity:
    """Read the columns of `SAMPLE`."""
    at, source, total, used, free, files = row
    return Capacity(source, total, used, free, datetime_of(at), files)


def capacity_row(one: Capacity) -> tuple[object, ...]:
    """Give the columns of `SAMPLE`."""
    return instant(one.measured_at), one.source, one.total_bytes, one.used_bytes, one.free_bytes, one.free_files


@possible
def sample(row: Row) -> tuple[datetime, int]:
    """Read when a measurement was taken, and what was used then."""
    at, used = row
    if used < 0:
        raise ValueError(f"a measurement of {used} bytes used")
    return datetime_of(at), used


@possible
def proven_copy(row: Row) -> ProvenCopy:
    """Read the columns of `COPY`."""
    name, key, size, etag, modified_at, sha256, archived_at, mark = row
    stored = StoredObject(os.fsdecode(key), size, etag, datetime_of(modified_at))
    return ProvenCopy(os.fsdecode(name), stored, sha256, datetime_of(archived_at), mark)


@possible
def history_event(row: Row) -> HistoryEvent:
    """Read `at, key, event, bytes, sha256, reason`."""
    at, key, event, size, sha256, reason = row
    return HistoryEvent(datetime_of(at), os.fsdecode(key), event, size, sha256, reason)

"""Commit on a member's word where a key is new, and no more than he reserved; else the store is looked at first.

Else a member could say of any object that it is another one from now on: young, of no bytes, and nowhere archived. Or
of one that is not there that it fills the store.
"""

import logging
from dataclasses import dataclass

from exodus_common.errors import ExodusError, TryLater
from exodus_common.terminal import printable
from exodus_storage_guard.admission import reservations
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.model import Entry, ObjectState, Reservation, StoredObject
from exodus_storage_guard.stores.contract import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LookFirst:
    """Say that the store is to be looked at before anything is written down of a key."""

    key: str


@dataclass(frozen=True, slots=True)
class Looked:
    """Say what is stored under a key; None where nothing is."""

    found: StoredObject | None


def look(store: Store, key: str) -> Looked:
    """Look at the store; raise `TryLater` where that cannot be done: nothing is written down then."""
    try:
        return Looked(store.stat(key))
    except ExodusError as error:
        raise TryLater(f"{printable(key)} cannot be looked at in the store: {error}") from error


def commit(
    control: AdmissionControl,
    present: Reservation,
    key: str | None,
    size_bytes: int | None,
    looked: Looked | None,
    *,
    is_part: bool = False,
) -> bool | LookFirst:
    """Say that an upload is stored; False where its reservation has ended meanwhile.

    `is_part`: more will be, within the same reservation.
    """
    named = key or present.key
    if named is None or present.committed_at is not None:
        size_bytes = _most_believed(control, present, size_bytes)
        return reservations.commit(control, present.id, None, size_bytes, is_part=is_part)
    known = control.catalogue.get(named)
    if known is None and (size_bytes is None or size_bytes <= present.bytes):
        return reservations.commit(control, present.id, key, size_bytes, is_part=is_part)
    if looked is None:
        return LookFirst(named)
    if looked.found is not None and (known is None or not _is_as_known(known, looked.found)):
        return reservations.commit(control, present.id, named, looked.found.bytes, is_part=is_part)
    if looked.found is None:
        _log.warning("%s was committed, and is not in the store", printable(named))
    if is_part:
        size_bytes = min(present.bytes if size_bytes is None else size_bytes, present.bytes)
        present = reservations.part(control, present.id, named, size_bytes, present.uid)
    return reservations.count_until_measured(control, present)


def commit_ended(
    control: AdmissionControl, reservation_id: str, key: str, uid: int, looked: Looked | None
) -> bool | LookFirst:
    """Count what was stored though its reservation has ended, as the store has it; False where that has nothing."""
    if looked is None:
        return LookFirst(key)
    if looked.found is None:
        return False
    known = control.catalogue.get(key)
    if known is not None and _is_as_known(known, looked.found):
        return True
    taken = reservations.part(control, reservation_id, key, looked.found.bytes, uid)
    return reservations.commit(control, taken.id, key, looked.found.bytes)


def _most_believed(control: AdmissionControl, present: Reservation, size_bytes: int | None) -> int | None:
    """Give the size of what nobody can look at, since it has no name."""
    return (
        None
        if size_bytes is None
        else min(size_bytes, max(present.bytes, control.settings.admission.most_upload_bytes))
    )


def _is_as_known(known: Entry, found: StoredObject) -> bool:
    """Tell whether it is what is known, to the second as a server tells times; a restore tells of its own itself."""
    if known.state is ObjectState.RECALLING:
        return True
    is_as_old = int(known.stored.last_modified.timestamp()) == int(found.last_modified.timestamp())
    return is_as_old and known.stored.is_same_content(found)

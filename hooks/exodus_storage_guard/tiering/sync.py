"""The story of `sync`: bring the catalogue in line with the store; what others did is noticed, never guessed."""

import itertools
import logging
from collections.abc import Iterator
from datetime import timedelta

from exodus_common.errors import ExodusError
from exodus_storage_guard import findings, state_identity
from exodus_storage_guard.capacity import disks
from exodus_storage_guard.capacity.measurement import SYNCED_AT, UNFINISHED
from exodus_storage_guard.errors import ListingIncomplete, StoreFailed
from exodus_storage_guard.model import IN_STORE, Record, StoredObject, Total, Verdict
from exodus_storage_guard.records.query import records
from exodus_storage_guard.state.contract import SyncResult
from exodus_storage_guard.tiering import separation
from exodus_storage_guard.tiering.archive import MARK
from exodus_storage_guard.tiering.replay import replay
from exodus_storage_guard.tiering.rights import is_probe
from exodus_storage_guard.tiering.run import Run, in_store

_log = logging.getLogger(__name__)
_UNFINISHED_FOR = timedelta(hours=1)
_MOST_MARK_BYTES = 4096


def sync(run: Run, *, emptied: bool = False) -> SyncResult:
    """List the store and write down what is new, changed or gone.

    A store that lists nothing and held objects before is taken for one whose disk is not mounted, unless `emptied`.
    """
    if state_identity.STORE not in run.catalogue.settled():  # of a state of before
        run.catalogue.settle(state_identity.STORE, run.settings.store.identity)
    disks.refuse_away(run.settings, run.catalogue)
    disks.remember(run.settings, run.catalogue, anew=False)
    replay(run)  # what somebody who is gone had begun is else no matter of a listing's, and stays as it was known
    begun_at = run.clock.now()
    before = in_store(run.catalogue.totals(), IN_STORE)
    found = run.catalogue.apply_listing(
        _listing(run, expected=before.count > 0 and not emptied), begun_at, _records(run)
    )
    run.catalogue.settle(SYNCED_AT, begun_at.isoformat())
    _look_for_unfinished(run)
    _look_at_pattern(run)
    run.measure()
    return found


def _look_at_pattern(run: Run) -> None:
    """Note where the pattern selects none of the objects there are: no sweep would ever free anything."""
    pattern, count = run.settings.selection().pattern, in_store(run.catalogue.totals(), IN_STORE).count
    selects = not count or any(pattern.search(entry.key) for entry in run.catalogue.candidates())
    told = f"select.pattern selects none of the {count} objects in the store: no sweep can free anything"
    run.catalogue.settle(findings.PATTERN, "" if selects else findings.written((Verdict.WARNING, told)))


def _look_for_unfinished(run: Run) -> None:
    """Add up uploads that take space and are no objects; a server that does not tell, or may not, is no failure."""
    try:
        found = run.store.unfinished(run.clock.now() - _UNFINISHED_FOR)
    except ExodusError as error:
        _log.info("unfinished uploads are not counted: %s", error)
        found = Total()
    run.catalogue.settle(UNFINISHED, f"{found.count} {found.bytes}")


def _records(run: Run) -> Iterator[Record] | None:
    return None if run.settings.records is None else records(run.settings.records)


def _listing(run: Run, *, expected: bool) -> Iterator[StoredObject]:
    listing = _named(run.store.listing())
    first = next(listing, None)
    if first is None:
        if expected:
            raise StoreFailed(
                f"the store {run.store.name} lists nothing, and held objects before: is its disk mounted? "
                "If it really was emptied: exodus-storage-guard sync --emptied"
            )
        return
    for stored in itertools.chain([first], listing):
        if run.archive is not None and stored.key.endswith(MARK) and stored.bytes <= _MOST_MARK_BYTES:
            separation.refuse_mark(run.store, run.archive, run.settled(state_identity.ARCHIVE), stored.key)
        if not is_probe(stored.key):
            yield stored


def _named(listing: Iterator[StoredObject]) -> Iterator[StoredObject]:
    """Name the places that could not be looked at, once."""
    try:
        yield from listing
    except ListingIncomplete as error:
        _log.warning("%s; what is known of these places stays as it is", error)
        raise

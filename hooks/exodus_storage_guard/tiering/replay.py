"""The story after a crash: bring to its end what somebody who is gone had begun, by looking at what became of it."""

import logging
from collections.abc import Iterator

from exodus_common.errors import ExodusError
from exodus_common.stopping import Stopped
from exodus_common.terminal import printable
from exodus_storage_guard.batches import batches
from exodus_storage_guard.model import Entry
from exodus_storage_guard.state.contract import Change
from exodus_storage_guard.tiering.archive import digested
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.transitions import REPLAY, Event, Replay

_log = logging.getLogger(__name__)
_BATCH = 500


def replay(run: Run) -> int:
    """Replay every effect that was announced and whose owner is gone; give how many there were."""
    return sum(len(run.catalogue.change(batch, run.clock.now())) for batch in batches(_changes(run), _BATCH))


def _changes(run: Run) -> Iterator[Change]:
    for entry in run.catalogue.in_state(*REPLAY):
        if entry.owner is None or not run.lives(entry.owner):
            change = _looked(run, entry)
            if change is not None:
                _log.info("%s: %s", printable(entry.key), change.reason)
                yield change


def _looked(run: Run, entry: Entry) -> Change | None:
    """Look what became of one; what cannot be seen now is looked at by the next run, and holds up no other."""
    try:
        return _LOOKS[REPLAY[entry.state]](run, entry)
    except Stopped:
        raise
    except ExodusError as error:
        _log.warning("%s is %s, and what became of it cannot be seen: %s", printable(entry.key), entry.state, error)
    return None


def _copy(run: Run, entry: Entry) -> Change:
    return Change(entry, Event.COPY_ABANDONED, "the run that copied it ended before the copy was proven")


def _release(run: Run, entry: Entry) -> Change:
    """Look into the store: only the very object that was to go counts as not gone."""
    pruned = entry.copy is None
    if run.store.stat(entry.key) is None:
        return Change(
            entry, Event.PRUNED if pruned else Event.RELEASED, "deleted by a run that ended before it said so"
        )
    reason = "the run that was to delete it ended before it did"
    return Change(entry, Event.PRUNE_FAILED if pruned else Event.RELEASE_FAILED, reason)


def _recall(run: Run, entry: Entry) -> Change:
    found = run.store.stat(entry.key)
    if found is None or found.bytes != entry.bytes or digested(lambda: run.store.open(entry.key))[1] != entry.sha256:
        run.store.abandon(entry.key)  # what it had sent takes space, and is no object
        return Change(entry, Event.RECALL_FAILED, "the run that recalled it ended before it was back")
    return Change(entry, Event.RECALLED, "back since a run that ended before it said so", stored=found, hold=True)


_LOOKS = {Replay.COPY: _copy, Replay.RELEASE: _release, Replay.RECALL: _recall}

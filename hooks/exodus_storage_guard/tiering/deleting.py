"""Delete many objects, and see that they are gone."""

from collections.abc import Mapping, Sequence

from exodus_common.stopping import go_on
from exodus_common.terminal import printable
from exodus_storage_guard.batches import batches
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores.contract import Store
from exodus_storage_guard.tiering.workers import Workers

_AT_ONCE = 32  # few, since the first was looked at before all others, and is deleted with them


def delete(store: Store, wanted: Sequence[StoredObject], workers: Workers) -> Mapping[str, Exception]:
    """Delete exactly these objects, several batches at once; give the key of each that is there yet, and why.

    What others have deleted is gone as well. Raises `StoreFailed` where the store does not say what became of them:
    more is not deleted then, and the next run looks.
    """

    def delete_batch(batch: Sequence[StoredObject]) -> Mapping[str, Exception]:
        go_on()
        return store.delete_all(batch)

    left = dict[str, Exception]()
    for batch, failed in workers.over(delete_batch, batches(wanted, _AT_ONCE)):
        left |= {one.key: failed for one in batch} if isinstance(failed, Exception) else failed
    left |= _still_there(store, [one.key for one in wanted if one.key not in left], workers)
    return left


def _still_there(store: Store, keys: Sequence[str], workers: Workers) -> Mapping[str, Exception]:
    """Ask for all of them at once, which may take less, by a worker, who is watched.

    A run that was asked to end asks nevertheless: what was deleted is to be written down.
    """
    if not keys:
        return {}
    ((_, found),) = workers.over(lambda asked: store.present(asked, lambda _: workers.pulse.beat()), [keys])
    if isinstance(found, Exception):
        raise found
    told = "{}: {} was deleted and is still there: is its bucket versioned?"
    return {key: StoreFailed(told.format(store.name, printable(key))) for key in found}

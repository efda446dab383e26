"""Delete many objects, and see that they are gone."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from exodus_common.stopping import go_on
from exodus_common.terminal import printable
from exodus_storage_guard.batches import batches
from exodus_storage_guard.errors import ObjectChanged, StoreFailed
from exodus_storage_guard.model import Entry, StoredObject
from exodus_storage_guard.stores.contract import Store
from exodus_storage_guard.tiering.archive import digested
from exodus_storage_guard.tiering.workers import Workers

_LEAST_TIME = timedelta(seconds=1)  # a server tells an object's time by the second
_AT_ONCE = 32  # few, since the first was looked at before all others, and is deleted with them


def delete(
    store: Store, wanted: Sequence[StoredObject], workers: Workers, check: Callable[[], None]
) -> Mapping[str, Exception]:
    """Delete exactly these objects, several batches at once; give the key of each that is there yet, and why.

    `check` raises before a batch that is not to be deleted any more.

    What others have deleted is gone as well. Raises `StoreFailed` where the store does not say what became of them:
    more is not deleted then, and the next run looks.
    """

    def delete_batch(batch: Sequence[StoredObject]) -> Mapping[str, Exception]:
        go_on()
        check()
        return store.delete_all(batch)

    left = dict[str, Exception]()
    for batch, failed in workers.over(delete_batch, batches(wanted, _AT_ONCE)):
        left |= {one.key: failed for one in batch} if isinstance(failed, Exception) else failed
    left |= _still_there(store, [one.key for one in wanted if one.key not in left], workers)
    return left


def delete_proven(
    store: Store, proven: Sequence[Entry], workers: Workers, check: Callable[[], None]
) -> Mapping[str, Exception]:
    """Delete exactly what was proven, as `delete` does; what looks otherwise is read again, and its bytes decide.

    A link, other rights, or a server that tells times otherwise change how an object looks, and not what it is. What is
    newer than it was is another upload, whatever its bytes.
    """
    left = dict(delete(store, [entry.stored for entry in proven], workers, check))
    touched = [one for one in proven if one.sha256 is not None and isinstance(left.get(one.key), ObjectChanged)]
    for entry, result in workers.over(lambda one: _delete_as_read(store, one, check), touched):
        if isinstance(result, Exception):
            left[entry.key] = result
        else:
            del left[entry.key]
    return left


def _delete_as_read(store: Store, entry: Entry, check: Callable[[], None]) -> bool:
    found = store.stat(entry.key)
    if found is None:
        return False
    is_newer = found.last_modified > entry.stored.last_modified + _LEAST_TIME
    if found.bytes == entry.bytes and not is_newer:
        found, sha256 = digested(lambda: store.open(entry.key))
        if sha256 == entry.sha256:
            check()
            return store.delete(found)
    raise ObjectChanged(f"{store.name}: {printable(entry.key)} is not the object that was proven")


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

"""Delete many objects, and see that they are gone."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from exodus_common.terminal import printable
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores.contract import Store
from exodus_storage_guard.workers import Pulse, Workers

_AT_ONCE = 32  # the last of them is looked at no longer before it is deleted than the others take


@dataclass(frozen=True)
class Deleter:
    """Delete from a store, several batches at once; where nothing moves for too long, `StoreFailed` is raised."""

    store: Store
    parallel: int
    pulse: Pulse
    most_silent_seconds: float

    def delete(self, wanted: Sequence[StoredObject]) -> Mapping[str, Exception]:
        """Delete exactly these objects; give the key of each that is there yet, and why.

        What others have deleted is gone as well. Raises `StoreFailed` where the store does not say what became of them:
        more is not deleted then, and the next run looks.
        """
        left = dict[str, Exception]()
        workers = Workers(self.store.delete_all, self.parallel, self.pulse, self.most_silent_seconds)
        for batch, failed in workers.over(_batches(wanted)):
            left |= {one.key: failed for one in batch} if isinstance(failed, Exception) else failed
        left |= self._still_there([one.key for one in wanted if one.key not in left])
        return left

    def _still_there(self, keys: Sequence[str]) -> Mapping[str, Exception]:
        """Ask for all of them at once, which may take less, beside whoever watches that something moves."""
        if not keys:
            return {}
        workers = Workers(self._present, 1, self.pulse, self.most_silent_seconds)
        ((_, found),) = workers.over([keys])
        if isinstance(found, Exception):
            raise found
        told = "{}: {} was deleted and is still there: is its bucket versioned?"
        return {key: StoreFailed(told.format(self.store.name, printable(key))) for key in found}

    def _present(self, keys: Sequence[str]) -> Collection[str]:
        return self.store.present(keys, lambda size_bytes: self.pulse.beat())


def _batches(wanted: Sequence[StoredObject]) -> Iterator[Sequence[StoredObject]]:
    for first in range(0, len(wanted), _AT_ONCE):
        yield wanted[first : first + _AT_ONCE]

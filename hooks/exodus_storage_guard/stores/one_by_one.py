"""Delete a batch in a store that deletes one object at a time."""

from collections.abc import Mapping, Sequence

from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores.contract import Store


def delete_one_by_one(store: Store, batch: Sequence[StoredObject]) -> Mapping[str, ExodusError]:
    """Do what `Store.delete_all` promises."""
    failed: dict[str, ExodusError] = {}
    for stored in batch:
        try:
            store.delete(stored)
            if store.stat(stored.key) is not None:
                failed[stored.key] = still_there(store.name, stored.key)
        except ExodusError as error:
            failed[stored.key] = error
    return failed


def still_there(name: str, key: str) -> StoreFailed:
    """Say that a deletion did nothing."""
    return StoreFailed(f"{name}: {printable(key)} was deleted and is still there: is its bucket versioned?")

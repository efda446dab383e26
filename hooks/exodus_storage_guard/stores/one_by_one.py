"""Do to many objects what a store does to one at a time."""

from collections.abc import Collection, Mapping, Sequence

from exodus_common.errors import ExodusError
from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores.contract import Looks, Moved, Store


def delete_one_by_one(store: Store, batch: Sequence[StoredObject]) -> Mapping[str, ExodusError]:
    """Do what `Store.delete_all` promises."""
    failed: dict[str, ExodusError] = {}
    for stored in batch:
        try:
            store.delete(stored)
        except ExodusError as error:
            failed[stored.key] = error
    return failed


def stat_one_by_one(store: Store, keys: Sequence[str], moved: Moved) -> Looks:
    """Do what `Store.stat_all` promises, as long as the store answers."""
    found, failed = dict[str, StoredObject](), dict[str, ExodusError]()
    for key in keys:
        try:
            stored = store.stat(key)
        except ExodusError as error:
            failed[key] = error
        else:
            if stored is not None:
                found[key] = stored
        moved(0)
    return Looks(found, failed)


def present_one_by_one(store: Store, keys: Sequence[str], moved: Moved) -> Collection[str]:
    """Do what `Store.present` promises."""
    found = set[str]()
    for key in keys:
        if store.stat(key) is not None:
            found.add(key)
        moved(0)
    return found

"""Look whether store and archive are apart, whatever they are called: what is in one must not be in the other."""

import secrets
from contextlib import suppress

from exodus_common.errors import ExodusError, SettingsInvalid
from exodus_common.stopping import Stopped
from exodus_common.terminal import printable
from exodus_storage_guard.errors import KeyRefused
from exodus_storage_guard.model import Entry
from exodus_storage_guard.settings import Settings
from exodus_storage_guard.stores.contract import Store
from exodus_storage_guard.stores.locations import Bucket, Folder, Location
from exodus_storage_guard.stores.mounts import lie_in_each_other
from exodus_storage_guard.tiering.archive import MARK, Archive
from exodus_storage_guard.tiering.copy_names import OURS

_PROBE = f"{OURS}is-this-one-place"


def refuse_folders(settings: Settings) -> None:
    """Raise `SettingsInvalid` where the folders of store and archive lie in each other, past links and mounts."""
    store, archive = settings.store.location, settings.archive and settings.archive.location
    if isinstance(store, Folder) and isinstance(archive, Folder) and lie_in_each_other(store.path, archive.path):
        raise _one_place(str(store), str(archive))


def refuse_mark(store: Store, archive: Archive, archive_id: str, key: str = MARK) -> None:
    """Raise `SettingsInvalid` where a key of the store is the archive's mark; one small read where it is not."""
    if _holds(store, key, archive_id.encode()):
        refuse_one_place(store, archive, in_store=key.removesuffix(MARK))


def refuse_one_place(store: Store, archive: Archive, *, in_archive: str = "", in_store: str = "") -> None:
    """Write a probe into the archive and raise `SettingsInvalid` where it is seen in the store."""
    content = secrets.token_hex(16).encode()
    with archive.probed(f"{in_archive}{_PROBE}", content):
        seen = _holds(store, f"{in_store}{_PROBE}", content)
    if seen:
        raise _one_place(store.name, archive.name)


def refuse_store_in_archive(settings: Settings, store: Store, archive: Archive, known: Entry) -> None:
    """Raise `SettingsInvalid` where an object of the store is seen in the archive under an end of the store's path."""
    parts = _parts_of(settings.store.location)
    for begin in range(len(parts)):
        folder = "".join(f"{part}/" for part in parts[begin:])
        with suppress(KeyRefused):
            found = archive.store.stat(f"{folder}{known.key}")
            if found is not None and found.bytes == known.bytes:
                refuse_one_place(store, archive, in_archive=folder)


def _holds(store: Store, key: str, words: bytes) -> bool:
    try:
        return words in (store.read_small(key) or b"")
    except Stopped:
        raise
    except ExodusError:  # a link, which no store follows; or what cannot be read, and so is nothing that we wrote
        return False


def _parts_of(where: Location) -> tuple[str, ...]:
    if isinstance(where, Bucket):
        return (where.name, *where.prefix.rstrip("/").split("/")) if where.prefix else (where.name,)
    return where.path.parts[1:]


def _one_place(store: str, archive: str) -> SettingsInvalid:
    return SettingsInvalid(
        f"the archive {printable(archive)} and the store {printable(store)} are one place, or lie in each other: "
        "what is deleted in the store would be gone from the archive; name another place in archive.url"
    )

"""Try each right that the guard needs in a store, on an object of its own name; say what lacks, and what gives it."""

import os
import secrets
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from itertools import islice
from pathlib import Path

from exodus_storage_guard.errors import NotFreeable, StoreFailed, StoreFull
from exodus_storage_guard.model import Entry
from exodus_storage_guard.processes import user_name
from exodus_storage_guard.stores.contract import Store
from exodus_storage_guard.stores.locations import Bucket, Folder
from exodus_storage_guard.stores.settings import StoreSettings
from exodus_storage_guard.tiering.copy_names import OURS
from exodus_storage_guard.tiering.run import Run

PROBE = f"{OURS}may-the-guard-do-this"
_LOOKED_FOR = 5


def is_probe(key: str) -> bool:
    """Tell whether a key is that of the object that rights are tried with; a killed run may have left it."""
    return key.rpartition("/")[2] == PROBE


class Right(StrEnum):
    """Name what may be lacking."""

    LIST = "list"
    WRITE = "write"
    READ = "read"
    DELETE = "delete"


_ACTIONS = {
    Right.LIST: "s3:ListBucket",
    Right.WRITE: "s3:PutObject",
    Right.READ: "s3:GetObject",
    Right.DELETE: "s3:DeleteObject (with versions s3:DeleteObjectVersion and s3:ListBucketVersions as well)",
}


@contextmanager
def named(place: StoreSettings, right: Right) -> Iterator[None]:
    """Name the right that is lacking for what is done in a block, and the command or action that gives it."""
    try:
        yield
    except StoreFailed as error:
        if not error.lacks_right:
            raise
        lacks = f"the guard may not {right} in {place.location}: {error}"
        raise StoreFailed.for_lack_of_a_right(f"{lacks}. {_remedy(place, right)}") from error


def try_out(run: Run) -> None:
    """List, write, read and delete in the store; raise `StoreFailed` for what the guard may not."""
    place, store = run.settings.store, run.store
    with named(place, Right.LIST):
        next(store.listing(), None)
    _try_out_in(place, store, "")


def try_out_objects(run: Run) -> None:
    """Do so beside what the catalogue has, and read some of that: its folders and files are those of others."""
    place, pattern = run.settings.store, run.settings.selection().pattern
    selected = (entry for entry in run.catalogue.candidates() if pattern.search(entry.key))
    some = list(islice(selected, _LOOKED_FOR))
    for folder in {f"{above}/" for above, _, _ in (entry.key.rpartition("/") for entry in some) if above}:
        _try_out_in(place, run.store, folder)
    _read_any(place, run.store, some)


def _try_out_in(place: StoreSettings, store: Store, folder: str) -> None:
    """Leave nothing behind; what has no room for a probe, or keeps it for a while, is swept all the same."""
    key, content = f"{folder}{PROBE}", secrets.token_hex(16).encode()
    with suppress(StoreFull, NotFreeable):
        with named(place, Right.WRITE):
            store.write_small(key, content)
        with named(place, Right.READ):
            if store.read_small(key) != content:
                raise StoreFailed(f"{store.name}: what was written there is not read back")
        with named(place, Right.DELETE):
            _delete(store, key)


def _delete(store: Store, key: str) -> None:
    stored = store.stat(key)
    if stored is not None:
        store.delete(stored)


def _read_any(place: StoreSettings, store: Store, some: list[Entry]) -> None:
    """Raise what keeps from reading them if none can be read: one that cannot is its own affair."""
    error: StoreFailed | None = None
    for entry in some:
        try:
            with named(place, Right.READ), store.open(entry.key) as (_, chunks):
                next(chunks, None)
            return
        except StoreFailed as failed:
            error = failed
    if error is not None and error.lacks_right:
        raise error


def _remedy(place: StoreSettings, right: Right) -> str:
    where = place.location
    if isinstance(where, Bucket):
        whole = f"arn:aws:s3:::{where.name}{'' if right is Right.LIST else '/*'}"
        return (
            f"Its policy needs {_ACTIONS[right]} on {whole} (docs/minio.md has all of it, and the mc commands); "
            f"Garage: garage bucket allow --read --write {where.name} --key KEY"
        )
    if isinstance(where, Folder):
        return f"As root: {_for_folder(where.path)}"
    return f"Over there, as root: chown -R {where.user or 'USER'} {shlex.quote(str(where.path))}"


def _for_folder(folder: Path) -> str:
    """Give the commands that let this user in: where a folder above is closed to him, into that first."""
    closed = next((one for one in reversed(folder.parents) if not os.access(one, os.X_OK)), None)
    enters = [] if closed is None else [f"chmod u+x {_q(closed)}" if _owns(closed) else _acl(closed, "x", "-m")]
    if _owns(folder):  # an owner is bound by his own bits, whatever a list says
        return "; ".join([*enters, f"chmod -R u+rwX {_q(folder)}"])
    return "; ".join([*enters, f"{_acl(folder, 'rwX', '-R -m')} (apt install acl)"])


def _acl(folder: Path, may: str, options: str) -> str:
    entry = f"u:{user_name(os.geteuid())}:{may}"
    return f"setfacl {options} {entry}{f',d:{entry}' if '-R' in options else ''} {_q(folder)}"


def _owns(folder: Path) -> bool:
    try:
        return folder.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _q(folder: Path) -> str:
    return shlex.quote(str(folder))

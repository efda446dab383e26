"""Find every copy of an object in the archive, older ones and those that were put aside, too; and remove them."""

from collections.abc import Sequence
from dataclasses import dataclass

from exodus_common.terminal import printable
from exodus_storage_guard.errors import ObjectMissing, StoreFailed
from exodus_storage_guard.model import Entry, ObjectState
from exodus_storage_guard.state.contract import Change
from exodus_storage_guard.tiering.archive import Archive
from exodus_storage_guard.tiering.copy_names import (
    MANIFEST,
    is_named_for,
    is_ours,
    manifest_name,
    may_be_of,
    name_before,
)
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.transitions import Event


@dataclass(frozen=True, slots=True)
class Copies:
    """Name the copies of an object, what is known last; `similar` are files that nothing says of whose they are."""

    names: Sequence[str]
    similar: Sequence[str]

    @property
    def left(self) -> str:
        """Name what may be of the object, as nobody but the operator can tell."""
        names = ", ".join(map(printable, self.similar))
        return f"; nothing says whose these are, and they were left: {names}" if names else ""


def copies_of(run: Run, entry: Entry) -> Copies:
    """Give what is known and what lies in the archive of a key: nothing is left that a rebuild would take for it.

    Raises `ObjectMissing` where a copy lies in another archive, `StoreFailed` where what is known is another key's.
    """
    archive, key, known = run.proving_archive, entry.key, _known(run, entry)
    found = _named(archive, key).difference(known)
    owned = run.catalogue.owners_of_copies({*known, *found, *map(name_before, found)})
    others = {name for name, owner in owned if owner != key}
    for name in known:
        if name in others or not _is_as_known(archive, name, key):
            raise StoreFailed(
                f"{printable(name)} in {archive.name} is no copy of {printable(key)}, whatever the catalogue says: "
                "nothing was removed. Who wrote to it? Move the catalogue away, and run: exodus-storage-guard rebuild"
            )
    names, similar = list[str](), list[str]()
    for name in sorted(found - others):
        described, before = archive.key_of(name), name_before(name)
        if described == key or (described is None and before not in others and is_named_for(before, key)):
            names.append(name)
        elif described is None:
            similar.append(name)
    return Copies([*names, *known], similar)


def forgotten(run: Run, entry: Entry) -> Entry:
    """Know an object as forgotten, before anything is removed: what is uploaded from then on is another one.

    Raises `StoreFailed` where it was changed since it was read: it may be back, with the same bytes and ETag.
    """
    now = run.catalogue.get(entry.key)
    if now is not None and (now.state, now.since, now.copy) == (entry.state, entry.since, entry.copy):
        for made in run.catalogue.change([Change(entry, Event.FORGOTTEN, "by hand")], run.clock.now()):
            return made
    raise StoreFailed(f"{printable(entry.key)} was changed meanwhile, and nothing was removed; run it again")


def remove(run: Run, entry: Entry, names: Sequence[str]) -> None:
    """Remove copies, and see that they are gone; raise `StoreFailed` once their object is not forgotten any more."""
    archive = run.proving_archive
    for name in names:
        now = run.catalogue.get(entry.key)
        if now is None or (now.state, now.since) != (entry.state, entry.since):
            raise StoreFailed(f"{printable(name)} was not removed, for its object was changed meanwhile; run it again")
        archive.remove(name)
    left = archive.store.present([*names, *map(manifest_name, names)])
    if left:
        raise StoreFailed(f"{archive.name}: {', '.join(map(printable, left))} was removed and is still there")


def _known(run: Run, entry: Entry) -> list[str]:
    known = [one.name for one in run.catalogue.copies_of(entry.key)][::-1]
    if entry.state is not ObjectState.GONE and entry.copy is not None and entry.copy not in known:
        known.append(entry.copy)
    for name in known:
        if told := run.elsewhere(entry.key, name):
            raise ObjectMissing(told)
    return known


def _is_as_known(archive: Archive, name: str, key: str) -> bool:
    described = archive.key_of(name)
    return may_be_of(name, key) if described is None else described == key and not is_ours(name)


def _named(archive: Archive, key: str) -> set[str]:
    """Look through the whole archive, since the names of what was put aside are not known; manifests are read later."""
    listed = (stored.key.removesuffix(MANIFEST) for stored in archive.store.listing())
    return {name for name in listed if may_be_of(name_before(name), key) and not is_ours(name_before(name))}

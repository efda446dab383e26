"""Remove every copy of a key from the archive: older ones, and those that were put aside, too."""

from collections.abc import Collection, Iterable

from exodus_common.terminal import printable
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.tiering.archive import Archive
from exodus_storage_guard.tiering.copy_names import MANIFEST, manifest_name, may_be_of, name_before


def remove_every_copy(archive: Archive, key: str, known: Collection[str]) -> int:
    """Remove what is known and what lies in the archive of a key, and see that it is gone; give how many there were.

    Nothing is left that a rebuild would take for an archived object. What the catalogue knows goes last: where this is
    cut short, it is done again. Raises `StoreFailed`, before anything is removed, where one of `known` is another's.
    """
    for name in known:
        if not archive.is_of(name, key):
            raise StoreFailed(
                f"{printable(name)} in {archive.name} is no copy of {printable(key)}, whatever the catalogue says: "
                "nothing was removed. Who wrote to it? Move the catalogue away, and run: exodus-storage-guard rebuild"
            )
    found = [name for name in sorted(_named(archive, key)) if name not in known and archive.is_of(name, key)]
    names = [*found, *known]
    for name in names:
        archive.remove(name, key)
    left = archive.store.present([*names, *map(manifest_name, names)])
    if left:
        raise StoreFailed(f"{archive.name}: {', '.join(map(printable, left))} was removed and is still there")
    return len(names)


def _named(archive: Archive, key: str) -> Iterable[str]:
    """Look through the whole archive, since the names of what was put aside are not known; manifests are read later."""
    listed = (stored.key.removesuffix(MANIFEST) for stored in archive.store.listing())
    return {name for name in listed if may_be_of(name_before(name), key)}

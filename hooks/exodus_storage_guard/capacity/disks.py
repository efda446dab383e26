"""Remember on which disks a store and an archive lie, and tell when one is not mounted, or a folder cannot be entered.

What is below a bare mount point is another place. It is remembered for this machine alone: on another one the same
path may be anything.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from exodus_common.terminal import printable
from exodus_storage_guard import processes
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.settings import Settings
from exodus_storage_guard.state.contract import Catalogue
from exodus_storage_guard.stores.directory.filesystem import obstacle
from exodus_storage_guard.stores.locations import Folder
from exodus_storage_guard.stores.mounts import disk_of, is_mounted


def remember(settings: Settings, catalogue: Catalogue, *, anew: bool) -> None:
    """Write down where the disks are mounted that the store and what is measured lie on; what is known only `anew`."""
    _remember(_places(settings), catalogue, anew=anew)


def remember_archive(settings: Settings, catalogue: Catalogue, *, anew: bool) -> None:
    """Write down the same of an archive that has just shown our mark."""
    _remember(_archive_places(settings), catalogue, anew=anew)


def _remember(places: Iterable[Path], catalogue: Catalogue, *, anew: bool) -> None:
    known = catalogue.settled()
    for path in places:
        is_known = processes.is_of_this_machine(known.get(_name(path), ""))
        if _is_there(path) and (anew or not is_known):
            machine, _, _ = processes.this_process().partition(" ")
            catalogue.settle(_name(path), f"{machine} {disk_of(path) or ''}")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # it may not be looked at
        return False


def away(settings: Settings, known: Mapping[str, str]) -> str:
    """Say which disk is not mounted, or what of a store cannot be reached, and what to do; nothing where all can."""
    for path in _remembered(_places(settings), known):
        moved = "if the store has moved from that disk: exodus-storage-guard init --new-store"
        if told := _unmounted(path, known, moved) or _closed(path, "the store", enters=path in _entered(settings)):
            return told
    return ""


def archive_away(settings: Settings, known: Mapping[str, str]) -> str:
    """Say the same of an archive that is a folder of this machine; of another one only a sweep knows."""
    for path in _remembered(_archive_places(settings), known):
        moved = "if the archive has moved from that disk: exodus-storage-guard init"
        if told := _unmounted(path, known, moved) or _closed(path, "the archive", enters=True):
            return told
    return ""


def _remembered(places: Iterable[Path], known: Mapping[str, str]) -> Iterator[Path]:
    return (path for path in places if processes.is_of_this_machine(known.get(_name(path), "")))


def _unmounted(path: Path, known: Mapping[str, str], moved: str) -> str:
    _, _, point = known[_name(path)].partition(" ")
    if not point or is_mounted(Path(point)):
        return ""
    return f"{printable(point)} is not mounted, and {printable(str(path))} was on the disk there: mount it; {moved}"


def _closed(path: Path, what: str, *, enters: bool) -> str:
    """Say why a folder cannot be reached, or entered where we have to; a disk may be measured from above its folder."""
    try:
        os.stat(os.path.join(path, ".") if enters else path)  # noqa: PTH116, PTH118 - pathlib drops the dot
    except OSError:
        return f"{what} cannot be reached ({printable(str(path))}): {printable(obstacle(path))}"
    return ""


def refuse_away(settings: Settings, catalogue: Catalogue) -> None:
    """Raise `StoreFailed` where the store is away: what is below the mount point of its disk is another place."""
    if told := away(settings, catalogue.settled()):
        raise StoreFailed(told)


def _places(settings: Settings) -> Iterator[Path]:
    yield from _entered(settings)
    measured = settings.measured_path
    if settings.capacity.source == "filesystem" and measured is not None:
        yield measured


def _entered(settings: Settings) -> Iterator[Path]:
    where = settings.store.location
    if isinstance(where, Folder):
        yield where.path


def _archive_places(settings: Settings) -> Iterator[Path]:
    where = settings.archive and settings.archive.location
    if isinstance(where, Folder):
        yield where.path


def _name(path: Path) -> str:
    return f"disk:{path}"

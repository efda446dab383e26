"""Remember on which disks a store lies, and tell when one is not mounted: what is below a bare mount point is another.

It is remembered for this machine alone: on another one the same path may be anything.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from exodus_common.terminal import printable
from exodus_storage_guard import processes
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.settings import Settings
from exodus_storage_guard.state.contract import Catalogue
from exodus_storage_guard.stores.locations import Folder
from exodus_storage_guard.stores.mounts import disk_of, is_mounted


def remember(settings: Settings, catalogue: Catalogue, *, anew: bool) -> None:
    """Write down where the disks are mounted that the store and what is measured lie on; what is known only `anew`."""
    known = catalogue.settled()
    for path in _places(settings):
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
    """Say which disk is not mounted, and what to do; nothing where all are."""
    for path in _places(settings):
        told = known.get(_name(path), "")
        _, _, point = told.partition(" ")
        if point and processes.is_of_this_machine(told) and not is_mounted(Path(point)):
            what = printable(str(path))
            return (
                f"{printable(point)} is not mounted, and {what} was on the disk there: mount it; "
                "if the store has moved from that disk: exodus-storage-guard init --new-store"
            )
    return ""


def refuse_away(settings: Settings, catalogue: Catalogue) -> None:
    """Raise `StoreFailed` where a disk is not mounted: what is below its mount point is not the store."""
    if told := away(settings, catalogue.settled()):
        raise StoreFailed(told)


def _places(settings: Settings) -> Iterator[Path]:
    where = settings.store.location
    if isinstance(where, Folder):
        yield where.path
    measured = settings.measured_path
    if settings.capacity.source == "filesystem" and measured is not None:
        yield measured


def _name(path: Path) -> str:
    return f"disk:{path}"

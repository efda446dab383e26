"""Say what runs found that is not right: the state keeps it for `check`, until a later run finds it mended."""

from collections.abc import Iterable, Mapping

from exodus_storage_guard.model import Capacity, Total, Verdict
from exodus_storage_guard.sizes import shown

SWEEP, ARCHIVE, PATTERN = "found_by_sweep", "found_in_archive", "found_by_pattern"
"""Under what it is settled how the last sweep failed, how little room its archive has, and what the pattern misses."""
_ALL = (SWEEP, ARCHIVE, PATTERN)
_FEWEST_FILES = 16  # several copies are made at once, each with its manifest
_LITTLE = 50  # parts of the whole
_MOST_CHARACTERS = 2000

Finding = tuple[Verdict, str]


def written(found: Finding | None) -> str:
    """Write a finding as the state keeps it; nothing where all is well."""
    return "" if found is None else f"{found[0].value} {found[1][:_MOST_CHARACTERS]}"


def read(text: str) -> Finding | None:
    """Read what was written; what is none any more says nothing."""
    verdict, _, reason = text.partition(" ")
    known = {one.value: one for one in Verdict}
    return (known[verdict], reason) if verdict in known and reason else None


def found(settled: Mapping[str, str]) -> Iterable[Finding]:
    """Give all that is not right by what runs found."""
    return [one for name in _ALL if (one := read(settled.get(name, ""))) is not None]


def has_failed(settled: Mapping[str, str]) -> bool:
    """Tell whether the last sweep failed: another one makes no room before that is mended."""
    last = read(settled.get(SWEEP, ""))
    return last is not None and last[0] is Verdict.CRITICAL


def of_archive(capacity: Capacity, in_store: Total) -> Finding | None:
    """Judge the room in an archive by what an object takes there."""
    usual = in_store.bytes // max(1, in_store.count)
    if capacity.free_files is not None and capacity.free_files < _FEWEST_FILES:
        return Verdict.CRITICAL, "the archive is full: it is out of inodes; make room there"
    if capacity.free_bytes <= usual:
        return Verdict.CRITICAL, f"the archive is full: it has {shown(capacity.free_bytes)} left; make room there"
    if capacity.free_bytes < capacity.total_bytes // _LITTLE:
        return Verdict.WARNING, f"the archive has only {shown(capacity.free_bytes)} left; make room there"
    return None

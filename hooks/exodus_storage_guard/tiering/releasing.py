"""The last look before an original is deleted: what is not seen to be as it was proven stays in the store."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from exodus_common.terminal import printable
from exodus_storage_guard.errors import ObjectChanged, ObjectMissing
from exodus_storage_guard.model import Entry
from exodus_storage_guard.state.contract import Change
from exodus_storage_guard.tiering.archive import Archive, Seen
from exodus_storage_guard.tiering.workers import Workers
from exodus_storage_guard.transitions import Event


@dataclass
class Looked:
    """Hold what may be deleted now, and what is to be written down of the rest; an error where it could not be seen."""

    proven: list[Entry] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    errors: list[tuple[Entry, Exception]] = field(default_factory=list)


def look(archive: Archive, claimed: Sequence[Entry], workers: Workers, now: datetime) -> Looked:
    """See of each copy, many at once, that it and its manifest look as they did when they were proven.

    A copy that looks otherwise, or of which nobody wrote down how it looks, is read again: its bytes decide. Since that
    takes time, all of them are looked at once more at the end.
    """
    looked, doubtful = Looked(), list[Entry]()
    before = _seen(archive, claimed, workers)
    for entry in claimed:
        name = entry.copy or ""
        mark = before.marks.get(name)
        if name in before.failed:
            looked.errors.append((entry, before.failed[name]))
        elif mark is not None and mark == entry.copy_mark:
            looked.proven.append(entry)
        elif name in before.marks:
            doubtful.append(entry)
        else:
            looked.changes.append(Change(entry, Event.COPY_LOST, f"its copy {_shown(entry)} is not in the archive"))
    for entry, found in workers.over(lambda one: _read_again(archive, one, workers, now), doubtful):
        if isinstance(found, Exception):
            looked.errors.append((entry, found))
        elif found is not None:
            looked.changes.append(found)
        else:
            looked.proven.append(entry)
    return _unchanged(looked, before, _seen(archive, looked.proven, workers)) if doubtful else looked


def _seen(archive: Archive, entries: Sequence[Entry], workers: Workers) -> Seen:
    """Look by a worker, who is watched: an archive may hang."""
    names = [entry.copy for entry in entries if entry.copy is not None]
    return workers.watched(lambda: archive.look(names, workers.pulse.moved))


def _unchanged(looked: Looked, before: Seen, after: Seen) -> Looked:
    """Keep what looks as it did before others were read; what does not is the next run's."""
    proven = list[Entry]()
    for entry in looked.proven:
        name = entry.copy or ""
        if name in after.marks and after.marks[name] == before.marks[name]:
            proven.append(entry)
        else:
            why = ObjectChanged(f"its copy {_shown(entry)} was changed while others were read")
            looked.errors.append((entry, after.failed.get(name, why)))
    return Looked(proven, looked.changes, looked.errors)


def _read_again(archive: Archive, entry: Entry, workers: Workers, now: datetime) -> Change | None:
    """Prove a copy once more; give what is to be written down where it is none."""
    name = entry.copy or ""
    try:
        if not archive.describes(name, entry):
            return Change(entry, Event.COPY_LOST, f"the manifest of its copy {_shown(entry)} is gone or says otherwise")
        sha256 = archive.sha256(name, workers.pulse.moved)
    except ObjectMissing:
        return Change(entry, Event.COPY_LOST, f"its copy {_shown(entry)} is not in the archive")
    if sha256 == entry.sha256:
        return None
    archive.quarantine(name, workers.pulse.moved)
    reason = f"its copy {_shown(entry)} reads back as {sha256}, and is put aside"
    return Change(entry, Event.COPY_DIFFERED, reason, retry_at=now)


def _shown(entry: Entry) -> str:
    return printable(entry.copy or "")

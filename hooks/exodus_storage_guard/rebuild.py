"""The stories of `init` and `rebuild`: make the state, try the settings out, and make a lost catalogue anew."""

import uuid
from dataclasses import dataclass

from exodus_common.terminal import printable
from exodus_storage_guard import capacity
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.model import Entry, ObjectState, Total
from exodus_storage_guard.run import Run
from exodus_storage_guard.settings import marks
from exodus_storage_guard.sync import sync


@dataclass(frozen=True, slots=True)
class Initialised:
    """Report what `init` or `rebuild` found."""

    listed: Total
    archived: int = 0
    problems: tuple[str, ...] = ()


def initialise(run: Run) -> Initialised:
    """Try the settings against the real store and archive, mark the archive as ours, make the first catalogue."""
    run.catalogue.create()
    _mark(run)
    measured = run.measure()
    if measured is None:
        raise StoreFailed(capacity.unmeasured(run.settings))
    marks(run.settings, measured.total_bytes)
    return Initialised(sync(run).listed)


def rebuild(run: Run) -> Initialised:
    """Make a lost catalogue from the store and the archive's manifests; what is known already stays as it is."""
    run.catalogue.create()
    _mark(run)
    listed = sync(run).listed
    archived, problems = 0, list[str]()
    archive = run.proving_archive
    for name, manifest in archive.manifests():
        copy = archive.store.stat(name)
        if copy is None or copy.bytes != manifest.bytes:
            problems.append(f"{printable(name)}: its manifest is there, and its copy is missing or of another size")
            continue
        entry = Entry(manifest.stored, ObjectState.ARCHIVED, manifest.archived_at, manifest.sha256, name)
        archived += run.catalogue.adopt(entry, "known from its manifest")
    return Initialised(listed, archived, tuple(problems))


def _mark(run: Run) -> None:
    """Mark the archive, or take over the mark that it bears."""
    if run.archive is not None:
        wanted = run.catalogue.settled().get("archive", uuid.uuid4().hex)
        run.catalogue.settle("archive", run.archive.mark(wanted, run.clock.now()))

"""The story of `init`: make the state, and try the settings out against the real store and archive."""

import uuid
from dataclasses import dataclass

from exodus_storage_guard.capacity import measurement
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.model import Total
from exodus_storage_guard.settings import marks
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.tiering.sync import sync


@dataclass(frozen=True, slots=True)
class Initialised:
    """Report what `init` or `rebuild` found; `adopted` counts plain files of an archive that was made by hand."""

    listed: Total
    archived: int = 0
    problems: tuple[str, ...] = ()
    adopted: int = 0


def initialise(run: Run) -> Initialised:
    """Try the settings against the real store and archive, mark the archive as ours, make the first catalogue."""
    run.catalogue.create()
    mark(run)
    measured = run.measure()
    if measured is None:
        raise StoreFailed(measurement.unmeasured(run.settings))
    marks(run.settings, measured.total_bytes)
    return Initialised(sync(run).listed)


def mark(run: Run) -> None:
    """Mark the archive, or take over the mark that it bears."""
    if run.archive is not None:
        wanted = run.catalogue.settled().get("archive", uuid.uuid4().hex)
        run.catalogue.settle("archive", run.archive.mark(wanted, run.clock.now()))

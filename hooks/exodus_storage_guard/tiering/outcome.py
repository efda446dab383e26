"""Write down how a sweep ended, for `check`: what only a sweep can see is known by it until the next good one."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from exodus_common.clock import Clock
from exodus_common.errors import ExodusError, SettingsInvalid, TryLater
from exodus_common.render import instant
from exodus_common.stopping import Stopped
from exodus_storage_guard import findings, state_identity
from exodus_storage_guard.model import IN_STORE, Verdict
from exodus_storage_guard.settings import Settings
from exodus_storage_guard.state.contract import Catalogue
from exodus_storage_guard.tiering.run import Run, in_store

_log = logging.getLogger(__name__)


@contextmanager
def noted(settings: Settings, catalogue: Catalogue, clock: Clock) -> Iterator[None]:
    """Have a sweep that ends with an error be known to have failed; who asked it to end, or came too early, knows."""
    try:
        yield
    except (Stopped, TryLater):
        raise
    except ExodusError as error:
        try:
            with suppress(SettingsInvalid):  # another store's state is none of our business
                state_identity.refuse_another_store(catalogue.settled(), settings.store.identity)
                catalogue.settle(findings.SWEEP, _written(Verdict.CRITICAL, str(error), clock))
        except ExodusError as unwritten:
            _log.info("that the sweep failed is not written down: %s", unwritten)
        raise


def note_failure(run: Run, verdict: Verdict, reason: str) -> None:
    """Write down that a sweep failed, and when."""
    run.catalogue.settle(findings.SWEEP, _written(verdict, reason, run.clock))


def note_success(run: Run) -> None:
    """Take back that one failed."""
    if run.catalogue.settled().get(findings.SWEEP):
        run.catalogue.settle(findings.SWEEP, "")


def _written(verdict: Verdict, reason: str, clock: Clock) -> str:
    told = f"the last sweep failed ({instant(clock.now())}): {reason}"
    return findings.written((verdict, f"{told}; once that is mended: exodus-storage-guard sweep --retry"))


def look_at_archive(run: Run) -> str:
    """Judge the room in the archive, as far as it tells, and write it down; give what is wrong with it."""
    if run.archive is None:
        return ""
    try:
        capacity = run.archive.store.capacity()
    except ExodusError as error:
        _log.info("the room in the archive is not known: %s", error)
        return ""
    found = None if capacity is None else findings.of_archive(capacity, in_store(run.catalogue.totals(), IN_STORE))
    if run.catalogue.settled().get(findings.ARCHIVE, "") != findings.written(found):
        run.catalogue.settle(findings.ARCHIVE, findings.written(found))
    return found[1] if found else ""

"""What one run works with: the settings and the doors they lead to."""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from exodus_common.clock import Clock
from exodus_common.errors import SettingsInvalid
from exodus_common.terminal import printable
from exodus_storage_guard import policy, processes, state_identity
from exodus_storage_guard.admission import making_room
from exodus_storage_guard.capacity import disks, measurement
from exodus_storage_guard.errors import NotInitialised, ObjectMissing
from exodus_storage_guard.model import Capacity, Entry, ObjectState, Total
from exodus_storage_guard.policy import BelievedNow, Selection
from exodus_storage_guard.settings import Settings
from exodus_storage_guard.state import opening as state
from exodus_storage_guard.state.contract import Catalogue
from exodus_storage_guard.stores import opening as stores
from exodus_storage_guard.stores.contract import Store
from exodus_storage_guard.tiering import separation
from exodus_storage_guard.tiering.archive import Archive
from exodus_storage_guard.tiering.copy_names import whereabouts
from exodus_storage_guard.tiering.heartbeat import DEAD_AFTER_SECONDS, heartbeat
from exodus_storage_guard.tiering.workers import Pulse, Workers

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """Hold the doors of one run; `archive` is None where objects are pruned."""

    settings: Settings
    clock: Clock
    catalogue: Catalogue
    store: Store
    archive: Archive | None
    owner: str

    @classmethod
    def begin(cls, settings: Settings, clock: Clock) -> "Run":
        """Open the doors that the settings name; raise `SettingsInvalid` where the state is that of another store."""
        run = cls.opened(settings, clock)
        with suppress(NotInitialised):  # what needs a catalogue says so itself
            state_identity.refuse_another_store(run.catalogue.settled(), settings.store.identity)
        return run

    @classmethod
    def opened(cls, settings: Settings, clock: Clock) -> "Run":
        """Open the doors, whosever the state is: for `init`, which settles that."""
        seconds = settings.sweep.request_timeout_seconds
        store = stores.opened(settings.store, seconds)
        archive = Archive(stores.opened(settings.archive, seconds)) if settings.archive else None
        return cls(settings, clock, state.opened(settings.state), store, archive, processes.this_process())

    @property
    def proving_archive(self) -> Archive:
        """Give the archive, once it bears the mark that `init` made; nothing is ever written to another place."""
        if self.archive is None:
            known = self.catalogue.settled()
            archive_id = known.get(state_identity.ARCHIVE)
            named = (
                f"; what was archived before lies in {state_identity.called(known, archive_id)}" if archive_id else ""
            )
            raise SettingsInvalid(
                f'there is no [archive], since select.action = "prune" deletes for good{named}: '
                'to reach copies, name their archive in archive.url, with select.action = "archive"'
            )
        self.see_mark()
        return self.archive

    def see_mark(self) -> None:
        """See that the archive is still the one that `init` marked; raise `NotInitialised` where it is not."""
        assert self.archive is not None
        self.archive.check_mark(self.settled(state_identity.ARCHIVE))

    def archive_of(self, entry: Entry) -> Archive:
        """Give the archive that an object's copy lies in; raise `ObjectMissing` where that is one of before."""
        if told := self.elsewhere(entry.key, entry.copy or ""):
            raise ObjectMissing(told)
        return self.proving_archive

    def elsewhere(self, key: str, copy: str) -> str:
        """Say where a copy lies, and what to do, where that is an archive of before; else nothing."""
        archive_id, name = whereabouts(copy)
        if archive_id is None:
            return ""
        called = state_identity.called(self.catalogue.settled(), archive_id)
        return (
            f"the copy of {printable(key)} lies in {called}, as {printable(name)}, and the "
            "settings name another archive: take it from there, or name that one in archive.url and run: "
            "exodus-storage-guard init --new-archive"
        )

    def check_places(self) -> None:
        """See that state, store and archive still belong together, and are apart: right before anything is deleted.

        It takes a look at the state and three at the places. Raises `SettingsInvalid`, `StoreFailed` where a disk is
        not mounted, or `NotInitialised` where the archive does not bear our mark.
        """
        state_identity.refuse_another_store(self.catalogue.settled(), self.settings.store.identity)
        disks.refuse_away(self.settings, self.catalogue)
        if self.archive is not None:
            separation.refuse_folders(self.settings)
            separation.refuse_mark(self.store, self.proving_archive, self.settled(state_identity.ARCHIVE))

    def settled(self, name: str) -> str:
        """Give what `init` wrote down."""
        try:
            return self.catalogue.settled()[name]
        except KeyError:
            raise NotInitialised(f"{name} is not known yet; run: exodus-storage-guard init") from None

    def measure(self) -> Capacity | None:
        """Measure the store now and remember it; where that cannot be done give what was measured last."""
        return measurement.measure(self.settings, self.catalogue, self.clock.now())

    def believed_now(self) -> BelievedNow:
        """Say which instant ages go by: an object is as old as this machine and the store both have it."""
        found = policy.believed(self.clock.now(), self.store.now())
        if found.warning:
            _log.warning("%s", found.warning)
        return found

    def selection(self) -> Selection:
        """Say what may be swept now: keys under a reservation are being uploaded."""
        return self.settings.selection(making_room.uploading(self.catalogue, self.clock.now()))

    def lives(self, owner: str) -> bool:
        """Tell whether a run that claimed something may still be at work; one elsewhere shows signs of life."""
        if owner == self.owner:
            return True
        if processes.is_of_this_machine(owner):
            return processes.is_alive(owner)
        silent_seconds = self.catalogue.silent_seconds(owner)
        return silent_seconds is not None and silent_seconds < DEAD_AFTER_SECONDS

    def workers(self, pulse: Pulse) -> Workers:
        """Give who does several things at once, as many as the settings say, and does not wait for one that hangs."""
        return Workers(self.settings.sweep.parallel, pulse, self.settings.sweep.request_timeout_seconds)

    def heartbeat(self) -> AbstractContextManager[None]:
        """Show signs of life for the time of a block."""
        return heartbeat(self.catalogue, self.owner)


def in_store(totals: Mapping[ObjectState, Total], states: frozenset[ObjectState]) -> Total:
    """Add up what is in some states."""
    return sum((total for state, total in totals.items() if state in states), Total())

"""What an admission works with."""

from dataclasses import dataclass
from typing import BinaryIO

from exodus_common.clock import Clock
from exodus_common.terminal import printable
from exodus_storage_guard import policy, state_identity
from exodus_storage_guard.admission.sweeper import Sweeper
from exodus_storage_guard.capacity import measurement
from exodus_storage_guard.errors import ObjectMissing
from exodus_storage_guard.model import Capacity, Need
from exodus_storage_guard.settings import Settings
from exodus_storage_guard.state.contract import Catalogue


class _Nobody:
    """Make no room: for whoever only asks."""

    def release(self, need: Need) -> None:
        """Do nothing."""

    def start_sweep(self, need: Need | None) -> bool:
        """Do nothing."""
        return False

    def look(self) -> None:
        """Do nothing."""

    def fetch(self, key: str, target: BinaryIO) -> None:
        """Have nothing."""
        raise ObjectMissing(f"nobody fetches {printable(key)} here")


NOBODY: Sweeper = _Nobody()


@dataclass(frozen=True)
class AdmissionControl:
    """Hold what an admission works with; none of it knows a secret of the store."""

    settings: Settings
    catalogue: Catalogue
    clock: Clock
    sweeper: Sweeper

    def refuse_another_store(self) -> None:
        """Raise `SettingsInvalid` where the state is that of another store than the settings name."""
        state_identity.refuse_another_store(self.catalogue.settled(), self.settings.store.identity)

    def measure(self) -> Capacity | None:
        """Measure the store; None where there is no measurement that is fresh enough."""
        found = measurement.known(self.settings, self.catalogue, self.clock.now())
        return found if self.is_fresh(found) else None

    def is_fresh(self, measured: Capacity | None) -> bool:
        """Tell whether a measurement is one at this moment; a budget is counted anew each time."""
        if self.settings.capacity.source == "budget":
            return True
        return policy.is_fresh(measured, self.clock.now(), self.settings.capacity.max_age_seconds)

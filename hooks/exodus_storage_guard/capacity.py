"""Measure the store: its filesystem, or a budget."""

from datetime import datetime

from exodus_storage_guard.model import IN_STORE, Capacity, Total
from exodus_storage_guard.settings import Settings
from exodus_storage_guard.state.contract import Catalogue
from exodus_storage_guard.stores.filesystem import measure as measure_filesystem


def measure(settings: Settings, catalogue: Catalogue, now: datetime, *, remember: bool = True) -> Capacity | None:
    """Measure now and remember it; where nothing can be measured from here, give what somebody else measured last.

    A worker on another machine than the store's disk lives by the measurements that the sweep's machine takes.
    """
    if settings.capacity.source == "budget":
        return _of_budget(settings, catalogue, now)
    path = settings.measured_path
    found = None if path is None else measure_filesystem(path, now)
    if found is None:
        return catalogue.measured()
    if remember:
        catalogue.record(found)
    return found


def _of_budget(settings: Settings, catalogue: Catalogue, now: datetime) -> Capacity:
    """Count what is catalogued: an upload is, as soon as it is committed with its key."""
    used = sum((total for state, total in catalogue.totals().items() if state in IN_STORE), Total()).bytes
    total = settings.capacity.budget_bytes
    return Capacity("budget", total, used, max(0, total - used), now)


def unmeasured(settings: Settings) -> str:
    """Say what stands in the way of a measurement."""
    return f"how full the store is cannot be measured ({settings.measured_path}): is its disk mounted?"

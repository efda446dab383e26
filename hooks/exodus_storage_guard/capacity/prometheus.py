"""Measure a store by what its server tells Prometheus: often the only place where it says how large its disks are."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from exodus_common.clock import Deadline
from exodus_common.terminal import printable
from exodus_storage_guard.capacity.page import Address, fetch
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.metrics import Sample, Selector
from exodus_storage_guard.model import Capacity
from exodus_storage_guard.settings import CapacitySettings

RENEWED_EVERY = timedelta(minutes=1)
"""How old the figures may be that a server gives; what was uploaded since is not in them.

MinIO: a minute (cmd/metrics-v2.go). Garage: ten seconds (src/rpc/system.rs). Of others nobody knows.
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_BYTES = 2**63 - 1  # what a catalogue can hold


@dataclass(frozen=True, slots=True)
class Figures:
    """Say which samples tell how large a store is, and which how much of it is free; or, with `is_used`, used."""

    total: Selector
    other: Selector
    is_used: bool = False


# Of /minio/v2/metrics/cluster, and of /minio/metrics/v3/cluster/health.
MINIO = tuple(
    Figures(Selector(f"minio_cluster_{kind}_total_bytes"), Selector(f"minio_cluster_{kind}_free_bytes"))
    for kind in ("capacity_usable", "health_capacity_usable")
)
_DATA = (("volume", "data"),)
GARAGE = Figures(Selector("garage_local_disk_total", _DATA), Selector("garage_local_disk_avail", _DATA))


def figures_of(settings: CapacitySettings) -> Sequence[Figures]:
    """Give what the settings name; where they name nothing, what the servers we know have."""
    if settings.total_metric is None:
        return MINIO if settings.source == "minio" else (*MINIO, GARAGE)
    other = settings.used_metric or settings.free_metric or ""
    is_used = settings.used_metric is not None
    return (Figures(Selector.parse(settings.total_metric), Selector.parse(other), is_used),)


def measure(settings: CapacitySettings, address: Address, now: datetime, deadline: Deadline) -> Capacity:
    """Ask the server; raise `StoreFailed` where there is no answer, or none with figures that can be."""
    page = fetch(address, deadline)
    try:
        return read(page, figures_of(settings), settings.source, now)
    except ValueError as error:
        raise StoreFailed(f"{printable(address.url)}: {printable(str(error))}") from None


def read(page: str, wanted: Sequence[Figures], source: str, now: datetime) -> Capacity:
    """Read the capacity from a page of metrics; raise `ValueError` where it has none, or one that cannot be."""
    figures = next((one for one in wanted if one.total.samples(page)), None)
    if figures is None:
        names = ", ".join(str(one.total) for one in wanted)
        raise ValueError(f"none of these metrics is there: {names}; are they the cluster's?")
    totals, others = figures.total.samples(page), figures.other.samples(page)
    if not others:
        raise ValueError(f"{figures.total} is there, and {figures.other} is not")
    total, other = _added(figures.total, totals), _added(figures.other, others)
    if total == 0 or other > total:
        raise ValueError(f"{figures.total} is {total} and {figures.other} is {other}, which cannot be")
    used = other if figures.is_used else total - other
    return Capacity(source, total, used, total - used, _measured_at([*totals, *others], now))


def _added(selector: Selector, samples: Sequence[Sample]) -> int:
    """Add up sizes in bytes; one that is none would hide in the sum."""
    for one in samples:
        if not 0 <= one.value <= _MOST_BYTES:
            raise ValueError(f"{selector} has a sample of {one.value}, which is no size")
    added = int(math.fsum(one.value for one in samples))
    if added > _MOST_BYTES:
        raise ValueError(f"{selector} adds up to {added}, which is no size")
    return added


def _measured_at(samples: Iterable[Sample], now: datetime) -> datetime:
    """Say when the oldest figure was true at the latest: some pages (Prometheus's own `/federate`) say when it was."""
    until = (now - _EPOCH) // timedelta(milliseconds=1)
    taken = [one.at_milliseconds for one in samples if one.at_milliseconds is not None]
    oldest = min([until, *taken])
    return (now if oldest == until else _EPOCH + timedelta(milliseconds=max(0, oldest))) - RENEWED_EVERY

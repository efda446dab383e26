"""Measure the store: its filesystem, what MinIO tells Prometheus, or a budget; and what is on its way back."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from exodus_storage_guard.capacity.pending import Pending, looked_at, released
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.model import IN_STORE, Capacity, ObjectState, Total
from exodus_storage_guard.secret_file import secret
from exodus_storage_guard.settings import Settings
from exodus_storage_guard.state.contract import Catalogue
from exodus_storage_guard.stores.directory.filesystem import measure as measure_filesystem
from exodus_storage_guard.stores.locations import Folder

_log = logging.getLogger(__name__)
_PENDING = "pending"
_NEVER = datetime.min.replace(tzinfo=UTC)
SYNCED_AT = "synced_at"
"""When the last sync began that came to its end."""
UNFINISHED = "unfinished"
"""What a sync settles of uploads in parts that nobody has finished: how many, and their bytes."""


def known(settings: Settings, catalogue: Catalogue, now: datetime) -> Capacity | None:
    """Say how full the store is without asking it: by its filesystem or budget, or by what was measured last."""
    if settings.capacity.source == "budget":
        return _of_budget(settings, catalogue)
    return _of_filesystem(settings, now) or catalogue.measured()


def measure(settings: Settings, catalogue: Catalogue, now: datetime) -> Capacity | None:
    """Measure now and remember it; where nothing can be measured from here, give what somebody else measured last.

    A worker on another machine than the store's disk lives by the measurements that the sweep's machine takes.
    """
    if settings.capacity.source == "budget":
        return _of_budget(settings, catalogue)
    found = _of_minio(settings, now) if settings.capacity.source == "minio" else _of_filesystem(settings, now)
    if found is None:
        return catalogue.measured()
    catalogue.record(found)
    present = pending(catalogue)
    if present is not None:
        _write_pending(catalogue, looked_at(present, found.used_bytes, now))
    return found


def pending(catalogue: Catalogue) -> Pending | None:
    """Give what was released and has not come back yet."""
    words = catalogue.settled().get(_PENDING, "").split()
    return Pending(int(words[0]), int(words[1]), datetime.fromisoformat(words[2])) if words else None


def unfinished(catalogue: Catalogue) -> Total:
    """Give what the last sync saw of uploads in parts that nobody has finished."""
    count, size = catalogue.settled().get(UNFINISHED, "0 0").split()
    return Total(int(count), int(size))


def note_released(
    settings: Settings, catalogue: Catalogue, before: Capacity | None, freed_bytes: int, now: datetime
) -> None:
    """Measure what was just released, and write down what the store has not given back: a budget and a folder have."""
    at_once = settings.capacity.source == "budget" or isinstance(settings.store.location, Folder)
    if at_once or before is None or not freed_bytes:
        return
    present, after = pending(catalogue), measure(settings, catalogue, now)
    if after is not None:
        _write_pending(catalogue, released(present, freed_bytes, before.used_bytes, after.used_bytes, now))


def _write_pending(catalogue: Catalogue, found: Pending | None) -> None:
    """Write down what is on its way."""
    text = f"{found.bytes} {found.used_bytes} {found.since.isoformat()}" if found and found.bytes else ""
    catalogue.settle(_PENDING, text)


def _of_filesystem(settings: Settings, now: datetime) -> Capacity | None:
    path = settings.measured_path
    if settings.capacity.source != "filesystem" or path is None:
        return None
    return measure_filesystem(path, now)


def _of_minio(settings: Settings, now: datetime) -> Capacity | None:
    from exodus_storage_guard.capacity import minio

    wanted = settings.capacity
    token = secret(wanted.token_file) if wanted.token_file else None
    seconds = settings.sweep.request_timeout_seconds
    try:
        return minio.measure(wanted.url or "", token, settings.store.ca_file, now, timeout_seconds=seconds)
    except StoreFailed as error:
        _log.warning("%s", error)
        return None


def _of_budget(settings: Settings, catalogue: Catalogue) -> Capacity:
    """Count what is catalogued: an upload is, as soon as it is committed with its key; the store was listed before."""
    synced_at = catalogue.settled().get(SYNCED_AT)  # read first: what lands meanwhile counts twice, and not never
    measured_at = datetime.fromisoformat(synced_at) if synced_at else _NEVER
    total = settings.capacity.budget_bytes
    return counted(Capacity("budget", total, 0, total, measured_at), catalogue.totals())


def counted(capacity: Capacity, totals: Mapping[ObjectState, Total]) -> Capacity:
    """Give a budget as it is used by what is catalogued now; what else was measured stays as it was."""
    if capacity.source != "budget":
        return capacity
    used = sum((total for state, total in totals.items() if state in IN_STORE), Total()).bytes
    return replace(capacity, used_bytes=used, free_bytes=max(0, capacity.total_bytes - used))


def unmeasured(settings: Settings) -> str:
    """Say what stands in the way of a measurement."""
    if settings.capacity.source == "minio":
        return f"how full the store is cannot be measured ({settings.capacity.url}): does it answer?"
    return f"how full the store is cannot be measured ({settings.measured_path}): is its disk mounted?"

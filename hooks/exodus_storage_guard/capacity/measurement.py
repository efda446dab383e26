"""Measure the store: its filesystem, what its server tells Prometheus, or a budget; and what is on its way back."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from exodus_common.clock import Deadline, SystemClock
from exodus_common.errors import SettingsInvalid
from exodus_common.terminal import printable
from exodus_storage_guard.capacity import disks
from exodus_storage_guard.capacity.pending import Look, Pending, looked_at, released
from exodus_storage_guard.errors import StateFailed, StoreFailed
from exodus_storage_guard.instants import aware
from exodus_storage_guard.model import IN_STORE, Capacity, ObjectState, Seen, Total
from exodus_storage_guard.secret_file import secret
from exodus_storage_guard.settings import Settings
from exodus_storage_guard.state.contract import Catalogue
from exodus_storage_guard.stores.directory.filesystem import measure as measure_filesystem
from exodus_storage_guard.stores.directory.filesystem import obstacle
from exodus_storage_guard.stores.locations import Folder

_log = logging.getLogger(__name__)
_PENDING = "pending"
_LOOKS_EVERY = timedelta(seconds=10)
"""How often admissions look what has come back: trash is emptied every few minutes."""
_TRIES = 10
_NEVER = datetime.min.replace(tzinfo=UTC)
SYNCED_AT = "synced_at"
"""When the last sync began that came to its end."""
CLOCKS = "clocks"
"""What the last sweep found wrong with the clocks of this machine and the store."""
UNFINISHED = "unfinished"
"""What a sync settles of uploads in parts that nobody has finished: how many, and their bytes."""


def known(settings: Settings, catalogue: Catalogue, now: datetime) -> Capacity | None:
    """Say how full the store is without asking it: by its filesystem or budget, or by what was measured last.

    None where its disk is not mounted, as `measure` has it: nothing that was measured is of any use then.
    """
    if disks.away(settings, catalogue.settled()):
        return None
    if settings.capacity.source == "budget":
        return _of_budget(settings, catalogue)
    found = _of_filesystem(settings, now)
    if found is None:
        return _measured_last(settings, catalogue)
    _look(settings, catalogue, found, _LOOKS_EVERY)
    return found


def measure(settings: Settings, catalogue: Catalogue, now: datetime) -> Capacity | None:
    """Measure now and remember it; where nothing can be measured from here, give what somebody else measured last.

    A worker on another machine than the store's disk lives by the measurements that the sweep's machine takes.
    """
    if disks.away(settings, catalogue.settled()):
        return None
    if settings.capacity.source == "budget":
        found = _of_budget(settings, catalogue)
        catalogue.record(replace(found, measured_at=now))  # for the forecast: what is catalogued is known at any time
        return found
    measured = _measured_now(settings, catalogue, now)
    if measured is None:
        return _measured_last(settings, catalogue)
    _look(settings, catalogue, measured, timedelta())
    return measured


def _measured_now(settings: Settings, catalogue: Catalogue, now: datetime) -> Capacity | None:
    found = _of_server(settings, now) if settings.capacity.is_remote else _of_filesystem(settings, now)
    if found is not None:
        catalogue.record(found)
    return found


def _measured_last(settings: Settings, catalogue: Catalogue) -> Capacity | None:
    """Give the latest measurement; one of another source, which the settings named before, is none."""
    found = catalogue.measured()
    return found if found is not None and found.source == settings.capacity.source else None


def pending(settings: Settings, catalogue: Catalogue) -> Pending | None:
    """Give what was released and has not come back yet."""
    return None if _gives_back_at_once(settings) else _read(catalogue.settled().get(_PENDING, ""))


def note_released(
    settings: Settings, catalogue: Catalogue, before: Capacity | None, freed_bytes: int, now: datetime
) -> None:
    """Measure what was just released, and write down what the store has not given back: a budget and a folder have."""
    if _gives_back_at_once(settings) or before is None or not freed_bytes:
        return
    after = _measured_now(settings, catalogue, now)
    if after is None:
        return

    def add(present: Pending | None) -> Pending | None:
        look = _looked(catalogue, after, present.looked_at if present else before.measured_at)
        return released(present, freed_bytes, before.used_bytes, look)

    _renew(catalogue, add)


def _gives_back_at_once(settings: Settings) -> bool:
    return settings.capacity.source == "budget" or isinstance(settings.store.location, Folder)


def _look(settings: Settings, catalogue: Catalogue, found: Capacity, every: timedelta) -> None:
    """Look what has come back, unless that was done a moment ago."""
    present = pending(settings, catalogue)
    if present is None or timedelta() <= found.measured_at - present.looked_at < every:
        return

    def look(present: Pending | None) -> Pending | None:
        return present and looked_at(present, _looked(catalogue, found, present.looked_at))

    _renew(catalogue, look)


def _looked(catalogue: Catalogue, found: Capacity, last_at: datetime) -> Look:
    """Say what a measurement shows; an upload that was committed after it was still on its way then."""
    committed = catalogue.landed(Seen(last_at, future=found.measured_at)).bytes
    since_then = catalogue.landed(Seen(found.measured_at)).bytes
    uploading = sum(one.bytes for one in catalogue.reservations()) + since_then
    return Look(found.measured_at, found.used_bytes, committed, uploading)


def _renew(catalogue: Catalogue, change: Callable[[Pending | None], Pending | None]) -> None:
    """Write down what is on its way by now, from what it was: others may look, or release, at this very moment."""
    for _ in range(_TRIES):
        text = catalogue.settled().get(_PENDING, "")
        if catalogue.settle_again(_PENDING, text, _written(change(_read(text)))):
            return
    _log.warning("what is on its way was not written down: others write it all the time")


def _read(text: str) -> Pending | None:
    """Read what is on its way; what cannot be read is forgotten: it is knowledge of the store's lag, and no more."""
    if not text:
        return None
    try:
        *sizes, since, last_at = text.split()
        left, used, written, late = map(int, sizes)
        if min(left, used, written, late) < 0:
            raise ValueError("less than nothing")
        return Pending(left, used, aware(since), aware(last_at), written, late)
    except ValueError:
        _log.warning("what was on its way back cannot be read, and is forgotten: %s", printable(text[:100]))
        return None


def _written(found: Pending | None) -> str:
    if found is None:
        return ""
    sizes = found.bytes, found.used_bytes, found.written_bytes, found.late_bytes
    return " ".join([*map(str, sizes), found.since.isoformat(), found.looked_at.isoformat()])


def unfinished(catalogue: Catalogue) -> Total:
    """Give what the last sync saw of uploads in parts that nobody has finished."""
    text = catalogue.settled().get(UNFINISHED, "0 0")
    with _readable("unfinished uploads", text):
        count, size = text.split()
        return Total(int(count), int(size))


def _of_filesystem(settings: Settings, now: datetime) -> Capacity | None:
    path = settings.measured_path
    if settings.capacity.source != "filesystem" or path is None:
        return None
    try:
        return measure_filesystem(path, now)
    except ValueError as error:
        _log.warning("%s: %s", printable(str(path)), error)
        return None


def _of_server(settings: Settings, now: datetime) -> Capacity | None:
    from exodus_storage_guard.capacity import page, prometheus

    wanted = settings.capacity
    token = secret(wanted.token_file) if wanted.token_file else None
    if token is not None and not token.isascii():
        raise SettingsInvalid(f"{wanted.token_file}: allowed: one line of ASCII, the token")
    address = page.Address(wanted.url or "", token, settings.store.ca_file)
    deadline = Deadline.after(settings.sweep.request_timeout_seconds, SystemClock())
    try:
        return prometheus.measure(wanted, address, now, deadline)
    except StoreFailed as error:
        _log.warning("metrics: %s", error)
        return None


def _of_budget(settings: Settings, catalogue: Catalogue) -> Capacity:
    """Count what is catalogued: an upload is, as soon as it is committed with its key; the store was listed before."""
    measured_at = synced_at(catalogue) or _NEVER  # read first: what lands meanwhile counts twice, and not never
    total = settings.capacity.budget_bytes
    return counted(Capacity("budget", total, 0, total, measured_at), catalogue.totals())


def synced_at(catalogue: Catalogue) -> datetime | None:
    """Say when the store was listed last; None where it never was."""
    found = catalogue.settled().get(SYNCED_AT)
    with _readable("last sync", found):
        return aware(found) if found else None


@contextmanager
def _readable(name: str, text: str | None) -> Iterator[None]:
    try:
        yield
    except ValueError:
        shown = printable(repr(text)[:100])
        raise StateFailed(f"the catalogue's {name} cannot be read ({shown}); run: exodus-storage-guard sync") from None


def counted(capacity: Capacity, totals: Mapping[ObjectState, Total]) -> Capacity:
    """Give a budget as it is used by what is catalogued now; what else was measured stays as it was."""
    if capacity.source != "budget":
        return capacity
    used = sum((total for state, total in totals.items() if state in IN_STORE), Total()).bytes
    return replace(capacity, used_bytes=used, free_bytes=max(0, capacity.total_bytes - used))


def unmeasured(settings: Settings, catalogue: Catalogue) -> str:
    """Say what stands in the way of a measurement."""
    if told := disks.away(settings, catalogue.settled()):
        return told
    if settings.capacity.is_remote:
        return f"how full the store is cannot be measured ({settings.capacity.url}): does it answer?"
    path = settings.measured_path
    why = "nobody has measured it from where its disk is" if path is None else printable(obstacle(path))
    return f"how full the store is cannot be measured ({path}): {why}"

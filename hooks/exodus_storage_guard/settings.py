"""What an operator can set; CONTRACT.md fixes the names."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from exodus_common import settings as common
from exodus_common.errors import SettingsInvalid
from exodus_storage_guard.metrics import Selector
from exodus_storage_guard.model import Watermarks
from exodus_storage_guard.policy import Selection, why_lowered, within
from exodus_storage_guard.records.settings import RecordsSettings
from exodus_storage_guard.sizes import ALLOWED, parse_bytes, require
from exodus_storage_guard.state.settings import StateSettings
from exodus_storage_guard.stores.locations import Folder
from exodus_storage_guard.stores.settings import ArchiveSettings, StoreSettings

DEFAULT_FILE = Path("/etc/exodus-storage-guard.toml")
VARIABLE = "EXODUS_STORAGE_GUARD_CONFIG"
DEFAULT_PATTERN = r"^[a-z]{60}_.+\.apk$"
_DAY_SECONDS = 86400
_LONGEST_SOCKET_NAME_BYTES = 108  # unix(7)
_USUAL_PERCENT = 50.0
_PERCENT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*", re.ASCII)


def _share(name: str, text: str | int, total_bytes: int) -> int:
    """Read a share of a capacity: percent of it, or a size."""
    found = _PERCENT.fullmatch(str(text))
    if found and float(found[1]) <= 100:
        return int(total_bytes * float(found[1]) / 100)
    try:
        return parse_bytes(text)
    except ValueError:
        raise ValueError(f"{name}: found {str(text)[:40]!r}; allowed: a share such as 85%, or {ALLOWED}") from None


def _size(name: str, text: str | int) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


_REMOTE = ("prometheus", "minio")
_SOURCES_OF = {
    "total_bytes": ("budget",),
    "url": _REMOTE,
    "token_file": _REMOTE,
    "total_metric": ("prometheus",),
    "used_metric": ("prometheus",),
    "free_metric": ("prometheus",),
}
_NEEDED = ("total_bytes", "url")


def _is_address(url: str) -> bool:
    """Tell whether a URL can be asked, and says no secret."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    is_named = bool(parts.hostname) and "@" not in parts.netloc and port != 0
    return parts.scheme in ("http", "https") and is_named and url.isascii() and url.isprintable() and " " not in url


@dataclass(frozen=True)
class CapacitySettings:
    """Say how the store is measured: `path` is where its disk is mounted, `url` where its server's metrics are.

    source: what tells how full the store is: its filesystem, the metrics that its server has for Prometheus ("minio"
        is short for those of MinIO), or a budget that is counted by the catalogue.
    path: with "filesystem": a folder on the disk that is measured; without it the store's own. Example:
        "/home/exodus/storage"
    max_age_seconds: for how long a measurement may be used where nothing can be measured; more than 60 with
        "prometheus" and "minio".
    total_bytes: with "budget": how much the store may hold. Example: "200 GiB"
    url: with "prometheus" and "minio": where the metrics are. Example:
        "http://minio.example:9000/minio/v2/metrics/cluster"
    token_file: the file with the bearer token for the metrics, one line. Example:
        "/etc/exodus-storage-guard/metrics-token"
    total_metric: with "prometheus": the metric of all bytes, a name or a name and labels; without the three those of
        MinIO and Garage are looked for. Example: 'disk_total_bytes{kind="data"}'
    used_metric: the metric of the bytes that are used; this or free_metric. Example: "disk_used_bytes"
    free_metric: the metric of the bytes that are free. Example: "disk_free_bytes"
    """

    source: Literal["filesystem", "prometheus", "minio", "budget"] = "filesystem"
    path: Path | None = None
    max_age_seconds: float = 300
    total_bytes: str | int | None = None
    url: str | None = None
    token_file: Path | None = None
    total_metric: str | None = None
    used_metric: str | None = None
    free_metric: str | None = None

    def __post_init__(self) -> None:
        """Refuse what does not go with the source, and a source without what it needs."""
        least = 60 if self.is_remote else 0  # its figures may be a minute old when they come
        allowed = f"max_age_seconds: allowed: more than {least}, at most {_DAY_SECONDS} (a day)"
        require(least < self.max_age_seconds <= _DAY_SECONDS, allowed)
        for name, sources in _SOURCES_OF.items():
            given, named = getattr(self, name) is not None, " or ".join(f'"{source}"' for source in sources)
            missing = name in _NEEDED and self.source in sources and not given
            require(not missing, f'{name}: found nothing; required by source = "{self.source}"')
            require(not given or self.source in sources, f"{name}: allowed with source = {named} only")
        require(self.total_bytes is None or self.budget_bytes > 0, "total_bytes: allowed: more than 0")
        require(
            _is_address(self.url or "http://localhost"), "url: allowed: the address of metrics, http:// or https://"
        )
        self._refuse_half_of_the_metrics()

    def _refuse_half_of_the_metrics(self) -> None:
        """Refuse a metric's name that is none, and names that do not make a measurement together."""
        for name in ("total_metric", "used_metric", "free_metric"):
            try:
                Selector.parse(getattr(self, name) or "up")
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        others = (self.used_metric is not None) + (self.free_metric is not None)
        together = "total_metric with either used_metric or free_metric, or none of them (MinIO and Garage are known)"
        require(others == (self.total_metric is not None), f"total_metric: allowed: {together}")

    @property
    def is_remote(self) -> bool:
        """Tell whether a server is asked: who admits uploads may not be let in there."""
        return self.source in _REMOTE

    @property
    def budget_bytes(self) -> int:
        """Give what the store may hold by its budget."""
        return _size("total_bytes", self.total_bytes or 0)


@dataclass(frozen=True)
class WatermarkSettings:
    """Say when a sweep ends, when it starts, and what is never exceeded: shares of the capacity, or sizes.

    low: where a sweep ends: a share of the capacity, or a size (150 GiB). Less than high.
    high: where a sweep starts; at most flood.
    flood: what nothing is admitted above.
    """

    low: str | int = "75%"
    high: str | int = "85%"
    flood: str | int = "95%"

    def __post_init__(self) -> None:
        """Refuse marks that are out of order, as far as that can be seen without a measurement."""
        shares = [_PERCENT.fullmatch(str(mark)) for mark in (self.low, self.high, self.flood)]
        if all(shares) or not any(shares):
            self.of(10**15)
        else:
            for name in ("low", "high", "flood"):
                _share(name, getattr(self, name), 10**15)

    def of(self, total_bytes: int) -> Watermarks:
        """Give the marks for a store of this size; raise `ValueError` where they are out of order."""
        low, high, flood = (_share(name, getattr(self, name), total_bytes) for name in ("low", "high", "flood"))
        require(low < high <= flood, f"allowed: low < high <= flood; found {self.low}, {self.high}, {self.flood}")
        return Watermarks(low, high, flood)


@dataclass(frozen=True)
class SelectSettings:
    """Say which objects are ours to archive, from which age on, and whether they are archived or pruned.

    pattern: a regular expression that the keys of all APKs match; nothing else is ever touched.
    minimum_age_days: nothing younger is ever archived; 0 to 36500.
    action: "archive" copies, proves, and then deletes; "prune" deletes for good, and needs no archive.
    """

    pattern: str = DEFAULT_PATTERN
    minimum_age_days: float = 180
    action: Literal["archive", "prune"] = "archive"

    def __post_init__(self) -> None:
        """Refuse a pattern that is none, and an age below zero."""
        require(bool(self.pattern), "pattern: found nothing; allowed: a regular expression ('.*' selects all)")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern: is no regular expression: {error}") from None
        require(0 <= self.minimum_age_days <= 36500, "minimum_age_days: allowed: 0 to 36500")


@dataclass(frozen=True)
class AdmissionSettings:
    """Say how uploads are admitted.

    emergency_reserve: what stays free, whatever comes: a size (500 MiB), or bytes.
    size_factor: how often an upload takes its size, 1 to 10; 2 where it is stored twice on its way.
    when_unknown: whether an upload is admitted while nobody knows how full the store is.
    lease_seconds: when a reservation ends by itself that does not say; at most 30 days (2592000).
    most_lease_seconds: for how long one may be asked for at most; at most 30 days (2592000).
    most_bytes: what one upload may have at most: a size.
    most_reservations: how many one user may have at once; 1 to 10000.
    client_share: what all uploads of one client may have who is not known to a platform: a share of the room that is
        left, or a size.
    when_broken: whether platforms accept uploads while nothing can be decided.
    socket: where the service is asked.
    """

    emergency_reserve: str | int = "1 GiB"
    size_factor: float = 1
    when_unknown: Literal["refuse", "accept"] = "refuse"
    lease_seconds: float = 3600
    most_lease_seconds: float = 86400
    most_bytes: str | int = "2 GiB"
    most_reservations: int = 1000
    client_share: str | int = "50%"
    when_broken: Literal["refuse", "accept"] = "refuse"
    socket: Path = Path("/run/exodus-storage-guard/service.sock")

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        _size("emergency_reserve", self.emergency_reserve)
        require(1 <= self.size_factor <= 10, "size_factor: allowed: 1 to 10")
        for name in ("lease_seconds", "most_lease_seconds"):
            require(0 < getattr(self, name) <= 30 * 86400, f"{name}: allowed: more than 0, at most 30 days")
        require(self.most_upload_bytes > 0, "most_bytes: allowed: more than 0")
        require(1 <= self.most_reservations <= 10_000, "most_reservations: allowed: 1 to 10000")
        _share("client_share", self.client_share, 10**15)
        fits = len(os.fsencode(self.socket)) < _LONGEST_SOCKET_NAME_BYTES
        require(self.socket.is_absolute() and fits, "socket: allowed: an absolute path of at most 107 bytes")

    @property
    def reserve_bytes(self) -> int:
        """Give what stays free, whatever comes."""
        return _size("emergency_reserve", self.emergency_reserve)

    @property
    def most_upload_bytes(self) -> int:
        """Give what one upload may have at most."""
        return _size("most_bytes", self.most_bytes)

    def client_bytes(self, room_bytes: int) -> int:
        """Give what all uploads of one anonymous client may have together, of so much room."""
        return _share("client_share", self.client_share, room_bytes)

    @property
    def most_of_client(self) -> int:
        """Give how many uploads of one anonymous client hold at once: a share that is a size says nothing of that."""
        found = _PERCENT.fullmatch(str(self.client_share))
        percent = float(found[1]) if found else _USUAL_PERCENT
        return max(1, int(self.most_reservations * percent / 100))

    def room_for_client(self, wanted_bytes: int) -> int | None:
        """Give how much room there has to be for one client to have so much; None where none is enough."""
        found = _PERCENT.fullmatch(str(self.client_share))
        if found is None or not float(found[1]):
            return None
        return math.ceil(wanted_bytes * 100 / float(found[1])) + 1

    @property
    def longest_lease_seconds(self) -> float:
        """Give for how long a reservation may be asked for: never less than what one gets that does not say."""
        return max(self.lease_seconds, self.most_lease_seconds)


@dataclass(frozen=True)
class SweepSettings:
    """Say how a sweep works; `premigrate` is kept copied and proven ahead of need.

    parallel: how many objects are copied at once; 1 to 64.
    bandwidth_limit: bytes a second, of all copies together; 0 is no limit. Example: "10 MiB"
    premigrate: how much is kept copied and proven, so that an upload need not wait: a share of the capacity, or a
        size.
    request_timeout_seconds: how long a question to the store or the archive may take; at most 3600.
    """

    parallel: int = 4
    bandwidth_limit: str | int = 0
    premigrate: str | int = "5%"
    request_timeout_seconds: float = 60

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        require(1 <= self.parallel <= 64, "parallel: allowed: 1 to 64")
        _size("bandwidth_limit", self.bandwidth_limit)
        _share("premigrate", self.premigrate, 10**15)
        require(0 < self.request_timeout_seconds <= 3600, "request_timeout_seconds: allowed: more than 0, at most 3600")

    @property
    def bandwidth_bytes_per_second(self) -> int:
        """Give the limit for all copies together; 0 is none."""
        return _size("bandwidth_limit", self.bandwidth_limit)

    def premigrate_bytes(self, total_bytes: int) -> int:
        """Give what is to be kept copied and proven, of a store of this size."""
        return _share("premigrate", self.premigrate, total_bytes)


@dataclass(frozen=True)
class Settings:
    """Hold the settings of the storage half; only `store` has no default."""

    store: StoreSettings
    archive: ArchiveSettings | None = None
    capacity: CapacitySettings = field(default_factory=CapacitySettings)
    watermarks: WatermarkSettings = field(default_factory=WatermarkSettings)
    select: SelectSettings = field(default_factory=SelectSettings)
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    sweep: SweepSettings = field(default_factory=SweepSettings)
    state: StateSettings = field(default_factory=StateSettings)
    records: RecordsSettings | None = None

    def __post_init__(self) -> None:
        """Refuse contradictions between the tables."""
        measurable = self.capacity.source != "filesystem" or self.measured_path is not None
        require(measurable, "capacity.path: found nothing; required with s3:// (where the server's disk is mounted)")
        if self.select.action == "prune":
            require(self.archive is None, 'archive: allowed: nothing, since select.action = "prune" deletes for good')
            return
        require(self.archive is not None, 'archive: found nothing; required: a table (or select.action = "prune")')
        assert self.archive is not None
        apart = not self.store.overlaps(self.archive)
        require(apart, "archive: it and the store lie in each other; allowed: places apart from each other")

    def selection(self, uploading: frozenset[str] = frozenset()) -> Selection:
        """Say what may be swept while these keys are being uploaded."""
        select = self.select
        minimum_age = timedelta(days=select.minimum_age_days)
        prunes, recorded = select.action == "prune", self.records is not None
        return Selection(re.compile(select.pattern), minimum_age, uploading, prunes=prunes, only_recorded=recorded)

    @property
    def measured_path(self) -> Path | None:
        """Name the folder whose filesystem is measured; None where another source tells of the store."""
        where = self.store.location
        return self.capacity.path or (where.path if isinstance(where, Folder) else None)


def load(option: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings file that `--config`, the environment or the default names; without `[store]` it is invalid."""
    return source(option, environ).build(Settings)


def source(option: Path | None, environ: Mapping[str, str]) -> common.Source:
    """Find the settings file that `load` reads, and read it."""
    return common.found(default_path=DEFAULT_FILE, option=option, variable=VARIABLE, environ=environ)


def named(option: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Give the settings file that `load` reads where it is not the usual one, for whoever is started to read it too."""
    found = option or environ.get(VARIABLE)
    return Path(found) if found else None


def marks(settings: Settings, total_bytes: int) -> Watermarks:
    """Give the watermarks for a measured size, none above what may be used with the emergency reserve staying free.

    Raises `SettingsInvalid` where sizes and shares contradict each other.
    """
    return within(_marks_as_set(settings, total_bytes), total_bytes - settings.admission.reserve_bytes)


def marks_lowered(settings: Settings, total_bytes: int) -> str:
    """Say that the marks are above what may be used of a store of this size, and what to set; nothing where not."""
    return why_lowered(_marks_as_set(settings, total_bytes), total_bytes, settings.admission.reserve_bytes)


def _marks_as_set(settings: Settings, total_bytes: int) -> Watermarks:
    try:
        return settings.watermarks.of(total_bytes)
    except ValueError as error:
        raise SettingsInvalid(f"[watermarks] of a store of {total_bytes} bytes: {error}") from None

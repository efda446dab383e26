"""Values that decisions, doors and stories exchange: frozen, and complete once built."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

_NEVER, _FOREVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
MOST_BYTES = 2**63 - 1
"""How large anything can be that is counted in bytes: whoever says more makes it up, and no database holds it."""
ELSEWHERE = ".exodus-elsewhere/"
"""Begins the name of a copy that lies in an archive of before, whose id follows; no copy here is called so."""


class ObjectState(StrEnum):
    """Say where an object is and what is being done to it; CONTRACT.md fixes the words."""

    RESIDENT = "resident"
    COPYING = "copying"
    PREMIGRATED = "premigrated"
    RELEASING = "releasing"
    ARCHIVED = "archived"
    RECALLING = "recalling"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    LOST = "lost"
    GONE = "gone"


IN_STORE = frozenset(
    {
        ObjectState.RESIDENT,
        ObjectState.COPYING,
        ObjectState.PREMIGRATED,
        ObjectState.RELEASING,
        ObjectState.FAILED,
        ObjectState.QUARANTINED,
    }
)
"""The states of what takes space in the store."""


class Verdict(StrEnum):
    """Judge an object or a whole run."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Give the worst of several verdicts."""
    return max(verdicts, key=list(Verdict).index, default=Verdict.OK)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Describe what a store holds under a key; `bytes` and `etag` together tell it from any other content.

    `etag` is the store's own word for the content; a store may list an object without `content_type` and `metadata`.
    """

    key: str
    bytes: int
    etag: str
    last_modified: datetime
    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no object can be."""
        if not 0 <= self.bytes <= MOST_BYTES:
            raise ValueError(f"an object of {self.bytes} bytes cannot be")

    def is_same_content(self, other: "StoredObject") -> bool:
        """Tell whether both were the same content under the same key; where there is no `etag`, nobody can tell."""
        return bool(self.etag) and (self.key, self.bytes, self.etag) == (other.key, other.bytes, other.etag)


@dataclass(frozen=True, slots=True)
class Record:
    """Hold what the platform itself recorded of an object; `sha256` in lower-case hex, None where it has none."""

    key: str
    created_at: datetime
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """Describe one object as the catalogue knows it.

    `copy` is its name in the archive; `sha256` what was proven there, and `copy_mark` what copy and manifest looked
    like then; `owner` who is at work on it; `retry_at` when what failed may be tried again; `note` why it is where it
    is; `recorded_at` and `recorded_sha256` what the platform's own records say.
    """

    stored: StoredObject
    state: ObjectState
    since: datetime
    sha256: str | None = None
    copy: str | None = None
    held: bool = False
    owner: str | None = None
    failures: int = 0
    retry_at: datetime | None = None
    note: str = ""
    recorded_at: datetime | None = None
    recorded_sha256: str | None = None
    copy_mark: str | None = None

    @property
    def aged_from(self) -> datetime:
        """Say since when it ages: a migration makes every object of a store young, and no record."""
        return self.recorded_at or self.stored.last_modified

    @property
    def key(self) -> str:
        """Name the object."""
        return self.stored.key

    @property
    def bytes(self) -> int:
        """Give its size."""
        return self.stored.bytes


@dataclass(frozen=True, slots=True)
class ProvenCopy:
    """Name a copy in the archive that was proven, the object as it was copied, and its `mark` (`Entry.copy_mark`)."""

    name: str
    stored: StoredObject
    sha256: str
    archived_at: datetime
    mark: str | None = None

    @property
    def key(self) -> str:
        """Name the object."""
        return self.stored.key


@dataclass(frozen=True, slots=True)
class Total:
    """Count objects and their bytes."""

    count: int = 0
    bytes: int = 0

    def __post_init__(self) -> None:
        """Refuse less than nothing."""
        if self.count < 0 or self.bytes < 0:
            raise ValueError(f"{self.count} objects of {self.bytes} bytes cannot be")

    def __add__(self, other: "Total") -> "Total":
        return Total(self.count + other.count, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class Capacity:
    """Report a measurement of the store; `free_files` is None where the source does not count files (inodes)."""

    source: str
    total_bytes: int
    used_bytes: int
    free_bytes: int
    measured_at: datetime
    free_files: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no store can be; a budget may be overdrawn."""
        is_possible = 0 <= self.free_bytes <= self.total_bytes <= MOST_BYTES and 0 <= self.used_bytes <= MOST_BYTES
        if not (is_possible and 0 <= (self.free_files or 0) <= MOST_BYTES):
            sizes = f"{self.used_bytes} bytes used and {self.free_bytes} free of {self.total_bytes}"
            raise ValueError(f"{sizes} cannot be")


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Hold the marks in bytes of what is used: a sweep starts at high and ends at low; above flood nothing fits."""

    low_bytes: int
    high_bytes: int
    flood_bytes: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """Hold a lease on bytes; `owner` is the process whose end also ends it, None where only time does.

    `uid` is the user who asked: nobody but he, the guard and root ends it sooner. `client` is who uploads by way of
    that user's platform, where that may be anybody: such a one has a share of the room.

    `bytes` is what the upload has, `charged_bytes` what it takes on its way (`size_factor`); `committed_at` is set
    once it is stored: then it counts until a measurement has seen it.
    """

    id: str
    bytes: int
    charged_bytes: int
    created_at: datetime
    expires_at: datetime
    key: str | None = None
    owner: str | None = None
    committed_at: datetime | None = None
    uid: int | None = None
    client: str | None = None

    def __post_init__(self) -> None:
        """Refuse less than nothing."""
        if self.bytes < 0 or self.charged_bytes < 0 or self.expires_at < self.created_at:
            raise ValueError(
                f"a reservation of {self.bytes} bytes from {self.created_at} to {self.expires_at} cannot be"
            )

    def beginning(self, now: datetime) -> "Reservation":
        """Give the same one with its lease from now on."""
        return replace(self, created_at=now, expires_at=now + (self.expires_at - self.created_at))


@dataclass(frozen=True, slots=True)
class Seen:
    """Say which stored uploads a measurement has in it: those committed before `until`; if `keyed`, all with a key.

    And all of `future`: a clock that was ahead when they were committed would have them count for as long as that was.
    """

    until: datetime = _NEVER
    keyed: bool = False
    future: datetime = _FOREVER


@dataclass(frozen=True, slots=True)
class Need:
    """Ask for room: `bytes` for an upload that is to be admitted, until `reservation` says that it was."""

    bytes: int
    reservation: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """Report what was done to an object; its fields are those of CONTRACT.md."""

    at: datetime
    key: str
    event: str
    bytes: int
    sha256: str | None
    reason: str

"""What the catalogue asks of a database; its SQL is what SQLite and PostgreSQL have in common, with `?` and `:name`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from enum import Enum
from importlib.resources import files
from typing import Any, Protocol, TypeVar

from exodus_storage_guard.state.rows import Row

T = TypeVar("T")
Values = tuple[object, ...] | Mapping[str, object]


class Writing(Enum):
    """Say what a transaction writes: writers of one kind wait for each other.

    What admissions write need not survive a power cut, which ends the uploads as well.
    """

    ADMISSION = 1
    OBJECTS = 2


class Cursor(Protocol):
    """Give what a statement found or did."""

    @property
    def rowcount(self) -> int:
        """Count the rows that were written."""

    def fetchone(self) -> Any:
        """Give the next row; None where there is none."""

    def fetchall(self) -> list[Any]:
        """Give all rows."""


class Session(Protocol):
    """Talk to a database within a transaction."""

    def execute(self, sql: str, values: Values = (), /) -> Cursor:
        """Run one statement."""


class Database(Protocol):
    """Read and write. Errors: `StateFailed`, `NotInitialised`, and `TryLater` where it is busy or away."""

    @property
    def now(self) -> str:
        """Give the SQL for this very moment in microseconds."""

    def create(self) -> None:
        """Make the tables where there are none."""

    def read(self, sql: str, values: Values = (), /) -> list[Row]:
        """Give all rows of a short question; within `write` it sees what was written."""

    def write(self, work: Callable[[Session], T], what: Writing = Writing.OBJECTS, /) -> T:
        """Do some work in one transaction."""

    def beside(self) -> AbstractContextManager[Session]:
        """Have tables for the time of a block: `listed`, `recorded`, and `differ`, which has keys alone."""

    def write_listing(self, session: Session, rows: Iterable[Row]) -> None:
        """Fill `listed` from keys, bytes, etags and instants in any order."""

    def write_records(self, session: Session, rows: Iterable[Row]) -> None:
        """Fill `recorded` from keys, instants and checksums in any order; of a key twice the oldest counts."""


FIRST = "run: exodus-storage-guard init; if objects were archived before: exodus-storage-guard rebuild"
"""What to do where there is no catalogue."""
SCHEMA_VERSION = 5
_FIRST_VERSION = 2
"""The version of sqlite.sql and postgresql.sql; N.sql beside them makes version N of the one before."""


def scripts(kind: str, version: int) -> Iterator[str]:
    """Give the scripts that make a catalogue of this kind and version (0: none yet) one of `SCHEMA_VERSION`.

    Raises ValueError, with what to do, for a version that no script begins from.
    """
    if version > SCHEMA_VERSION or 0 < version < _FIRST_VERSION:
        newer = version > SCHEMA_VERSION
        what = "upgrade exodus-storage-guard" if newer else "move it away and run: exodus-storage-guard rebuild"
        raise ValueError(f"it is of schema {version}, this program is for {SCHEMA_VERSION}: {what}")
    here = files("exodus_storage_guard.state")
    names = [kind] if version == 0 else []
    names += [str(number) for number in range(max(version, _FIRST_VERSION) + 1, SCHEMA_VERSION + 1)]
    yield from (here.joinpath(f"{name}.sql").read_text("utf-8") for name in names)

"""What the catalogue asks of a database; its SQL is what SQLite and PostgreSQL have in common, with `?` and `:name`."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from enum import Enum
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


def wrong_schema(name: str, version: int, ours: int) -> str:
    """Say what to do about a catalogue of another version."""
    what = "upgrade exodus-storage-guard" if version > ours else "move it away and run: exodus-storage-guard rebuild"
    return f"the catalogue {name} is of schema {version}, this program is for {ours}: {what}"

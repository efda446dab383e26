"""The catalogue in one SQLite file: the embedded default."""

from pathlib import Path

from exodus_storage_guard.state.sql import SqlCatalogue
from exodus_storage_guard.state.sqlite_database import BUSY_SECONDS, SqliteDatabase


class SqliteCatalogue(SqlCatalogue):
    """Keep the catalogue in a file on a local filesystem."""

    def __init__(self, file: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        """Name the file; `create` makes it."""
        self.database = SqliteDatabase(file, busy_seconds)
        super().__init__(self.database)

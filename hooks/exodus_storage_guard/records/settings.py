"""What an operator can set about the platform's own database."""

from dataclasses import dataclass
from pathlib import Path

from exodus_storage_guard.sizes import require
from exodus_storage_guard.state.settings import StateSettings


@dataclass(frozen=True)
class RecordsSettings:
    """Say where the platform's own database is, and which query gives `key`, `created_at` and `sha256` of its APKs.

    url: the database: sqlite:////an/absolute/file.db, or postgresql://user@host:port/database. Example:
        "postgresql://reader@db.example/exodus"
    query: what gives each APK's key, created_at and, where it is known, sha256; only what it gives is ever archived.
        Example: "SELECT apk_file AS key, creation_date AS created_at, sha256 FROM reports"
    password_file: the file with the password of PostgreSQL's user, one line. Example:
        "/etc/exodus-storage-guard/database-password"
    """

    url: str
    query: str
    password_file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what is neither a file nor a database."""
        StateSettings(self.url, self.password_file)
        require(
            bool(self.query.strip()), "query: found nothing; allowed: SELECT … AS key, … AS created_at, … AS sha256"
        )

    @property
    def is_postgresql(self) -> bool:
        """Tell whether the records are in PostgreSQL."""
        return StateSettings(self.url).is_postgresql

    @property
    def file(self) -> Path:
        """Name the SQLite file."""
        return StateSettings(self.url).file

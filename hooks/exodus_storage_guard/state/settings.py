"""What an operator can set about where the catalogue is."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from exodus_storage_guard.sizes import require

DEFAULT_FOLDER = Path("/var/lib/exodus-storage-guard")
DEFAULT_STATE_URL = f"sqlite:///{DEFAULT_FOLDER}/state.db"
_POSTGRESQL = ("postgresql", "postgres")


@dataclass(frozen=True)
class StateSettings:
    """Say where the catalogue is; `password_file` holds a PostgreSQL user's password where one is needed.

    url: where the catalogue is: a file of SQLite on this machine, or PostgreSQL where uploads or sweeps run on
        several. Example: "postgresql://guard@db.example/exodus"
    password_file: the file with the password of PostgreSQL's user, one line. Example:
        "/etc/exodus-storage-guard/database-password"
    """

    url: str = DEFAULT_STATE_URL
    password_file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what is neither a file nor a database."""
        parts = urlsplit(self.url)
        is_file = parts.scheme == "sqlite" and not parts.netloc and parts.path.startswith("//") and len(parts.path) > 2
        require(
            is_file or self.is_postgresql,
            "url: allowed: sqlite:////an/absolute/file.db, or postgresql://user@host:port/database",
        )
        require(self.password_file is None or self.is_postgresql, "password_file: allowed with postgresql:// only")

    @property
    def is_postgresql(self) -> bool:
        """Tell whether the catalogue is in PostgreSQL."""
        return urlsplit(self.url).scheme in _POSTGRESQL

    @property
    def file(self) -> Path:
        """Name the SQLite file."""
        return Path(unquote(urlsplit(self.url).path[1:]))

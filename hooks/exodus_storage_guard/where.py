"""What an operator can set about where the store, the archive, the state and the records are."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from exodus_common.errors import SettingsInvalid
from exodus_storage_guard.sizes import require
from exodus_storage_guard.stores.locations import Bucket, Folder, Location, Remote, location

DEFAULT_STATE_URL = "sqlite:////var/lib/exodus-storage-guard/state.db"
_POSTGRESQL = ("postgresql", "postgres")
_S3_ONLY = ("endpoint", "region", "access_key_file", "secret_key_file", "ca_file")
_SSH_ONLY = ("identity_file", "known_hosts_file")


@dataclass(frozen=True)
class StoreSettings:
    """Say where the APKs live; with S3 which server has the bucket, and which files hold the keys to it."""

    url: str
    endpoint: str | None = None
    region: str | None = None
    access_key_file: Path | None = None
    secret_key_file: Path | None = None
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse a URL that is none, and what does not go with it."""
        found = self.location
        if isinstance(found, Bucket):
            require(self.endpoint is not None, "endpoint: found nothing; required by s3:// (http:// or https://)")
            parts = urlsplit(self.endpoint or "")
            is_endpoint = parts.scheme in ("http", "https") and parts.hostname and not parts.username
            require(
                bool(is_endpoint) and parts.path in ("", "/") and not parts.query,
                "endpoint: allowed: http:// or https://, a host and a port; without a path or a password",
            )
        self._only(_S3_ONLY, "s3://", used=isinstance(found, Bucket))

    @property
    def location(self) -> Location:
        """Give what the URL names."""
        return location(self.url, Folder, Bucket)

    def _only(self, names: tuple[str, ...], scheme: str, *, used: bool) -> None:
        for name in names:
            require(used or getattr(self, name) is None, f"{name}: allowed with {scheme} only")

    def overlaps(self, other: "StoreSettings") -> bool:
        """Tell whether one lies in the other."""
        same_server = (self.endpoint or "").rstrip("/") == (other.endpoint or "").rstrip("/")
        return same_server and self.location.overlaps(other.location)


@dataclass(frozen=True)
class ArchiveSettings(StoreSettings):
    """Say where old APKs go; with ssh which key opens the door, and which file says whose door it is."""

    identity_file: Path | None = None
    known_hosts_file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what does not go with ssh."""
        super().__post_init__()
        self._only(_SSH_ONLY, "ssh://", used=isinstance(self.location, Remote))

    @property
    def location(self) -> Location:
        """Give what the URL names."""
        return location(self.url, Folder, Bucket, Remote)


@dataclass(frozen=True)
class StateSettings:
    """Say where the catalogue is; `password_file` holds a PostgreSQL user's password where one is needed."""

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


@dataclass(frozen=True)
class RecordsSettings:
    """Say where the platform's own database is, and which query gives `key`, `created_at` and `sha256` of its APKs."""

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


def secret(file: Path) -> str:
    """Read a secret from its file; raise `SettingsInvalid` that names the file, never what is in it."""
    try:
        found = file.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsInvalid(f"{file}: cannot be read: {error.strerror}; allowed: a file this user may read") from None
    except UnicodeDecodeError:
        raise SettingsInvalid(f"{file}: is not text; allowed: one line, the secret") from None
    if not found or len(found.splitlines()) != 1 or not found.isprintable():
        raise SettingsInvalid(f"{file}: allowed: one line, the secret")
    return found

"""What an operator can set about where a store or an archive is."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from exodus_storage_guard.sizes import require
from exodus_storage_guard.stores.locations import Bucket, Folder, Location, Remote, location

_S3_ONLY = ("endpoint", "region", "access_key_file", "secret_key_file", "ca_file")
_SSH_ONLY = ("identity_file", "known_hosts_file")


@dataclass(frozen=True)
class StoreSettings:
    """Say where the APKs live; with S3 which server has the bucket, and which files hold the keys to it.

    url: the folder or the bucket: directory:///an/absolute/folder, or s3://bucket or s3://bucket/prefix. Example:
        "directory:///srv/apks"
    endpoint: the server that has the bucket. Example: "https://minio.example:9000"
    region: the bucket's region; it saves a request, and the right to ask. Example: "us-east-1"
    access_key_file: the file with the access key, one line; without it AWS_ACCESS_KEY_ID is read. Example:
        "/etc/exodus-storage-guard/access-key"
    secret_key_file: the file with the secret key, one line; without it AWS_SECRET_ACCESS_KEY is read. Example:
        "/etc/exodus-storage-guard/secret-key"
    ca_file: the certificates that a private authority signed the server's with, as PEM. Example:
        "/etc/ssl/certs/ours.pem"
    """

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

    @property
    def identity(self) -> str:
        """Name the place as a state remembers it, the same however it is written in the settings."""
        found = self.location
        if not isinstance(found, Bucket):
            return str(found)
        parts = urlsplit(self.endpoint or "")
        usual = {"http": 80, "https": 443}[parts.scheme]
        return f"{found} at {parts.scheme}://{parts.hostname}:{parts.port or usual}"

    def overlaps(self, other: "StoreSettings") -> bool:
        """Tell whether one lies in the other."""
        same_server = (self.endpoint or "").rstrip("/") == (other.endpoint or "").rstrip("/")
        return same_server and self.location.overlaps(other.location)


@dataclass(frozen=True)
class ArchiveSettings(StoreSettings):
    """Say where old APKs go; with ssh which key opens the door, and which file says whose door it is.

    url: the folder, the bucket, or the folder of another machine: ssh://backup@archive.example:2222/backups/apks.
        Example: "directory:///mnt/backup/apks"
    identity_file: the private key that opens the door of ssh://. Example: "/etc/exodus-storage-guard/id_ed25519"
    known_hosts_file: the file that says whose door it is, as ssh-keyscan writes it. Example:
        "/etc/exodus-storage-guard/known_hosts"
    """

    identity_file: Path | None = None
    known_hosts_file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what does not go with ssh."""
        super().__post_init__()
        is_remote = isinstance(self.location, Remote)
        self._only(_SSH_ONLY, "ssh://", used=is_remote)
        for name in _SSH_ONLY:
            given = getattr(self, name) is not None
            require(given or not is_remote, f"{name}: found nothing; required by ssh:// (docs/archives.md)")

    @property
    def location(self) -> Location:
        """Give what the URL names."""
        return location(self.url, Folder, Bucket, Remote)

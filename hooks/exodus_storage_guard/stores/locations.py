"""Read where a store or an archive is from its URL."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, unquote, urlsplit

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_HOST, _USER = re.compile(r"[A-Za-z0-9:.%_-]*[A-Za-z0-9]"), re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SSH_PORT = 22


@dataclass(frozen=True, slots=True)
class Folder:
    """Name a folder of a local or mounted filesystem."""

    path: Path

    def __str__(self) -> str:
        return f"directory://{self.path}"

    def overlaps(self, other: object) -> bool:
        """Tell whether one lies in the other, links followed."""
        if not isinstance(other, Folder):
            return False
        mine, theirs = (Path(os.path.realpath(one.path)) for one in (self, other))
        return mine.is_relative_to(theirs) or theirs.is_relative_to(mine)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Name a bucket of an S3 server, and what the keys of ours begin with: nothing, or something that ends in a /."""

    name: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix}".removesuffix("/")

    def overlaps(self, other: object) -> bool:
        """Tell whether one lies in the other, on one server."""
        if not isinstance(other, Bucket) or self.name != other.name:
            return False
        return self.prefix.startswith(other.prefix) or other.prefix.startswith(self.prefix)


@dataclass(frozen=True, slots=True)
class Remote:
    """Name a folder of another machine, which is reached with ssh."""

    host: str
    path: PurePosixPath
    user: str | None = None
    port: int = _SSH_PORT

    def overlaps(self, other: object) -> bool:
        """Tell whether one lies in the other."""
        return isinstance(other, Remote) and self == other


Location = Folder | Bucket | Remote


@lru_cache(maxsize=64)  # it is read several times of each upload
def location(url: str, *allowed: type[Location]) -> Location:
    """Read a URL of one of these kinds; raise `ValueError` where it is none."""
    readers = {scheme: reader for scheme, (kind, reader, _) in _KINDS.items() if kind in allowed}
    words = "; or ".join(words for kind, _, words in _KINDS.values() if kind in allowed)
    parts = urlsplit(url)
    if parts.scheme not in readers or parts.query or parts.fragment:
        raise ValueError(f"url: allowed: {words}")
    try:
        return readers[parts.scheme](parts)
    except ValueError:
        raise ValueError(f"url: allowed: {_KINDS[parts.scheme][2]}") from None


def _folder(parts: SplitResult) -> Folder:
    _require(not parts.netloc)
    return Folder(Path(_absolute(parts.path)))


def _bucket(parts: SplitResult) -> Bucket:
    prefix = unquote(parts.path).strip("/")
    segments = prefix.split("/") if prefix else []
    _require(bool(_BUCKET.fullmatch(parts.netloc)) and not any(one in ("", ".", "..") for one in segments))
    return Bucket(parts.netloc, f"{prefix}/" if prefix else "")


def _remote(parts: SplitResult) -> Remote:
    host, user = parts.hostname or "", parts.username
    _require(parts.password is None and bool(_HOST.fullmatch(host)) and not host.startswith("-"))
    _require(user is None or bool(_USER.fullmatch(user)))
    return Remote(host, _absolute(parts.path), user, parts.port or _SSH_PORT)


def _absolute(text: str) -> PurePosixPath:
    path = PurePosixPath(unquote(text))
    _require(path.is_absolute() and path != PurePosixPath("/") and ".." not in path.parts and "\0" not in str(path))
    return path


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError


_Kind = tuple[type[Location], Callable[[SplitResult], Location], str]
_KINDS: Mapping[str, _Kind] = {
    "directory": (Folder, _folder, "directory:// and the path of a folder"),
    "s3": (Bucket, _bucket, "s3:// and the name of a bucket, with a prefix for the keys where one is wanted"),
    "ssh": (Remote, _remote, "ssh://user@host:port and the path of a folder (user and port may be left out)"),
}

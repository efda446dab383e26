"""A platform whose store is a bucket: its records say how old each APK is, for no client can set a bucket's times."""

import hashlib
import io
import json
import os
import random
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from minio.error import S3Error

from tests.parts.guard import MIB, Guarded
from tests.parts.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from tests.parts.sshd import Sshd

QUERY = "SELECT name AS key, created_at, sha256 FROM apk"


class Kind(NamedTuple):
    """Say of which kind a platform's store, its archive and its catalogue are."""

    store: str
    archive: str
    state: str


KINDS = [
    Kind(store, archive, state)
    for store in ("minio", "versitygw")
    for archive in ("directory", "s3", "same-server", "ssh")
    for state in ("sqlite", "postgresql")
]


@dataclass(frozen=True)
class Bucketed(Guarded):
    """A store in a bucket of a server, an archive of any kind; `endpoint` may be that of a proxy before the server."""

    server: S3Server = field(kw_only=True)
    bucket: str = field(kw_only=True)
    archive_settings: dict[str, Any] = field(kw_only=True, default_factory=dict)
    archive_server: S3Server | None = field(kw_only=True, default=None)
    endpoint: str | None = field(kw_only=True, default=None)

    def write(self, **tables: dict[str, Any] | None) -> "Bucketed":
        self.folder.mkdir(parents=True, exist_ok=True)
        platform = self.folder / "platform.db"
        with closing(sqlite3.connect(platform)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS apk (name TEXT PRIMARY KEY, created_at TEXT, sha256 TEXT)")
        keys = keys_in(self.folder)
        store = {"url": f"s3://{self.bucket}", "endpoint": self.endpoint or self.server.endpoint, **keys}
        usual: dict[str, Any] = {"store": store, "records": {"url": f"sqlite:///{platform}", "query": QUERY}}
        if self.archive_settings:
            usual["archive"] = self.archive_settings
        for name, table in tables.items():
            usual[name] = None if table is None else (usual.get(name) or {}) | table
        super().write(**usual)
        return self

    def put(self, key: str, *, size: int = MIB, days: float = 400, content: bytes | None = None) -> Path:
        found = random.Random(os.fsencode(key)).randbytes(size) if content is None else content  # noqa: S311 - no secret
        self.server.client.put_object(
            self.bucket,
            key,
            io.BytesIO(found),
            len(found),
            content_type="application/vnd.android.package-archive",
            metadata={"x-amz-meta-handle": "org.example"},
        )
        self.recorded({key: hashlib.sha256(found).hexdigest()}, days=days)
        return Path(key)

    def recorded(self, sums: Mapping[str, str], *, days: float) -> None:
        """Have the platform's records say how old these are, and their SHA-256."""
        at = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        with closing(sqlite3.connect(self.folder / "platform.db")) as connection:
            rows = [(key, at, sha256) for key, sha256 in sums.items()]
            connection.executemany("INSERT OR REPLACE INTO apk VALUES (?, ?, ?)", rows)
            connection.commit()

    def stored(self) -> set[str]:
        return {one.object_name or "" for one in self.server.client.list_objects(self.bucket, recursive=True)}

    def contents(self) -> dict[str, str]:
        """Map every object of the store to its SHA-256; what a sweep releases meanwhile is not there."""
        found = {}
        for key in self.stored():
            try:
                found[key] = _sha256(self.server, self.bucket, key)
            except S3Error as error:
                if error.code != "NoSuchKey":
                    raise
        return found

    def archived(self) -> dict[str, str]:
        if self.archive_server is None:
            return super().archived()
        server, bucket = self.archive_server, self.archive_settings["url"].removeprefix("s3://")
        found = {}
        for one in server.client.list_objects(bucket, recursive=True):
            name = one.object_name or ""
            if name.endswith(".manifest.json") and ".exodus-" not in name:
                copy = name.removesuffix(".manifest.json")
                found[json.loads(_content(server, bucket, name))["key"]] = _sha256(server, bucket, copy)
        return found


IN_FOLDERS = [Kind("directory", "directory", state) for state in ("sqlite", "postgresql")]


def platform_of(kind: Kind, folder: Path, fixture: Callable[[str], Any]) -> Guarded:
    """Give an empty store, an archive and a catalogue of a kind, in folders or in buckets."""
    if kind.store != "directory":
        return bucketed_of(kind, folder, fixture)
    return Guarded(folder, fixture("postgresql").database() if kind.state == "postgresql" else None).write()


def bucketed_of(kind: Kind, folder: Path, fixture: Callable[[str], Any]) -> Bucketed:
    """Make a platform of a kind; `fixture` gives the servers by name, and starts those that are asked for."""
    server: S3Server = fixture(kind.store)
    settings: dict[str, str] = {}
    archive_server: S3Server | None = None
    if kind.archive in ("s3", "same-server"):
        another = "versitygw" if kind.store == "minio" else "minio"
        archive_server = server if kind.archive == "same-server" else fixture(another)
        assert archive_server is not None
        settings = {"url": f"s3://{archive_server.bucket()}", "endpoint": archive_server.endpoint, **keys_in(folder)}
    elif kind.archive == "ssh":
        sshd: Sshd = fixture("sshd")
        sshd.expect_host_key()
        settings = {"url": sshd.url(folder / "archive"), **sshd.settings}
    return Bucketed(
        folder,
        fixture("postgresql").database() if kind.state == "postgresql" else None,
        server=server,
        bucket=server.bucket(),
        archive_settings=settings,
        archive_server=archive_server,
    ).write()


def keys_in(folder: Path) -> dict[str, str]:
    """Write the keys to the server into files, as an operator has them; give the settings that name them."""
    (folder / "access-key").write_text(f"{ACCESS_KEY}\n")
    (folder / "secret-key").write_text(f"{SECRET_KEY}\n")
    return {"access_key_file": str(folder / "access-key"), "secret_key_file": str(folder / "secret-key")}


def _content(server: S3Server, bucket: str, key: str) -> bytes:
    response = server.client.get_object(bucket, key)
    try:
        return response.read()
    finally:
        response.close()
        response.release_conn()


def _sha256(server: S3Server, bucket: str, key: str) -> str:
    return hashlib.sha256(_content(server, bucket, key)).hexdigest()

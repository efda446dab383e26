"""Real S3 servers: MinIO, and versitygw over a plain folder."""

import os
import socket
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from minio import Minio

from exodus_storage_guard.stores.s3.pool import Access
from tests.parts.command import ROOT
from tests.parts.mounts import Namespace
from tests.parts.ports import free_port
from tests.parts.processes import running, wait_until_answers

_PROGRAMS = ROOT / ".go/bin"
ACCESS_KEY, SECRET_KEY = "exodus-access", "exodus-secret-0123456789"


@dataclass(frozen=True)
class S3Server:
    """A server that listens on a loopback port; `folder` is where its data are."""

    kind: str
    port: int
    folder: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> Minio:
        """Give a client of the SDK, as an operator's script has it."""
        return Minio(
            f"127.0.0.1:{self.port}",
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=False,
            region="us-east-1",
            # A MinIO that is just starting asks to be asked again in a minute, and the SDK would wait for it.
            http_client=urllib3.PoolManager(timeout=60, retries=urllib3.Retry(2, respect_retry_after_header=False)),
        )

    def bucket(self) -> str:
        """Make a bucket that is nobody else's; give its name."""
        name = f"test-{uuid.uuid4().hex}"
        self.client.make_bucket(name)
        return name

    def begin_upload(self, bucket: str, key: str, parts: int = 2) -> str:
        """Begin an upload in parts of 5 MiB, and never finish it; give its id."""
        client = self.client
        upload = client._create_multipart_upload(bucket, key, {})
        for number in range(1, parts + 1):
            client._upload_part(bucket, key, os.urandom(5 * 1024 * 1024), None, upload, number)
        return upload

    def access(self, **other: Any) -> Access:
        """Give what our door needs to get in."""
        usual = {"endpoint": self.endpoint, "access_key": self.access_key, "secret_key": self.secret_key}
        return Access(**(usual | other))


@contextmanager
def running_minio(
    folder: Path, *, within: Namespace | None = None, data: Path | None = None, **environment: str
) -> Iterator[S3Server]:
    """Run a MinIO for the time of a block; once it runs for five minutes its trash is emptied every second.

    With `within` it runs in a mount namespace, with `data` on another disk than its log.
    """
    port = free_port()
    argv = [
        str(_PROGRAMS / "minio"),
        "server",
        "--quiet",
        "--address",
        f"127.0.0.1:{port}",
        str(data or folder / "data"),
    ]
    usual = {
        "MINIO_ROOT_USER": ACCESS_KEY,
        "MINIO_ROOT_PASSWORD": SECRET_KEY,
        "MINIO_BROWSER": "off",
        "MINIO_API_DELETE_CLEANUP_INTERVAL": "1s",
        "MINIO_PROMETHEUS_AUTH_TYPE": "public",
        "HOME": str(folder),
    }
    if within is not None:
        argv = within.argv(argv)
    with _server("minio", argv, folder, port, usual | environment) as server:
        yield server


@contextmanager
def running_versitygw(folder: Path, *, versions: bool = False) -> Iterator[S3Server]:
    """Run a versitygw for the time of a block; with `versions` its buckets may keep them."""
    port = free_port()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    kept = []
    if versions:
        (folder / "versions").mkdir(exist_ok=True)
        kept = ["--versioning-dir", str(folder / "versions")]
    argv = [str(_PROGRAMS / "versitygw"), "--port", f"127.0.0.1:{port}", "posix", *kept, str(folder / "data")]
    with _server(
        "versitygw", argv, folder, port, {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    ) as server:
        yield server


@contextmanager
def _server(kind: str, argv: list[str], folder: Path, port: int, variables: Mapping[str, str]) -> Iterator[S3Server]:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{kind}.log"
    with running(argv, env={"PATH": os.environ["PATH"], **variables}, log=log) as process:
        server = S3Server(kind, port, folder, process)
        wait_until_answers(process, lambda: _listed(server), log)
        yield server


def _listed(server: S3Server) -> None:
    """Ask for the buckets, once somebody listens; a server that is not ready yet is one that does not answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=1):
        pass
    try:
        server.client.list_buckets()
    except Exception as error:
        raise OSError(str(error)) from error

"""The service as others meet it: a process of its own, asked over its socket."""

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from exodus_storage_guard.admission.connections import UnixConnection
from tests.parts.guard import Guarded
from tests.parts.processes import end_of, running, wait_until_answers


@dataclass(frozen=True)
class Reply:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @classmethod
    def to(cls, connection: http.client.HTTPConnection) -> "Reply":
        """Take the answer to what was asked on a connection."""
        answer = connection.getresponse()
        return cls(answer.status, dict(answer.headers), answer.read())

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def reason(self) -> str:
        return str(self.json["reason"])


@dataclass(frozen=True)
class Service:
    """A service that runs, or ran."""

    socket: Path
    process: "subprocess.Popen[bytes]"
    log: Path

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """Ask on a connection of its own; a body that is no bytes is sent as JSON."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = UnixConnection(self.socket)
        try:
            connection.request(method, path, content, {name.replace("_", "-"): text for name, text in headers.items()})
            return Reply.to(connection)
        finally:
            connection.close()

    def reserve(self, **fields: object) -> Reply:
        return self.ask("POST", "/v1/reservations", fields)

    def reserved(self) -> int:
        """Count what is promised."""
        return int(self.ask("GET", "/v1/status").json["reservations"]["count"])

    def opened(self, folder: Path) -> list[str]:
        """Name the files below a folder that it has open."""
        return [name for name in opened(self.process.pid) if name.startswith(f"{folder}/")]

    def said(self) -> str:
        return end_of(self.log, 200)


def opened(pid: int) -> list[str]:
    """Name what a process has open."""
    found = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(str(one.readlink()))
    return found


def object_path(key: str, *, safe: str = "") -> str:
    """Give the path of an object's bytes."""
    return f"/v1/objects/{quote(os.fsencode(key), safe=safe)}"


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder in which a socket has a name that fits."""
    folder = Path(tempfile.mkdtemp(prefix="exodus-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def running_service(
    guarded: Guarded, at: Path, *, argv: Sequence[str] | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Run the service for the time of a block, once it answers at that socket."""
    log = guarded.folder / "service.log"
    with running(argv or guarded.argv("serve"), env=guarded.environment | dict(env or {}), log=log) as process:
        service = Service(at, process, log)
        wait_until_answers(process, lambda: service.ask("GET", "/openapi.json"), log)
        yield service

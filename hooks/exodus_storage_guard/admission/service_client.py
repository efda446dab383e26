"""The door to the service, which makes room and reads the archive with rights that the caller need not have."""

import http.client
import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from exodus_common.terminal import printable
from exodus_storage_guard.errors import ObjectMissing, StoreFailed
from exodus_storage_guard.model import Need

_log = logging.getLogger(__name__)
_SECONDS = 90.0  # the service has its own command make room within 60
_CHUNK_BYTES = 1024 * 1024
_NOT_FOUND = 404


@dataclass(frozen=True)
class Service:
    """Ask the service that listens on a Unix socket."""

    socket: Path

    def release(self, need: Need) -> None:
        """Have what is premigrated released until there is so much room, and come back."""
        self._told("/v1/room", _fields(need))

    def look(self) -> None:
        """Have the store measured."""
        self._told("/v1/measure", {})

    def start_sweep(self, need: Need | None) -> bool:
        """Have a sweep started; it goes on by itself."""
        return self._told("/v1/sweep", {} if need is None else _fields(need))

    def fetch(self, key: str, target: BinaryIO) -> None:
        """Write an object, archived or not, to a file; raise `ObjectMissing`, `StoreFailed` where it is cut short."""
        with self._answered("GET", f"/v1/objects/{quote(os.fsencode(key), safe='')}") as answer:
            if answer.status == _NOT_FOUND:
                raise ObjectMissing(f"there is no {printable(key)}, neither in the store nor in the archive")
            if answer.status != http.client.OK:
                raise StoreFailed(f"{self._where}: {printable(key)}: {_said(answer)}")
            while chunk := answer.read(_CHUNK_BYTES):
                _write(target, chunk, key)
            if answer.length:
                raise StoreFailed(f"{self._where}: {printable(key)} ends {answer.length} bytes early")

    def _told(self, path: str, fields: Mapping[str, object]) -> bool:
        """Ask for something that may fail: the admission goes on by what it measures."""
        try:
            with self._answered("POST", path, json.dumps(fields).encode()) as answer:
                if answer.status < http.client.BAD_REQUEST:
                    return True
                _log.warning("no room was made: %s", _said(answer))
        except StoreFailed as error:
            _log.warning("no room was made: %s", error)
        return False

    @contextmanager
    def _answered(self, method: str, path: str, body: bytes | None = None) -> Iterator[http.client.HTTPResponse]:
        connection = UnixConnection(self.socket)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            yield connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            what = str(error) or type(error).__name__
            raise StoreFailed(f"{self._where}: {what}; does exodus-storage-guard serve run?") from error
        finally:
            connection.close()

    @property
    def _where(self) -> str:
        return f"the service at {printable(str(self.socket))}"


class UnixConnection(http.client.HTTPConnection):
    """Speak HTTP on a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _write(target: BinaryIO, chunk: bytes, key: str) -> None:
    try:
        target.write(chunk)
    except OSError as error:
        raise StoreFailed(f"cannot write what is fetched of {printable(key)}: {error.strerror}") from error


def _fields(need: Need) -> dict[str, object]:
    return {"bytes": need.bytes, "reservation": need.reservation}


def _said(answer: http.client.HTTPResponse) -> str:
    return printable(f"HTTP {answer.status}: {answer.read(500).decode('utf-8', 'replace')}")

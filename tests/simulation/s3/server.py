"""A simulated S3 server on a loopback port: each bucket is a world of its own, with manners of its own."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from exodus_storage_guard.stores.s3.bucket import BucketDoor
from exodus_storage_guard.stores.s3.pool import Access
from tests.simulation.s3.answers import Answer, Request
from tests.simulation.s3.lies import Manners, Reset, told
from tests.simulation.s3.world import World


@dataclass
class SimulatedS3:
    """Worlds by the name of their bucket."""

    port: int
    worlds: dict[str, tuple[World, Manners]] = field(default_factory=dict, repr=False)

    def door(self, world: World, manners: Manners, **access: Any) -> BucketDoor:
        """Give the real door to a new bucket; it hears the truth until `worlds` says otherwise."""
        name = f"bucket-{len(self.worlds)}"
        self.worlds[name] = world, manners
        usual = {"endpoint": f"http://127.0.0.1:{self.port}", "access_key": "key", "secret_key": "secret"}
        return BucketDoor(Access(**(usual | {"region": "us-east-1"} | access)), name)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        bucket, _, key = parts.path.removeprefix("/").partition("/")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        request = Request(self.command, unquote(bucket), unquote(key), query, headers, body)
        try:
            self._send(told(*self.server.simulated.worlds[request.bucket], request))
        except Reset:
            self._reset()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - named by the standard library

    def _send(self, answer: Answer) -> None:
        """Send head and body at once: two small packets would wait for each other."""
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        left_out = {name for name, value in headers.items() if value == "\0"}
        ends = "Content-Length" in left_out or headers["Content-Length"] != str(len(answer.body))
        self.close_connection = ends or headers.get("Connection") == "close"
        if self.close_connection:
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {answer.status} made up"]
        lines += [f"{name}: {value}" for name, value in headers.items() if name not in left_out]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        with suppress(OSError):
            bare = self.command == "HEAD" or answer.status in (204, 304)
            self.wfile.write(head if bare else head + answer.body)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the standard library
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    simulated: SimulatedS3

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that end early."""


@contextmanager
def simulated_s3() -> Iterator[SimulatedS3]:
    """Run a simulated server for the time of a block."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.simulated = SimulatedS3(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.simulated
        finally:
            server.shutdown()
            thread.join()

"""The way to the Internet for a machine that has none: a proxy behind a socket in its file system, for apt and pip."""

import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

PORT = 3128
_SECONDS = 120
RELAY = f"""
import asyncio

async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()

async def serve(reader, writer):
    outside = await asyncio.open_unix_connection("/opt/outside/internet")
    await asyncio.gather(pump(reader, outside[1]), pump(outside[0], writer), return_exceptions=True)

async def main():
    await (await asyncio.start_server(serve, "127.0.0.1", {PORT})).serve_forever()

asyncio.run(main())
"""
"""Runs inside, and makes a port of the socket: neither apt nor pip speaks to a socket."""


class _Proxy(socketserver.StreamRequestHandler):
    """Connect to whom the first line names (RFC 9110, section 9.3.6), and pass everything on."""

    timeout = _SECONDS

    def handle(self) -> None:
        words = self.rfile.readline().decode("ascii").split()
        if words:  # none where somebody only looked whether we are there
            self._answer(*words)

    def _answer(self, method: str, target: str, version: str) -> None:
        headers = b""
        while (line := self.rfile.readline()).strip():
            headers += b"" if line.lower().startswith((b"connection:", b"proxy-")) else line
        with suppress(OSError):
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                with socket.create_connection((host, int(port)), timeout=_SECONDS) as outside:
                    self.wfile.write(b"HTTP/1.1 200 connected\r\n\r\n")
                    self._pass_on(outside)
            else:
                url = urlsplit(target)
                with socket.create_connection((url.hostname, url.port or 80), timeout=_SECONDS) as outside:
                    outside.sendall(f"{method} {url.path} {version}\r\n".encode() + headers)
                    outside.sendall(b"Connection: close\r\n\r\n")
                    self._pass_on(outside)

    def _pass_on(self, outside: socket.socket) -> None:
        threading.Thread(target=_pump, args=(self.connection, outside), daemon=True).start()
        _pump(outside, self.connection)


def _pump(come: socket.socket, go: socket.socket) -> None:
    with suppress(OSError):
        while data := come.recv(65536):
            go.sendall(data)
        go.shutdown(socket.SHUT_WR)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def way_out(place: Path) -> Iterator[None]:
    """Have such a proxy behind a new socket at a place, for the time of a block."""
    folder = os.open(place.parent, os.O_PATH | os.O_DIRECTORY)  # a socket's path has 107 characters at most
    try:
        with _Server(f"/proc/self/fd/{folder}/{place.name}", _Proxy) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()
    finally:
        os.close(folder)

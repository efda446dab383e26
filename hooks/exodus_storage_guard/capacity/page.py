"""Fetch one page, straight from the address that was named: bounded in its bytes, and in the time for all of it."""

import http.client
import io
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from exodus_common.clock import Deadline
from exodus_common.terminal import printable
from exodus_storage_guard.errors import StoreFailed

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Say where a page is, whom to believe that it is there, and who asks."""

    url: str
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None


def fetch(address: Address, deadline: Deadline) -> str:
    """Give the page; raise `StoreFailed` that names it. No proxy is asked, and no redirect followed with the token.

    Everything but the look-up of a name ends with the deadline, however slowly the answer comes.
    """
    where = printable(address.url)
    try:
        with _connected(address, deadline) as sock:
            return _asked(address, _Timed(sock, deadline))
    except _NotGiven as error:
        raise StoreFailed(f"{where}: {error}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise StoreFailed(f"{where}: {printable(str(error)[:300]) or type(error).__name__}") from error


class _NotGiven(Exception):
    """Say why an answer is not the page."""


def _asked(address: Address, sock: "_Timed") -> str:
    parts = urlsplit(address.url)
    connection = http.client.HTTPConnection(_host(parts))  # it only writes and reads: the socket has TLS already
    connection.sock = sock
    headers = {"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "identity", "Connection": "close"}
    if address.token:
        headers["Authorization"] = f"Bearer {address.token}"
    connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=headers)
    answer = connection.getresponse()
    _refuse_another(answer)
    content = answer.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise _NotGiven(f"the answer is longer than {MOST_BYTES} bytes; is this the address of metrics?")
    if answer.length or content[-1:] not in (b"", b"\n"):  # half a number is one, too
        raise _NotGiven("the answer is cut short")
    return content.decode("utf-8", "replace")


def _refuse_another(answer: http.client.HTTPResponse) -> None:
    """Raise where it is another answer than the page."""
    encoding = answer.getheader("Content-Encoding", "identity")
    if answer.status == http.client.OK and encoding != "identity":
        raise _NotGiven(f"the answer is compressed ({printable(encoding[:40])}), which was not asked for")
    if answer.status == http.client.OK:
        return
    hint = ""
    if 300 <= answer.status < 400:
        to = printable(answer.getheader("Location", "nowhere")[:200])
        hint = f", to {to}; no redirect is followed: set url to where the metrics are"
    elif answer.status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
        hint = "; is token_file right?"
    raise _NotGiven(f"HTTP {answer.status}{hint}")


def _host(parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return host if parts.port is None else f"{host}:{parts.port}"


def _connected(address: Address, deadline: Deadline) -> socket.socket:
    parts = urlsplit(address.url)
    host, is_secure = parts.hostname or "", parts.scheme == "https"
    plain = _reached(host, parts.port or (443 if is_secure else 80), deadline)
    if not is_secure:
        return plain
    try:
        context = ssl.create_default_context(cafile=None if address.ca_file is None else str(address.ca_file))
        plain.settimeout(_left(deadline))  # for the whole handshake
        return context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def _reached(host: str, port: int, deadline: Deadline) -> socket.socket:
    failed: OSError = OSError(f"{printable(host)} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(deadline))
            sock.connect(address)
        except OSError as error:
            failed = error
            sock.close()
        else:
            return sock
    raise failed


def _left(deadline: Deadline) -> float:
    seconds = deadline.remaining_seconds()
    if seconds == 0:
        raise TimeoutError("no whole answer in time")
    return seconds


class _Timed(io.RawIOBase):
    """Be the socket that http.client writes to and reads from; each read may take what is left of the deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_left(self._deadline))
        self._sock.sendall(data)

    def close(self) -> None:
        """Leave it open: http.client closes what it still reads from, and a socket would know of that."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self._sock.settimeout(_left(self._deadline))
        return self._sock.recv_into(buffer)

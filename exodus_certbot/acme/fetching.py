"""The door to a web server, asked as Let's Encrypt's validation server asks: bounded in time and in bytes.

Whoever answers may be anybody, so the deadline is for the whole answer, and however slowly it comes.
"""

import http.client
import io
import socket
import ssl
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TypeVar

from exodus_certbot.acme.redirects import Url, is_address
from exodus_common.clock import Deadline

# An nginx that turns away programs by this header is asked as the CA asks it (Boulder's configuration).
_USER_AGENT = "Mozilla/5.0 (compatible; Let's Encrypt validation server; +https://www.letsencrypt.org)"
MOST_BODY_BYTES = 128  # Boulder's maxResponseSize: an answer has about 87
_MOST_BYTES = 256 * 1024  # with the headers and, behind https, the handshake
_CHUNK_BYTES = 16 * 1024
_MOST_CHARACTERS = 200
_T = TypeVar("_T")


class Unanswered(Exception):
    """Say in words that a person can do something about why there was no answer."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Hold an answer; the body's first bytes only."""

    status: int
    location: str
    body: bytes


def fetch(url: Url, address: str, port: int, deadline: Deadline) -> Fetched:
    """Ask for a URL at an address, whatever its name resolves to; raise `Unanswered`."""
    try:
        with closing(socket.create_connection((address, port), timeout=_left_seconds(deadline))) as connection:
            wire = _Wire(connection, deadline)
            channel: _Wire | _Secure = _Secure(wire, url.host) if url.scheme == "https" else wire
            channel.send(_request(url))
            # HTTPResponse wants a socket, and of it only what makes a file.
            file = SimpleNamespace(makefile=lambda _mode: io.BufferedReader(_Readable(channel.receive)))
            answer = http.client.HTTPResponse(file, method="GET")  # type: ignore[arg-type]
            answer.begin()
            return Fetched(answer.status, answer.getheader("Location", ""), answer.read(MOST_BODY_BYTES))
    except TimeoutError as error:
        raise Unanswered("no answer in time") from error
    except ConnectionRefusedError as error:
        raise Unanswered("nobody answers there") from error
    except ssl.SSLError as error:
        raise Unanswered(f"TLS fails: {error.reason or error}"[:_MOST_CHARACTERS]) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unanswered(f"{type(error).__name__}: {error}"[:_MOST_CHARACTERS]) from error


def _request(url: Url) -> bytes:
    """Write the request as Boulder does, header for header."""
    lines = [f"GET {url.target} HTTP/1.1", f"Host: {url.authority}", f"User-Agent: {_USER_AGENT}"]
    return "\r\n".join([*lines, "Accept: */*", "Connection: close", "", ""]).encode("latin-1")


def _left_seconds(deadline: Deadline) -> float:
    seconds = deadline.remaining_seconds()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class _Wire:
    """Send and receive on a socket until the deadline, and so many bytes at most."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection, self._deadline, self._left_bytes = connection, deadline, _MOST_BYTES

    def send(self, content: bytes) -> None:
        self._connection.settimeout(_left_seconds(self._deadline))
        self._connection.sendall(content)

    def receive(self, most_bytes: int = _CHUNK_BYTES) -> bytes:
        """Give what has come, nothing at its end."""
        if self._left_bytes <= 0:
            raise OSError(f"more than {_MOST_BYTES} bytes come before the answer")
        self._connection.settimeout(_left_seconds(self._deadline))
        received = self._connection.recv(min(most_bytes, self._left_bytes))
        self._left_bytes -= len(received)
        return received


class _Secure:
    """Speak TLS over a wire of ours, for a socket of Python's own could be kept busy past any deadline."""

    def __init__(self, wire: _Wire, host: str) -> None:
        self._wire, self._incoming, self._outgoing = wire, ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if is_address(host) else host
        self._session = _trusting_anybody().wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._do(self._session.do_handshake)

    def send(self, content: bytes) -> None:
        self._do(lambda: self._session.write(content))

    def receive(self, most_bytes: int = _CHUNK_BYTES) -> bytes:
        try:
            return self._do(lambda: self._session.read(most_bytes))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def _do(self, step: Callable[[], _T]) -> _T:
        """Take a step of TLS, with whatever has to go to and fro for it."""
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._wire.send(self._outgoing.read())
                received = self._wire.receive()
                self._incoming.write(received) if received else self._incoming.write_eof()
            else:
                self._wire.send(self._outgoing.read())
                return done


def _trusting_anybody() -> ssl.SSLContext:
    """Verify nothing, as a CA does after a redirect: there may be no good certificate yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # nor how weak its key is
    return context


class _Readable(io.RawIOBase):
    """Be the file from which HTTPResponse reads."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        super().__init__()
        self._receive = receive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        received = self._receive(min(len(buffer), _CHUNK_BYTES))
        buffer[: len(received)] = received
        return len(received)

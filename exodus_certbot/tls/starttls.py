"""Have a mail server go over to TLS: SMTP (RFC 3207), IMAP (RFC 9051, section 6.2.1), POP3 (RFC 2595, section 4).

By hand: smtplib, imaplib and poplib bound neither the number of lines nor the whole time, cannot send a PROXY header
first, and forget in silence what came in clear text after the answer. The standard library only, for handshake.py
loads this file by itself.
"""

import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# RFC 5321, section 4.5.3.1.5; nginx's own lines are far shorter, those of IMAP and POP3 too.
MOST_LINE_BYTES = 512
MOST_LINES = 100
_MOST_SHOWN = 80


class Refused(OSError):
    """Say why a server did not begin TLS."""


@dataclass(frozen=True, slots=True)
class Step:
    """Send some bytes, then read lines up to one that fits `last`; it must fit `good` as well."""

    send: bytes
    last: re.Pattern[bytes]
    good: re.Pattern[bytes]


def _step(send: bytes, last: bytes, good: bytes) -> Step:
    return Step(send, re.compile(last), re.compile(good))


# nginx answers 503 to whoever speaks before its greeting or sends a command too early, so each step is waited for.
STEPS = {
    "smtp": (
        _step(b"", rb"\d{3}( |\Z)|(?!\d{3}-)", rb"220\b"),
        _step(b"EHLO exodus-certbot.invalid\r\n", rb"\d{3}( |\Z)|(?!\d{3}-)", rb"250\b"),
        _step(b"STARTTLS\r\n", rb"\d{3}( |\Z)|(?!\d{3}-)", rb"220\b"),
    ),
    "imap": (_step(b"", rb"", rb"\* OK\b"), _step(b"a1 STARTTLS\r\n", rb"(?!\* )", rb"a1 OK\b")),
    "pop3": (_step(b"", rb"", rb"\+OK\b"), _step(b"STLS\r\n", rb"", rb"\+OK\b")),
}


def begin(
    connection: socket.socket, ends_at: float, protocol: str, monotonic: Callable[[], float] = time.monotonic
) -> None:
    """Bring a fresh connection to where the client speaks TLS; raise Refused, or TimeoutError once it is `ends_at`."""
    lines = _Lines(connection, ends_at, monotonic)
    for step in STEPS[protocol]:
        if step.send:
            lines.bound()
            connection.sendall(step.send)
        answer = lines.last_of(step)
        if not step.good.match(answer):
            raise Refused(f"the server said {_shown(answer)} to {step.send.strip().decode() or 'a new connection'}")
    # Whoever sits in between may have put it there; the lines of no client are to be taken for part of TLS.
    if lines.buffered:
        raise Refused("the server sent more in clear text after it had agreed to begin TLS")
    lines.bound()


@dataclass(slots=True)
class _Lines:
    """Read lines, none without an end, not for ever, and not after the time is up."""

    connection: socket.socket
    ends_at: float
    monotonic: Callable[[], float]
    buffered: bytes = field(default=b"", init=False)

    def last_of(self, step: Step) -> bytes:
        for _ in range(MOST_LINES):
            line = self._line()
            if step.last.match(line):
                return line
        raise Refused(f"the server sent more than {MOST_LINES} lines in one answer")

    def _line(self) -> bytes:
        while b"\n" not in self.buffered:
            if len(self.buffered) > MOST_LINE_BYTES:
                raise Refused(f"the server sent a line of more than {MOST_LINE_BYTES} bytes")
            self.bound()
            received = self.connection.recv(MOST_LINE_BYTES)
            if not received:
                raise Refused("the server closed the connection before TLS began")
            self.buffered += received
        line, _, self.buffered = self.buffered.partition(b"\n")
        return line.rstrip(b"\r")

    def bound(self) -> None:
        """Give the next call on the socket what is left of the time."""
        left_seconds = self.ends_at - self.monotonic()
        if left_seconds <= 0:
            raise TimeoutError
        self.connection.settimeout(left_seconds)


def _shown(line: bytes) -> str:
    return repr(line[:_MOST_SHOWN].decode("ascii", "backslashreplace"))

"""Connections to a service's socket, kept for a moment: to begin one costs as much as what is asked on it."""

import http.client
import os
import select
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exodus_common.clock import Clock, SystemClock

_CONNECTING_SECONDS = 5.0
_KEPT_SECONDS = 5.0  # the service hangs up on who says nothing for ten
_MOST_KEPT = 4


class UnixConnection(http.client.HTTPConnection):
    """Speak HTTP on a Unix socket."""

    def __init__(self, path: Path, seconds: float = 90.0) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path, self._seconds = path, seconds
        self._whole: bytearray | None = None

    def request(self, *asked: Any, **more: Any) -> None:
        """Send a request in one piece: for its head alone the service would be woken in vain."""
        self._whole = whole = bytearray()
        try:
            super().request(*asked, **more)
        finally:
            self._whole = None
        self.send(whole)

    def send(self, data: Any) -> None:
        """Send something, or keep it for the whole that it is of."""
        if self._whole is None:
            super().send(data)
        else:
            self._whole += data

    def connect(self) -> None:
        """Connect to the socket, where need be after all who came before."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A socket with a timeout of Python's is turned away where many wait already; by the kernel's own it waits, too.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(min(self._seconds, _CONNECTING_SECONDS)))
        self.sock.connect(str(self._path))
        self.sock.settimeout(self._seconds)

    def is_answered(self, seconds: float) -> bool:
        """Wait for so long at most; tell whether there is something to read."""
        waiting = select.poll()
        waiting.register(self.sock, select.POLLIN)
        return bool(waiting.poll(max(0.0, seconds) * 1000))


@dataclass(frozen=True)
class _Kept:
    """A connection on which nothing is awaited, when that was, and whose it is as the service sees it."""

    connection: UnixConnection
    since: float
    owner: tuple[int, int]


@dataclass
class Connections:
    """Keep what was asked on; threads may share it, and it outlives a fork: who asks is known by the connection."""

    clock: Clock = field(default_factory=SystemClock)
    _kept: list[_Kept] = field(default_factory=list, init=False)

    def __del__(self) -> None:
        """Close what is kept."""
        for one in self._kept:
            one.connection.close()

    def kept(self, seconds: float) -> UnixConnection | None:
        """Take one that is still open at both ends; what is asked on it ends within so many seconds."""
        while True:
            try:
                last = self._kept.pop()
            except IndexError:
                return None
            is_fresh = self.clock.monotonic() - last.since < _KEPT_SECONDS
            # Where there is something to read though nothing was asked, the service has hung up.
            if is_fresh and last.owner == _owner() and not last.connection.is_answered(0):
                last.connection.sock.settimeout(seconds)
                return last.connection
            last.connection.close()

    def done(self, connection: UnixConnection, *, is_read: bool) -> None:
        """Keep one whose answer was read to its end, or close it."""
        if is_read and connection.sock is not None and len(self._kept) < _MOST_KEPT:
            self._kept.append(_Kept(connection, self.clock.monotonic(), _owner()))
        else:
            connection.close()


def _owner() -> tuple[int, int]:
    return os.getpid(), os.geteuid()


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, int((seconds - whole) * 1_000_000))

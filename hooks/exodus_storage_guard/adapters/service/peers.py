"""Know who is at the other end of a connection, and let nobody hold up the others: uvicorn's protocol, with bounds."""

import socket
import struct
from collections import defaultdict
from typing import Any, ClassVar

from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exodus_storage_guard import processes
from exodus_storage_guard.admission.reservations import Asker

_MOST_HEAD_BYTES = 64 * 1024
_MOST_OF_A_USER = 200
_SILENT_SECONDS = 10.0
_CREDENTIALS = struct.Struct("3i")  # ucred of unix(7): process, user, group; uids are unsigned
_NOBODY = 2**32 - 1


def asker(request: Request, *, ends_with_process: bool) -> Asker:
    """Say who asks, as the kernel knows it."""
    assert request.client is not None
    return Asker(user(request), processes.process(request.client.port) if ends_with_process else None)


def user(request: Request) -> int:
    """Give the number of the user who asks."""
    assert request.client is not None
    return int(request.client.host)


class PeerProtocol(HttpToolsProtocol):
    """Speak HTTP with one client: its user and process stand where an address would."""

    _of_users: ClassVar[dict[str, dict["PeerProtocol", None]]] = defaultdict(dict)

    def connection_made(self, transport: Any) -> None:
        """Take note of who connects; of a user who has too many the one that is idle for the longest is closed."""
        super().connection_made(transport)
        self._head_bytes: int | None = 0
        self.client = self._peer = _peer(transport.get_extra_info("socket"))
        mine = self._of_users[self._peer[0]]
        mine[self] = None
        if len(mine) > _MOST_OF_A_USER:
            next((one for one in mine if one._is_idle()), self)._hang_up()
        self._silent = self.loop.call_later(_SILENT_SECONDS, self._hang_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._silent.cancel()
        self._of_users[self._peer[0]].pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what comes; a head that does not end is not read on."""
        super().data_received(data)
        if self._head_bytes is not None:  # what is read at once is bounded, and may be more than a head
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES:
                self._hang_up()

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Count no more: the body has a bound of its own."""
        self._head_bytes = None
        self._silent.cancel()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Wait for the next head, not for ever."""
        super().on_response_complete()
        self._silent.cancel()
        self._silent = self.loop.call_later(_SILENT_SECONDS, self._hang_up)

    def _is_idle(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return cycle is None or bool(cycle.response_complete)

    def _hang_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


def _peer(connection: socket.socket) -> tuple[str, int]:
    if connection.family != socket.AF_UNIX:
        return str(_NOBODY), 0
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(found)
    return str(uid % 2**32), pid

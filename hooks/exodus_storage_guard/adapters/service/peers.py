"""Know who is at the other end of a connection, and let nobody hold up the others: uvicorn's protocol, with bounds."""

import asyncio
import socket
import struct
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exodus_storage_guard import processes
from exodus_storage_guard.admission.asking import Asker

_MOST_BESIDE_BODY_BYTES = 64 * 1024
_MOST_AHEAD = 1
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


def gone(request: Request) -> "asyncio.Future[None]":
    """Give what is done once the client has gone."""
    found: asyncio.Future[None] = request.scope["gone"]
    return found


@dataclass
class _User:
    """Know the connections of a user, oldest first, and how many were for nothing within a second."""

    connected: dict["PeerProtocol", None] = field(default_factory=dict)
    _wasted: int = 0
    _until: float = 0.0

    def waste(self, now: float) -> None:
        """Take note that one was for nothing: its client left before it was answered, or he had too many."""
        if now >= self._until:
            self._wasted, self._until = 0, now + 1
        self._wasted += 1

    def is_turned_away(self, now: float) -> bool:
        """Tell whether that was too much for now."""
        return self._wasted > _MOST_OF_A_USER and now < self._until


class NotTaken(Exception):
    """Say to the parser that nothing of this connection is read on."""


class PeerProtocol(HttpToolsProtocol):
    """Speak HTTP with one client: its user and process stand where an address would."""

    _of_users: ClassVar[dict[str, _User]] = defaultdict(_User)

    def connection_made(self, transport: Any) -> None:
        """Take note of who connects; of a user who has too many the one that is idle for the longest is closed.

        Whoever asks and does not wait for an answer, again and again, is turned away before anything is read.
        """
        self.client = self._peer = _peer(transport.get_extra_info("socket"))
        self._user, self._is_taken = self._of_users[self._peer[0]], False
        if self._user.is_turned_away(self.loop.time()):
            transport.abort()
            return
        super().connection_made(transport)
        self.client, self._is_taken = self._peer, True
        self._beside_body_bytes, self._is_head_read = 0, False
        self._unanswered: deque[Any] = deque()
        self._is_heard = False
        self._gone: asyncio.Future[None] = self.loop.create_future()
        self._silent = self.loop.call_later(_SILENT_SECONDS, self._hang_up)
        mine = self._user.connected
        mine[self] = None
        if len(mine) > _MOST_OF_A_USER:
            one_less = next((one for one in mine if one._is_idle()), self)
            if not one_less._is_heard:  # else it was answered, and kept for what might follow
                self._user.waste(self.loop.time())
            one_less._hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it, and tell whoever is at work on what it asked."""
        if not self._is_taken:
            return
        if self in self._user.connected:  # else it was we who ended it
            del self._user.connected[self]
            if self._unanswered or not self._is_heard:
                self._user.waste(self.loop.time())
        self._silent.cancel()
        self._gone.set_result(None)
        super().connection_lost(exc)
        for cycle in self._unanswered:  # uvicorn tells the last one only
            cycle.disconnected = True
            cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Take what comes; what is no body and does not end is not read on."""
        self._beside_body_bytes += len(data)
        super().data_received(data)
        if self._beside_body_bytes > _MOST_BESIDE_BODY_BYTES:
            self._hang_up()

    def on_message_begin(self) -> None:
        """Begin to count; who asks ahead of the answers may do so once."""
        if len(self._unanswered) > _MOST_AHEAD:
            self._take_nothing_more()
        self._beside_body_bytes, self._is_head_read = 0, False
        super().on_message_begin()
        scope: Any = self.scope
        scope["gone"] = self._gone

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one that comes after the body would be kept, and nobody reads it."""
        if self._is_head_read:
            self._take_nothing_more()
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Have the request answered."""
        self._is_head_read = True
        self._silent.cancel()
        super().on_headers_complete()
        self._unanswered.append(self.cycle)
        self.flow.resume_reading()  # who does not read does not see that the client has gone

    def on_body(self, body: bytes) -> None:
        """Take some of a body, which has a bound of its own where somebody reads it already."""
        self._beside_body_bytes -= len(body)
        super().on_body(body)
        if len(self._unanswered) > 1 and len(self.cycle.body) > _MOST_BESIDE_BODY_BYTES:
            self._take_nothing_more()

    def on_response_complete(self) -> None:
        """Wait for the next head, not for ever."""
        self._unanswered.popleft()
        self._is_heard = True
        super().on_response_complete()
        self._silent.cancel()
        if self._is_idle():
            self._silent = self.loop.call_later(_SILENT_SECONDS, self._hang_up)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, where anybody is there to hear."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _is_idle(self) -> bool:
        return not self._unanswered

    def _take_nothing_more(self) -> NoReturn:
        self._hang_up()
        raise NotTaken

    def _hang_up(self) -> None:
        self._user.connected.pop(self, None)  # at once: it is no candidate for those that come before it ends
        if not self.transport.is_closing():
            self.transport.abort()


def _peer(connection: socket.socket) -> tuple[str, int]:
    if connection.family != socket.AF_UNIX:
        return str(_NOBODY), 0
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(found)
    return str(uid % 2**32), pid

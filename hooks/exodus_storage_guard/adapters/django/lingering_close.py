"""Part from a client whose upload was stopped: it is still sending, and whoever hangs up on it takes the answer away.

A proxy in front, or a browser, that finds its connection closed while it sends reports that, and not what was answered
(nginx: 502). So what comes is read and dropped for a while once the answer is out, as nginx' own lingering_close does.

A proxy that has the whole body sends no more of it once it is answered, and waits for the answer's end: it has to know
where that is, or both wait for each other.
"""

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from exodus_common.clock import Clock, SystemClock

_log = logging.getLogger(__name__)
_MOST_SECONDS, _CHUNK_BYTES = 10.0, 4 * 1024
_SILENT_SECONDS = 2.0


def linger(request: HttpRequest, response: HttpResponseBase, clock: Clock | None = None) -> None:
    """Have the rest of a request read when its answer is closed, which a server does once it has sent it."""
    if not response.streaming and not response.has_header("Content-Length"):
        response.headers["Content-Length"] = str(len(response.content))
    close: Callable[[], None] = response.close

    def close_and_drain() -> None:
        close()
        _drain(request, clock or SystemClock())

    if not isinstance(request, ASGIRequest):  # its body was taken before
        response.close = close_and_drain


def _drain(request: HttpRequest, clock: Clock) -> None:
    until = clock.monotonic() + _MOST_SECONDS
    connection = request.META.get("gunicorn.socket")
    try:
        with _ended_in_time(connection):
            while request.read(_CHUNK_BYTES) and clock.monotonic() < until:
                pass
    except (OSError, ValueError) as error:  # it has hung up, as it may, or what it sent is closed
        _log.debug("the rest of a refused upload did not come: %s", error)


@contextmanager
def _ended_in_time(connection: Any) -> Iterator[None]:
    """Have a connection end where it is silent, or still sends after so long: a read waits for a whole chunk.

    Only where the server gives it: no other way ends a read of a client that sends a byte a second.
    """
    if connection is None:
        yield
        return
    connection.settimeout(_SILENT_SECONDS)

    def end() -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    ending = Timer(_MOST_SECONDS, end)
    ending.daemon = True
    ending.start()
    try:
        yield
    finally:
        ending.cancel()

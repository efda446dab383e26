"""Part from a client whose upload was stopped: it is still sending, and whoever hangs up on it takes the answer away.

A proxy in front, or a browser, that finds its connection closed while it sends reports that, and not what was answered
(nginx: 502). So what comes is read and dropped for a while once the answer is out, as nginx' own lingering_close does.

A proxy that has the whole body sends no more of it once it is answered, and waits for the answer's end: it has to know
where that is, or both wait for each other.
"""

import logging
from collections.abc import Callable

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

    response.close = close_and_drain


def _drain(request: HttpRequest, clock: Clock) -> None:
    until = clock.monotonic() + _MOST_SECONDS
    connection = request.META.get("gunicorn.socket")
    try:
        if connection is not None:  # it waits as long as a client is silent
            connection.settimeout(_SILENT_SECONDS)
        while request.read(_CHUNK_BYTES) and clock.monotonic() < until:
            pass
    except OSError as error:  # it has hung up, as it may
        _log.debug("the rest of a refused upload did not come: %s", error)

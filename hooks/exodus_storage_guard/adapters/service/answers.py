"""What the service answers: JSON, refusals, and an object's bytes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exodus_common.errors import ExodusError, TryLater
from exodus_common.render import json_text
from exodus_storage_guard.adapters.service.service import Chunks
from exodus_storage_guard.errors import UploadRefused

_log = logging.getLogger(__name__)
NOT_FOUND = 404
_STALLED_SECONDS = 60.0

Ask = Callable[..., Awaitable[bytes]]


def as_json(status: int, fields: object, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(json_text(fields), status, headers, "application/json")


def problem(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    """Answer what is wrong."""
    return as_json(status, {"reason": reason}, headers)


def refused(refusal: UploadRefused) -> Response:
    """Answer that there is no room: 503 and when to come back, or 507 where no sweep can help."""
    later = refusal.retry_after_seconds
    fields = {"refused": True, "reason": refusal.reason, "retry_after_seconds": later, "why": refusal.why}
    return as_json(refusal.http_status, fields, {} if later is None else {"retry-after": str(later)})


class ObjectBytes(Response):
    """Send an object; where that cannot be done to its end it is cut short, and nothing of it stays open.

    `place` is given back when that is so.
    """

    media_type = "application/octet-stream"

    def __init__(self, size_bytes: int, chunks: Chunks, ask: Ask, place: ExitStack) -> None:
        """Take the bytes, and how to have them read beside the loop."""
        super().__init__(headers={"content-length": str(size_bytes)})
        self._chunks, self._ask, self._place = chunks, ask, place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it as its client takes it; one that went away is not read for."""
        with self._place:
            await self._sent(receive, send)

    async def _sent(self, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while not gone.done() and (chunk := await self._ask(next, self._chunks, b"")):
                await _passed_on(send, chunk)
            await send({"type": "http.response.body", "body": b""})
        except ExodusError as error:
            _log.warning("an answer is cut short: %s", error)
        finally:
            gone.cancel()
            with suppress(ValueError):  # its thread still reads; it is closed when that is done
                await self._ask(self._chunks.close)


async def until_gone(receive: Receive) -> None:
    """Wait until the client has gone; what it sends until then nobody wants."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _passed_on(send: Send, chunk: bytes) -> None:
    try:
        async with asyncio.timeout(_STALLED_SECONDS):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except TimeoutError:
        raise TryLater(f"the client took nothing for {_STALLED_SECONDS:g} s") from None

"""Starlette and FastAPI: an ASGI middleware that reserves before the body is read.

    app.add_middleware(GuardMiddleware, paths={"/upload"})

    async def upload(request: Request, ...):
        ...
        request.state.room.note(key, size_bytes)  # what was stored: that is committed, and nothing else

Where a broken guard's uploads are accepted it can be used as ever, and nothing is counted. With FastAPI a dependency
comes too late: it is asked once the body has been read.
"""

import asyncio
from collections.abc import Collection
from functools import partial
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exodus_storage_guard import words
from exodus_storage_guard.adapters import clients
from exodus_storage_guard.adapters.gate import Gate, WhenBroken
from exodus_storage_guard.adapters.room import Room
from exodus_storage_guard.admission import unguarded
from exodus_storage_guard.errors import UploadRefused

_LENGTH_REQUIRED = 411
_LONGEST_SIZE = 100  # digits
_BODIES = ["POST", "PUT", "PATCH"]


class GuardMiddleware:
    """Have room for what a request to one of `paths` declares, or answer 503 or 507 without reading its body.

    They are paths as a `Route` has them, "/apps/{id}/file" too; what a proxy strips (`root_path`) is no part of them.
    One that declares no length is answered 411. While its body comes a request keeps its room; one that brings nothing
    for `idle_seconds` loses it, and ends as if its client had gone.
    """

    def __init__(
        self,
        app: ASGIApp,
        paths: Collection[str],
        config: str | Path | None = None,
        when_broken: WhenBroken | None = None,
        idle_seconds: float = 60.0,
    ) -> None:
        """Take the application, and which of its paths take uploads."""
        self._app, self._idle_seconds = app, idle_seconds
        self._routes = [Route(path, _nobody, methods=_BODIES) for path in paths]
        self._gate = Gate(None if config is None else Path(config), when_broken)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        # Which part of its path a request is routed by differs between Starlette's versions: its own route knows.
        if scope["type"] != "http" or not any(one.matches(scope)[0] is Match.FULL for one in self._routes):
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if not declared.isdecimal():
            await PlainTextResponse("A length has to be declared.", _LENGTH_REQUIRED)(scope, receive, send)
            return
        await self._within_room(int(declared.lstrip("0")[:_LONGEST_SIZE] or "0"), scope, receive, send)

    async def _within_room(self, size_bytes: int, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = partial(self._gate.admit, size_bytes, lease_seconds=self._idle_seconds, client=_client(scope))
        try:
            room = await asyncio.to_thread(wanted)
        except UploadRefused as refusal:
            later = refusal.retry_after_seconds
            headers = {} if later is None else {"retry-after": str(later)}
            theirs = words.for_reader(Headers(scope=scope).get("accept-language", ""))
            await PlainTextResponse(words.refused(refusal, theirs), refusal.http_status, headers)(scope, receive, send)
            return
        scope.setdefault("state", {})["room"] = room or Room(unguarded.reservation(), self._gate.hold)
        try:
            await self._app(scope, _Kept(self._gate, room, receive, self._idle_seconds), send)
        finally:
            await asyncio.to_thread(self._gate.settle, room)


async def _nobody(request: Request) -> Response:
    raise AssertionError("only asked whether it would be")


def _client(scope: Scope) -> str | None:
    """Name who sends a request: None for a user who is logged in (`AuthenticationMiddleware`), else his address."""
    if "user" in scope and scope["user"].is_authenticated:
        return None
    return clients.at(scope["client"][0] if scope.get("client") else None)


class _Kept:
    """Pass on what a client sends, and have its room kept while something comes."""

    def __init__(self, gate: Gate, room: Room | None, receive: Receive, idle_seconds: float) -> None:
        self._gate, self._room, self._receive, self._idle_seconds = gate, room, receive, idle_seconds
        self._extended_at = asyncio.get_running_loop().time()

    async def __call__(self) -> Message:
        message = await self._receive()
        now, ends = asyncio.get_running_loop().time(), not message.get("more_body", False)
        if self._room is None or not (ends or now - self._extended_at > self._idle_seconds / 4):
            return message
        self._extended_at = now
        lease = None if ends else self._idle_seconds
        if message["type"] == "http.request" and not await asyncio.to_thread(self._gate.extend, self._room, lease):
            return {"type": "http.disconnect"}
        return message

"""The service: the guard over HTTP on a Unix socket, for other users, languages, and nginx before it takes a body.

An ASGI application without a framework; what it says is described in openapi.json beside it. Who may write to the
socket may ask it: that is all its access control.
"""

import asyncio
import json
import logging
import os
import re
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

from exodus_common.errors import ExodusError, TryLater, UsageError
from exodus_common.render import json_text
from exodus_storage_guard.adapters.service.service import Chunks, GuardService
from exodus_storage_guard.errors import ObjectMissing, UploadRefused

_log = logging.getLogger(__name__)
_MOST_BODY_BYTES = 64 * 1024
_MOST_UPLOAD_BYTES = 2**53  # the last whole number that every language's JSON has
_MOST_WAIT_SECONDS, _MOST_LEASE_SECONDS = 600, 30 * 86400
_LONGEST_SIZE = 100  # digits
_STALLED_SECONDS = 60.0
_THREADS = {"quick": 4, "patient": 32, "reading": 32}
_RESERVATION = "[0-9A-Za-z-]{1,64}"
_JSON = {"content-type": "application/json"}

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Ask = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold a request: the parts of its path that a route names, its headers, and the fields of its JSON body."""

    parts: Mapping[str, str]
    headers: Mapping[str, str]
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what is answered: `content`, or else `chunks`. `undo` is called where the client did not wait for it."""

    status: int
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Chunks | None = None
    undo: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True)
class Route:
    """Say who answers what, from which fields of a body; None takes any.

    Whoever may take minutes has threads apart from the quick ones', and an archive that hangs holds up readers alone.
    """

    method: str
    path: re.Pattern[str]
    answer: Callable[[GuardService, Asked], Answer]
    threads: Literal["quick", "patient", "reading"] = "quick"
    takes: Collection[str] | None = ()


class Refused(UsageError):
    """Say that a request is none: what was found, what is allowed."""


class _GoneError(Exception):
    """Say that the client went away before it had asked."""


def application(service: GuardService) -> Callable[[dict[str, Any], Receive, Send], Coroutine[Any, Any, None]]:
    """Give the ASGI application."""
    threads = {name: ThreadPoolExecutor(many, thread_name_prefix=name) for name, many in _THREADS.items()}

    async def serve(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            route, asked = await _asked(scope, receive)
        except _GoneError:
            return
        ask = partial(asyncio.get_running_loop().run_in_executor, threads[route.threads])
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await _sent(await ask(_answered, route, service, asked), send, gone, ask)
        finally:
            gone.cancel()

    return serve


async def _asked(scope: dict[str, Any], receive: Receive) -> tuple[Route, Asked]:
    """Read a request; raise `_GoneError` where its client went away before its end."""
    route, parts = _found(scope["method"], scope["raw_path"].partition(b"?")[0].decode("latin-1"))
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    try:
        return route, Asked(parts, headers, _fields(await _body(receive)))
    except Refused as error:
        return _refusing(_problem(400, str(error))), Asked({}, headers, {})


def _found(method: str, path: str) -> tuple[Route, Mapping[str, str]]:
    allowed = set()
    for route in ROUTES:
        match = route.path.fullmatch(path)
        if match and route.method == method:
            return route, {name: os.fsdecode(unquote_to_bytes(part)) for name, part in match.groupdict().items()}
        if match:
            allowed.add(route.method)
    methods = ", ".join(sorted(allowed))
    if allowed:
        return _refusing(_problem(405, f"allowed: {methods}", {"allow": methods})), {}
    return _refusing(_problem(404, "there is nothing here; see /openapi.json")), {}


def _refusing(problem: Answer) -> Route:
    return Route("", re.compile(""), lambda service, asked: problem, takes=None)


async def _body(receive: Receive) -> bytes:
    """Take the body, or what shows that it is too large; one that is cut short is none."""
    body = bytearray()
    try:
        async with asyncio.timeout(_STALLED_SECONDS):
            while len(body) <= _MOST_BODY_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _GoneError
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
    except TimeoutError:
        raise Refused(f"the body did not come within {_STALLED_SECONDS:g} s") from None
    return bytes(body)


def _fields(body: bytes) -> Mapping[str, Any]:
    if len(body) > _MOST_BODY_BYTES:
        raise Refused(f"the body is too large; allowed: {_MOST_BODY_BYTES} bytes")
    try:
        found = json.loads(body) if body else {}
    except (ValueError, RecursionError) as error:
        raise Refused(f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Refused("the body is no JSON object")
    return found


async def _gone(receive: Receive) -> None:
    """Wait until the client has gone; what it sends until then nobody wants."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _answered(route: Route, service: GuardService, asked: Asked) -> Answer:
    try:
        _check_names(route, asked)
        return route.answer(service, asked)
    except UploadRefused as refusal:
        return refused(refusal)
    except UsageError as error:
        return _problem(400, str(error))
    except ObjectMissing as error:
        return _problem(404, str(error))
    except TryLater as error:
        return _problem(503, str(error), {"retry-after": "10"})
    except ExodusError as error:
        return _problem(500, str(error))


def _check_names(route: Route, asked: Asked) -> None:
    """Refuse a field that nobody reads: an upload whose size is misspelt has none."""
    unknown = [name for name in asked.fields if route.takes is not None and name not in route.takes]
    if unknown:
        raise Refused(f"found {unknown[0][:40]!r}; allowed: {', '.join(route.takes or ()) or 'no body'}")


async def _sent(answer: Answer, send: Send, gone: "asyncio.Future[None]", ask: Ask) -> None:
    """Send an answer; where that cannot be done to its end it is cut short, and nothing of it stays open."""
    try:
        if gone.done():
            await ask(answer.undo)
            return
        await _begun(send, answer)
        while answer.chunks and not gone.done() and (chunk := await ask(next, answer.chunks, b"")):
            await _passed_on(send, chunk)
        await send({"type": "http.response.body", "body": answer.content})
    except ExodusError as error:
        _log.warning("an answer is cut short: %s", error)
    finally:
        if answer.chunks:
            with suppress(ValueError):  # its thread still reads; it is closed when that is done
                await ask(answer.chunks.close)


async def _begun(send: Send, answer: Answer) -> None:
    headers = dict(answer.headers)
    if not answer.chunks and answer.status != 204:
        headers["content-length"] = str(len(answer.content))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})


async def _passed_on(send: Send, chunk: bytes) -> None:
    try:
        async with asyncio.timeout(_STALLED_SECONDS):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except TimeoutError:
        raise TryLater(f"the client took nothing for {_STALLED_SECONDS:g} s") from None


def as_json(status: int, fields: object, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with JSON."""
    return Answer(status, json_text(fields).encode("ascii"), {**_JSON, **(headers or {})})


def refused(refusal: UploadRefused) -> Answer:
    """Answer that there is no room: 503 and when to come back, or 507 where no sweep can help."""
    later = refusal.retry_after_seconds
    fields = {"refused": True, "reason": refusal.reason, "retry_after_seconds": later}
    return as_json(refusal.http_status, fields, {} if later is None else {"retry-after": str(later)})


def _problem(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Answer:
    return as_json(status, {"reason": reason}, headers)


def _number(asked: Asked, name: str, most: int) -> float | None:
    found = asked.fields.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= most:
        raise Refused(f"{name}: found {str(found)[:40]!r}; allowed: a number, 0 to {most}")
    return found


def _bytes(asked: Asked) -> int | None:
    found = _number(asked, "bytes", _MOST_UPLOAD_BYTES)
    if found is not None and found != int(found):
        raise Refused(f"bytes: found {found!r}; allowed: whole bytes")
    return None if found is None else int(found)


def _key(asked: Asked) -> str | None:
    r"""Read a key; what is not UTF-8 in it comes as in our own output, a byte 0xff as \udcff."""
    found = asked.fields.get("key")
    if found is None:
        return None
    with suppress(UnicodeEncodeError):
        if isinstance(found, str) and found and b"\0" not in os.fsencode(found):
            return found
    raise Refused(f"key: found {str(found)[:40]!r}; allowed: the name of an object")


def _until(asked: Asked) -> str | None:
    found = asked.fields.get("reservation")
    if found is not None and not (isinstance(found, str) and re.fullmatch(_RESERVATION, found)):
        raise Refused(f"reservation: found {str(found)[:40]!r}; allowed: the id of a reservation")
    return found


def _reserve(service: GuardService, asked: Asked) -> Answer:
    lease, wait = (
        _number(asked, "lease_seconds", _MOST_LEASE_SECONDS),
        _number(asked, "wait_seconds", _MOST_WAIT_SECONDS),
    )
    admitted = service.admit(_bytes(asked), _key(asked), lease, wait or 0.0)
    found = admitted.reservation
    fields = {"reservation": found.id, "bytes": found.bytes, "expires_at": found.expires_at}
    answer = as_json(201, {**fields, "freed_bytes": admitted.freed_bytes})
    return replace(answer, undo=lambda: service.release(found.id))


def _commit(service: GuardService, asked: Asked) -> Answer:
    if not service.commit(asked.parts["id"], _key(asked)):
        return _problem(404, "there is no such reservation (any more): it had ended")
    return Answer(204)


def _release(service: GuardService, asked: Asked) -> Answer:
    service.release(asked.parts["id"])
    return Answer(204)


def _accepting(service: GuardService, asked: Asked) -> Answer:
    if service.is_accepting():
        return Answer(204)
    return as_json(503, {"reason": "no upload of a usual size is admitted now"}, {"retry-after": "60"})


def _authorize(service: GuardService, asked: Asked) -> Answer:
    """Answer what nginx's auth_request understands: 204 goes on, 403 ends the request before its body is taken."""
    declared = asked.headers.get("x-upload-bytes", "")
    if declared and not declared.isdecimal():
        raise Refused(f"X-Upload-Bytes: found {declared[:40]!r}; allowed: whole bytes")
    size = min(int(declared[:_LONGEST_SIZE]), _MOST_UPLOAD_BYTES) if declared else None
    if service.is_accepting(size):
        return Answer(204)
    return Answer(403, headers={} if service.is_too_large(size) else {"retry-after": "60"})


def _status(service: GuardService, asked: Asked) -> Answer:
    return Answer(200, service.status().encode(), _JSON)


def _room(service: GuardService, asked: Asked) -> Answer:
    service.make_room(_bytes(asked) or 0, _until(asked))
    return Answer(204)


def _measure(service: GuardService, asked: Asked) -> Answer:
    service.measure()
    return Answer(204)


def _sweep(service: GuardService, asked: Asked) -> Answer:
    service.start_sweep(_bytes(asked), _until(asked))
    return Answer(202)


def _object(service: GuardService, asked: Asked) -> Answer:
    size, chunks = service.read(asked.parts["key"])
    headers = {"content-length": str(size), "content-type": "application/octet-stream"}
    return Answer(200, headers=headers, chunks=chunks)


def _description(service: GuardService, asked: Asked) -> Answer:
    return Answer(200, service.description, _JSON)


_UPLOAD, _NEED = ("bytes", "key", "lease_seconds", "wait_seconds"), ("bytes", "reservation")
ROUTES = (
    Route("POST", re.compile("/v1/reservations"), _reserve, "patient", _UPLOAD),
    Route("POST", re.compile(f"/v1/reservations/(?P<id>{_RESERVATION})/commit"), _commit, takes=("key",)),
    Route("DELETE", re.compile(f"/v1/reservations/(?P<id>{_RESERVATION})"), _release),
    Route("GET", re.compile("/v1/accepting"), _accepting),
    Route("GET", re.compile("/v1/authorize"), _authorize),
    Route("GET", re.compile("/v1/status"), _status),
    Route("POST", re.compile("/v1/room"), _room, "patient", _NEED),
    Route("POST", re.compile("/v1/measure"), _measure, "patient"),
    Route("POST", re.compile("/v1/sweep"), _sweep, "patient", _NEED),
    Route("GET", re.compile("/v1/objects/(?P<key>.+)"), _object, "reading"),
    Route("GET", re.compile(r"/openapi\.json"), _description),
)

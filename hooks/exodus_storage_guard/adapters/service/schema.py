"""Check a request by the very description that clients read: the endpoints' docstrings, as Starlette gathers them."""

import asyncio
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.schemas import SchemaGenerator

from exodus_common import __version__
from exodus_common.errors import UsageError
from exodus_storage_guard.errors import UploadRefused

_MOST_BODY_BYTES = 64 * 1024
_STALLED_SECONDS = 10.0
_ABOUT = {
    "title": "exodus-storage-guard",
    "version": __version__,
    "description": "Room for uploads before they are accepted. Who may write to the socket may ask. "
    "A refusal has `refused`, a `reason` and `retry_after_seconds`; any other problem a `reason`.",
}
_PROBLEM = {"description": "A problem, with its `reason`.", "content": {"application/json": {"schema": {
    "type": "object", "required": ["reason"], "properties": {"reason": {"type": "string"}}}}}}  # fmt: skip


@dataclass(frozen=True)
class Schema:
    """Hold the description, and what checks the body of each operation that takes one."""

    description: Mapping[str, Any]
    bodies: Mapping[str, Draft202012Validator]
    """By the endpoint's name."""

    @classmethod
    def of(cls, routes: Sequence[Route]) -> "Schema":
        """Gather it from what the routes' endpoints say of themselves."""
        found = SchemaGenerator({"openapi": "3.1.0", "info": _ABOUT}).get_schema(list(routes))
        bodies = {}
        for route in routes:
            path = route.path.replace(":path", "")
            for method in {name.lower() for name in route.methods or ()} & found["paths"][path].keys():
                operation = found["paths"][path][method]
                operation["responses"].setdefault("default", _PROBLEM)
                operation |= _named_in(path)
                if "requestBody" in operation:
                    schema = operation["requestBody"]["content"]["application/json"]["schema"]
                    bodies[route.endpoint.__name__] = Draft202012Validator(schema)
        return cls(found, bodies)

    async def fields(self, request: Request) -> Mapping[str, Any]:
        """Read the JSON object that a request brings; raise `UsageError` for what is found and not allowed."""
        check = self.bodies.get(request.scope["endpoint"].__name__)
        found = _object(await _body(request))
        if check is None and found:
            raise UsageError("the request has a body; allowed: none")
        if check is not None and (wrong := best_match(check.iter_errors(found))) is not None:
            where = ".".join(map(str, wrong.absolute_path))
            raise UsageError(f"{where}: {_shortened(wrong.message)}" if where else _shortened(wrong.message))
        return found


def _named_in(path: str) -> Mapping[str, Any]:
    names = re.findall(r"{(\w+)}", path)
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    return {"parameters": parameters} if parameters else {}


async def _body(request: Request) -> bytes:
    """Take the body, or what shows that it is too large; one that is cut short is none."""
    body = bytearray()
    try:
        async with asyncio.timeout(_STALLED_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MOST_BODY_BYTES:
                    raise UsageError(f"the body is too large; allowed: {_MOST_BODY_BYTES} bytes")
    except TimeoutError:
        raise UsageError(f"the body did not come within {_STALLED_SECONDS:g} s") from None
    except ClientDisconnect:
        raise UploadRefused("the client went away") from None  # nobody reads it
    return bytes(body)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body, parse_constant=_no_number) if body else {}
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise UsageError("the body is no JSON object")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:100]}…{text[-90:]}"


def key_of(fields: Mapping[str, Any]) -> str | None:
    r"""Read a key; what is not UTF-8 in it comes as in our own output, a byte 0xff as \udcff."""
    found: str | None = fields.get("key")
    if found is None:
        return None
    with suppress(UnicodeEncodeError):
        if b"\0" not in os.fsencode(found):
            return found
    raise UsageError(f"key: found {found[:40]!r}; allowed: the name of an object")

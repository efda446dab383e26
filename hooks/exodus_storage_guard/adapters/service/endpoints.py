"""The service's endpoints. The YAML below each docstring is the description that clients read, and that checks them."""

import os
import re
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from exodus_common.errors import UsageError
from exodus_storage_guard import words
from exodus_storage_guard.adapters.service.answers import ObjectBytes, as_json, problem
from exodus_storage_guard.adapters.service.committing import LookFirst
from exodus_storage_guard.adapters.service.peers import asker, gone, user
from exodus_storage_guard.adapters.service.schema import Schema, key_of
from exodus_storage_guard.adapters.service.service import GuardService
from exodus_storage_guard.adapters.service.turns import Readers, Turns
from exodus_storage_guard.adapters.service.waiting import Waiting
from exodus_storage_guard.admission.admissions import Wanted, reserved
from exodus_storage_guard.admission.reservations import Admission
from exodus_storage_guard.errors import ObjectMissing, UploadRefused, Why

T = TypeVar("T")
_MOST_UPLOAD_BYTES = 2**53  # the last whole number that every language's JSON has
_LONGEST_SIZE = 100  # digits
_ASK_AGAIN_SECONDS = 60
_KEY = re.compile(rb"/v1/(?:states|objects)/(.*)\Z", re.DOTALL)
_ENDED = "there is no such reservation (any more): it had ended"


class Endpoints:
    """Answer requests; an archive that hangs holds up readers alone."""

    schema: Schema

    def __init__(self, service: GuardService) -> None:
        """Take what is served."""
        self._service = service
        self._turns = Turns()
        self._looks = Turns()  # pages wait for these: they stand behind nobody who writes
        self._readers = Readers()
        self._waiting = Waiting(self._turns)

    async def reserve(self, request: Request) -> Response:
        """Reserve room for an upload, or refuse.

        ---
        summary: Reserve room for an upload, making room first where that is needed.
        requestBody:
          content:
            application/json:
              schema:
                type: object
                additionalProperties: false
                properties:
                  bytes:
                    type: [integer, "null"]
                    minimum: 0
                    maximum: 9007199254740992
                    description: its size; estimated where it is not said
                  key:
                    type: [string, "null"]
                    minLength: 1
                    description: "what it will be called: no sweep touches it meanwhile"
                  lease_seconds:
                    type: [number, "null"]
                    exclusiveMinimum: 0
                    description: "until it ends by itself, at most admission.most_lease_seconds"
                  wait_seconds:
                    type: [number, "null"]
                    minimum: 0
                    maximum: 600
                    description: for a sweep that makes room
                  ends_with_process:
                    type: boolean
                    description: the reservation ends with the process that is connected
                  client:
                    type: [string, "null"]
                    minLength: 1
                    maxLength: 200
                    description: "who sends it to the platform, where that may be anybody: all of his together may have
                      admission.client_share of the room"
        responses:
          201: {description: "`reservation`, `bytes`, `expires_at`, `freed_bytes`."}
          503: {description: "There is no room, or nothing can be decided now; Retry-After says when to come back."}
          507: {description: "There is no room, and no sweep can help."}
        """
        fields = await self.schema.fields(request)
        who = asker(request, ends_with_process=bool(fields.get("ends_with_process")))
        wanted = Wanted(
            _size(fields),
            key_of(fields),
            fields.get("wait_seconds") or 0.0,
            fields.get("lease_seconds"),
            client=fields.get("client"),
        )
        steps = self._service.admission(wanted, who)
        admitted = await self._waiting.admitted(who.uid, steps, gone(request), wanted.wait_seconds)
        if admitted is not None and gone(request).done():
            await self._turns.ask(who.uid, partial(self._service.release, admitted.reservation.id, who.uid))
        return _admitted(admitted)

    async def extend(self, request: Request) -> Response:
        """Have a reservation end later.

        ---
        summary: Have a reservation end so long from now, as often as its upload goes on.
        requestBody:
          content:
            application/json:
              schema:
                type: object
                additionalProperties: false
                properties:
                  lease_seconds:
                    type: [number, "null"]
                    exclusiveMinimum: 0
                    description: as one that is new where it is not said
        responses:
          204: {description: It does.}
          404: {description: The reservation had ended.}
        """
        fields = await self.schema.fields(request)
        extended = partial(self._service.extend, _id(request), fields.get("lease_seconds"), user(request))
        return Response(status_code=204) if await self._ask(request, extended) else problem(404, _ENDED)

    async def grow(self, request: Request) -> Response:
        """Reserve more, or less.

        ---
        summary: Reserve for an upload of another size than was said.
        requestBody:
          content:
            application/json:
              schema:
                type: object
                additionalProperties: false
                required: [bytes]
                properties:
                  bytes:
                    type: integer
                    minimum: 0
                    maximum: 9007199254740992
        responses:
          201: {description: "As of the reservation that was made first."}
        """
        fields = await self.schema.fields(request)
        steps = self._service.growing(_id(request), _size(fields) or 0, user(request))
        return _admitted(await self._waiting.admitted(user(request), steps, gone(request)))

    async def commit(self, request: Request) -> Response:
        """Say that an upload is stored.

        ---
        summary: Say that an upload is stored, under this key and with this size, or those of its reservation.
        requestBody:
          content:
            application/json:
              schema:
                type: object
                additionalProperties: false
                properties:
                  key:
                    type: [string, "null"]
                    minLength: 1
                  bytes:
                    type: [integer, "null"]
                    minimum: 0
                    maximum: 9007199254740992
                  is_part:
                    type: boolean
                    description: more will be stored within the same reservation, which holds on for what it has left
        responses:
          204: {description: It is written down.}
          404: {description: "The reservation had ended, and no object was named with its size that the store has."}
          503: {description: "The key is known already, or its object larger than was reserved, and the store cannot be
            looked at now."}
        """
        fields = await self.schema.fields(request)
        is_part = bool(fields.get("is_part"))
        commit = partial(self._service.commit, _id(request), key_of(fields), _size(fields), user(request), is_part)
        committed = await self._ask(request, commit)
        if isinstance(committed, LookFirst):
            with self._readers.place(user(request)):
                looked = await self._readers.ask(partial(self._service.look, committed.key))
            committed = await self._ask(request, partial(commit, looked=looked))
        return Response(status_code=204) if committed else problem(404, _ENDED)

    async def release(self, request: Request) -> Response:
        """Say that an upload did not happen.

        ---
        summary: Say that an upload did not happen.
        responses:
          204: {description: Nothing is reserved for it any more.}
          403: {description: "It is another user's."}
        """
        await self._ask(request, partial(self._service.release, _id(request), user(request)))
        return Response(status_code=204)

    async def reservations(self, request: Request) -> Response:
        """Tell what is promised to whom.

        ---
        summary: What is promised to whom.
        responses:
          200:
            description: "`reservations`: of each `reservation`, `bytes`, `key`, `user`, `process`, `created_at`,
              `expires_at`."
        """
        return as_json(200, {"reservations": await self._ask(request, self._service.reservations)})

    async def accepting(self, request: Request) -> Response:
        """Tell whether an upload would be admitted now.

        ---
        summary: Whether an upload of `bytes`, or of a usual size, would be admitted now, or was a second ago.
        responses:
          204: {description: It would.}
          503: {description: "It would not: `accepting` is false."}
        """
        said = request.query_params.get("bytes")
        size = None if said is None else _declared(said, "bytes")
        if await self._look(request, partial(self._service.is_accepting, size)):
            return Response(status_code=204)
        told = {"accepting": False, "reason": "no upload of this size is admitted now"}
        return as_json(503, told, {"retry-after": "60"})

    async def authorize(self, request: Request) -> Response:
        """Answer what nginx's auth_request understands.

        ---
        summary: "For nginx's auth_request: would an upload of X-Upload-Bytes be admitted at this moment? Nothing is
          reserved: whoever receives it does that, and may be refused."
        responses:
          204: {description: It would.}
          403: {description: "It would not; with Retry-After where that will change, and in X-Why a sentence for whoever
            uploads, in the language that Accept-Language asks for."}
        """
        declared = request.headers.get("x-upload-bytes", "")
        size = _declared(declared, "X-Upload-Bytes") if declared else None
        if await self._look(request, partial(self._service.is_accepting, size)):
            return Response(status_code=204)
        never = await self._look(request, partial(self._service.is_too_large, size))
        later = None if never else _ASK_AGAIN_SECONDS
        refusal = UploadRefused("it does not fit", later, Why.TOO_LARGE if never else Why.NO_ROOM)
        answer = Response(status_code=403, headers={} if later is None else {"retry-after": str(later)})
        said = words.refused(refusal, words.for_reader(request.headers.get("accept-language", "")))
        answer.raw_headers.append((b"x-why", said.encode()))
        return answer

    async def status(self, request: Request) -> Response:
        """Give the status.

        ---
        summary: How full the store is, what is promised, what is archived, and when it will be full.
        responses:
          200: {description: "As `exodus-storage-guard status --json`."}
        """
        return Response(await self._ask(request, self._service.status), media_type="application/json")

    async def state(self, request: Request) -> Response:
        """Tell the state of an object.

        ---
        summary: The state that an object is in.
        responses:
          200: {description: "`state`."}
          404: {description: It is not known.}
        """
        found = await self._look(request, partial(self._service.state, _key_in_path(request)))
        return problem(404, "no such object is known") if found is None else as_json(200, {"state": found})

    async def object(self, request: Request) -> Response:
        """Give an object.

        ---
        summary: An object's bytes, from wherever it is; the store is not refilled.
        responses:
          200: {description: Its bytes.}
          404: {description: "It is nowhere."}
          503: {description: "Too many are read at once; Retry-After says when to come back."}
        """
        key = _key_in_path(request)
        with ExitStack() as place:
            place.enter_context(self._readers.place(user(request)))
            size, chunks = await self._readers.ask(partial(self._service.read, key))
            kept = place.pop_all()
        return ObjectBytes(size, chunks, lambda work, *arguments: self._readers.ask(partial(work, *arguments)), kept)

    async def description(self, request: Request) -> Response:
        """Describe all this.

        ---
        summary: This description.
        responses:
          200: {description: OpenAPI.}
        """
        return as_json(200, self.schema.description)

    def _ask(self, request: Request, work: Callable[[], T]) -> Awaitable[T]:
        return self._turns.ask(user(request), work, gone(request))

    def _look(self, request: Request, work: Callable[[], T]) -> Awaitable[T]:
        return self._looks.ask(user(request), work, gone(request))


def _admitted(found: Admission | None) -> Response:
    if found is None:
        return Response(status_code=503)  # nobody is there to read it
    return as_json(201, reserved(found).fields())


def _size(fields: Any) -> int | None:
    found = fields.get("bytes")
    return None if found is None else int(found)  # 5.0 is an integer to JSON Schema


def _declared(text: str, where: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise UsageError(f"{where}: found {text[:40]!r}; allowed: whole bytes")
    return min(int(text.lstrip("0")[:_LONGEST_SIZE] or "0"), _MOST_UPLOAD_BYTES)


def _id(request: Request) -> str:
    found: str = request.path_params["id"]
    if not re.fullmatch("[0-9A-Za-z-]{1,64}", found):
        raise ObjectMissing(_ENDED)
    return found


def _key_in_path(request: Request) -> str:
    """Read a key as the bytes that it is: a decoded path has lost what was not UTF-8."""
    found = _KEY.match(request.scope["raw_path"].partition(b"?")[0])
    if found is None:  # some of what stands before the key is written in another way
        raise HTTPException(404)
    return os.fsdecode(unquote_to_bytes(found[1]))

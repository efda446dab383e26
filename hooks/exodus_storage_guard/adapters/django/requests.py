"""What a request carries from the upload handler to the middleware, the form and the storage."""

from contextvars import ContextVar

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from exodus_storage_guard.adapters.django.gates import gate
from exodus_storage_guard.adapters.room import HELD, Room
from exodus_storage_guard.errors import UploadRefused

_ROOM, _REFUSAL = "exodus_room", "exodus_refusal"
_REFUSED: ContextVar[UploadRefused | None] = ContextVar("exodus_refused", default=None)


def begin() -> None:
    """Begin a request with nothing: its thread has answered others before."""
    HELD.set(None)
    _REFUSED.set(None)


def keep(request: HttpRequest, room: Room | None) -> None:
    """Keep the room that was reserved for what a request brings."""
    setattr(request, _ROOM, room)
    HELD.set(room)


def room_of(request: HttpRequest) -> Room | None:
    """Give the room that was reserved for what a request brings."""
    found: Room | None = getattr(request, _ROOM, None)
    return found


def refuse(request: HttpRequest, refusal: UploadRefused) -> None:
    """Keep why a request's upload was stopped."""
    setattr(request, _REFUSAL, refusal)
    _REFUSED.set(refusal)


def refusal_of(request: HttpRequest) -> UploadRefused | None:
    """Give why a request's upload was stopped; None where it was not."""
    found: UploadRefused | None = getattr(request, _REFUSAL, None)
    return found


def refusal_at_hand() -> UploadRefused | None:
    """Give why the upload of the request at hand was stopped; None where it was not."""
    return _REFUSED.get()


def settle(request: HttpRequest) -> None:
    """Commit what was stored of what a request brought, and release all else; once."""
    room = room_of(request)
    keep(request, None)
    _REFUSED.set(None)
    gate().settle(room)


def mark(response: HttpResponseBase, refusal: UploadRefused) -> None:
    """Have an answer say by its status that there was no room, and when to come back."""
    response.status_code = refusal.http_status
    if refusal.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)

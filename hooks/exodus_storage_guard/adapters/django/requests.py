"""What a request carries from the upload handler to the middleware, the form and the storage."""

from contextvars import ContextVar

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from exodus_storage_guard.adapters.django.gates import gate
from exodus_storage_guard.adapters.room import HELD, Room
from exodus_storage_guard.errors import UploadRefused

_ROOM, _REFUSAL, _BEGUN, _CLIENT = "exodus_room", "exodus_refusal", "exodus_begun", "exodus_client"
_REFUSED: ContextVar[UploadRefused | None] = ContextVar("exodus_refused", default=None)


def begin(request: HttpRequest) -> Room | None:
    """Begin a request with nothing; give the room of what it is made within, where it is one of a test or a task."""
    before = HELD.get()
    setattr(request, _BEGUN, True)
    HELD.set(None)
    _REFUSED.set(None)
    return before


def is_begun(request: HttpRequest) -> bool:
    """Tell whether the middleware will settle what is reserved for a request."""
    return getattr(request, _BEGUN, False)


def keep(request: HttpRequest, room: Room | None) -> None:
    """Keep the room that was reserved for what a request brings."""
    setattr(request, _ROOM, room)
    HELD.set(room)


def know_client(request: HttpRequest, client: str | None) -> None:
    """Keep who sends a request: to find that out may take a database, which code that is async may not ask."""
    setattr(request, _CLIENT, (client,))


def known_client(request: HttpRequest) -> tuple[str | None] | None:
    """Give who sends a request, where that is known already."""
    found: tuple[str | None] | None = getattr(request, _CLIENT, None)
    return found


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


def settle(request: HttpRequest, before: Room | None) -> None:
    """Commit what was stored of what a request brought, and release all else; once. What was held `before` is again."""
    room = room_of(request)
    keep(request, None)
    HELD.set(before)
    _REFUSED.set(None)
    if room is not None:  # a request that reserved nothing needs no settings
        gate().settle(room)


def mark(response: HttpResponseBase, refusal: UploadRefused) -> None:
    """Have an answer say by its status that there was no room, and when to come back."""
    response.status_code = refusal.http_status
    if refusal.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)

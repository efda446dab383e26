"""What a request carries from the upload handler to the middleware, the form and the storage."""

from django.http import HttpRequest, HttpResponseBase

from exodus_storage_guard.adapters.django.gates import gate
from exodus_storage_guard.adapters.gate import HELD
from exodus_storage_guard.admission.guard import UploadReservation
from exodus_storage_guard.errors import UploadRefused

_RESERVATION, _REFUSAL = "exodus_reservation", "exodus_refusal"


def keep(request: HttpRequest, reservation: UploadReservation | None) -> None:
    """Keep the room that was reserved for what a request brings."""
    setattr(request, _RESERVATION, reservation)
    HELD.set(reservation)


def refuse(request: HttpRequest, refusal: UploadRefused) -> None:
    """Keep why a request's upload was stopped."""
    setattr(request, _REFUSAL, refusal)


def refusal_of(request: HttpRequest) -> UploadRefused | None:
    """Give why a request's upload was stopped; None where it was not."""
    found: UploadRefused | None = getattr(request, _REFUSAL, None)
    return found


def has_room() -> bool:
    """Tell whether the request or task at hand has room reserved: what it stores needs none beyond it."""
    return HELD.get() is not None


def settle(request: HttpRequest, *, stored: bool) -> None:
    """Commit or release what a request reserved; once."""
    reservation: UploadReservation | None = getattr(request, _RESERVATION, None)
    if reservation is None:
        return
    keep(request, None)
    gate().end(reservation, stored=stored)


def mark(response: HttpResponseBase, refusal: UploadRefused) -> None:
    """Have an answer say by its status that there was no room, and when to come back."""
    response.status_code = refusal.http_status
    if refusal.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)

"""Say who sends a request, as far as one who is not known may have a share of the room only."""

from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest

from exodus_storage_guard.adapters import clients


def client_of(request: HttpRequest, header: str | None) -> str | None:
    """Name who sends a request: None for a user who is logged in, else the address that it comes from.

    Behind a proxy that is the proxy's, for all of them, unless `header` is the one in which it gives theirs: whoever
    sends could write any other himself.
    """
    if _is_logged_in(request):
        return None
    said = request.META.get("REMOTE_ADDR") if header is None else request.headers.get(header, "").split(",")[-1]
    return clients.at(said)


def _is_logged_in(request: HttpRequest) -> bool:
    try:
        user = getattr(request, "user", None)
        return user is not None and bool(user.is_authenticated)
    except SynchronousOnlyOperation:  # the middleware asks in time, where it is there
        return False

"""Settle what a request reserved once it is answered, and have a refusal's status say what it is."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from exodus_common.errors import SettingsInvalid
from exodus_storage_guard.adapters.django import words
from exodus_storage_guard.adapters.django.clients import client_of
from exodus_storage_guard.adapters.django.lingering_close import linger
from exodus_storage_guard.adapters.django.options import options
from exodus_storage_guard.adapters.django.requests import begin, know_client, mark, refusal_of, settle
from exodus_storage_guard.adapters.django.uploads import view_of
from exodus_storage_guard.errors import UploadRefused

_FIRST_FAILURE, _FORBIDDEN = 400, 403
_MULTIPART = "multipart/form-data"
_EXEMPT = "exodus_csrf_exempt"


class GuardMiddleware:
    """Commit what was stored, release what was not; answer `UploadRefused` that no view caught with 503 or 507."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        """Take what answers."""
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request."""
        before = begin(request)
        try:
            response = self._get_response(request)
            refusal = refusal_of(request)
            if refusal is not None:
                if _is_for_want_of_a_token(request, response):
                    response = _refused(refusal)
                linger(request, response)
                if response.status_code < _FIRST_FAILURE:
                    mark(response, refusal)
            return response
        finally:
            settle(request, before)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        """Find out who uploads: a view that is async has its body read where no database may be asked."""
        setattr(request, _EXEMPT, getattr(view, "csrf_exempt", False))
        if not isinstance(request, ASGIRequest) or request.content_type != _MULTIPART:
            return
        with suppress(SettingsInvalid):  # said when a file is found
            found = options()
            if view_of(request) in found.views:
                know_client(request, client_of(request, found.client_header))

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer a refusal that comes from the storage while something is saved, or that a view was not made for.

        A view that takes its file for granted fails where the upload was stopped: that is no error of the server.
        """
        refusal = exception if isinstance(exception, UploadRefused) else refusal_of(request)
        if refusal is None:
            return None
        return _refused(refusal)


def _refused(refusal: UploadRefused) -> HttpResponse:
    response = HttpResponse(words.refused(refusal), content_type="text/plain; charset=utf-8")
    mark(response, refusal)
    return response


def _is_for_want_of_a_token(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Tell whether Django's CSRF middleware answered: of a form that was stopped the token may not have come."""
    judged = getattr(request, "csrf_processing_done", False) or getattr(request, _EXEMPT, True)
    return response.status_code == _FORBIDDEN and not judged

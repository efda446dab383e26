"""Settle what a request reserved once it is answered, and have a refusal's status say what it is."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from exodus_storage_guard.adapters.django import words
from exodus_storage_guard.adapters.django.lingering_close import linger
from exodus_storage_guard.adapters.django.requests import begin, mark, refusal_of, settle
from exodus_storage_guard.errors import UploadRefused

_FIRST_FAILURE = 400


class GuardMiddleware:
    """Commit what was stored, release what was not; answer `UploadRefused` that no view caught with 503 or 507."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        """Take what answers."""
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request."""
        begin()
        try:
            response = self._get_response(request)
            refusal = refusal_of(request)
            if refusal is not None:
                linger(request, response)
                if response.status_code < _FIRST_FAILURE:
                    mark(response, refusal)
            return response
        finally:
            settle(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer a refusal that comes from the storage while something is saved, or that a view was not made for.

        A view that takes its file for granted fails where the upload was stopped: that is no error of the server.
        """
        refusal = exception if isinstance(exception, UploadRefused) else refusal_of(request)
        if refusal is None:
            return None
        response = HttpResponse(words.refused(refusal), content_type="text/plain; charset=utf-8")
        mark(response, refusal)
        return response

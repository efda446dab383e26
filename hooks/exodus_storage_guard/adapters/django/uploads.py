"""Ask for room before a file is taken: by what the request declares, before any of it is spooled."""

import logging
from typing import Any

from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.urls import Resolver404, resolve

from exodus_common.clock import Clock, SystemClock
from exodus_common.errors import SettingsInvalid
from exodus_storage_guard.adapters.django.clients import client_of
from exodus_storage_guard.adapters.django.gates import gate
from exodus_storage_guard.adapters.django.options import Options, options
from exodus_storage_guard.adapters.django.requests import is_begun, keep, known_client, refuse, room_of
from exodus_storage_guard.adapters.room import Room
from exodus_storage_guard.errors import UploadRefused, Why
from exodus_storage_guard.sizes import shown_apart

_log = logging.getLogger(__name__)
_ASK_AGAIN_SECONDS = 60
_EXTENSIONS = 4  # while its room would be lost for being idle
_clock: Clock = SystemClock()


class GuardUploadHandler(FileUploadHandler):
    """Stand first in FILE_UPLOAD_HANDLERS; stop an upload for which there is no room, and let the others take the rest.

    Only files for the views that are named reserve: a body is read before any view is, whoever sends it and wherever
    to. What is declared is the length of the whole request: never less than its files. While it comes it keeps its
    room; one that brings nothing for `idle_seconds` loses it, and has to find some anew.
    """

    declared_bytes: int | None = None
    _extended_at = 0.0
    _options: Options

    def handle_raw_input(self, input_data: Any, META: Any, content_length: int, *more: Any, **others: Any) -> None:  # noqa: N803 - Django's name
        """Take note of the length; an error that is raised here would not stop the upload but be one of the server."""
        self.declared_bytes = content_length

    def new_file(self, field_name: str, file_name: str, *more: Any, **others: Any) -> None:
        """Ask once for all files of a request."""
        super().new_file(field_name, file_name, *more, **others)
        try:
            self._options = options()
        except SettingsInvalid as error:  # which files would be guarded nobody knows
            _log.critical("uploads are not decided on by the storage guard: %s", error)
            refusal = UploadRefused(str(error), _ASK_AGAIN_SECONDS, Why.NOT_KNOWN)
            refuse(self.request, refusal)
            raise StopUpload(connection_reset=True) from refusal
        if room_of(self.request) is None and self.guards(file_name) and view_of(self.request) in self._options.views:
            self._reserve()

    def guards(self, file_name: str) -> bool:
        """Tell whether a file is one of those that are guarded."""
        return self._options.guards(file_name)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Leave the bytes to the next handler; what goes on keeps its room."""
        room = room_of(self.request)
        if room is not None and _clock.monotonic() - self._extended_at > self._options.idle_seconds / _EXTENSIONS:
            self._extend(room)
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leave the file to the next handler."""

    def upload_complete(self) -> None:
        """Give the view, and whoever stores it, as long as a reservation usually has; to stop it, it is too late."""
        room = room_of(self.request)
        if room is not None and not self._is_here() and not gate().extend(room, None):
            self._reserved(None)

    def _is_here(self) -> bool:
        """Tell whether all of the request was there when its first file was named: nobody can be idle any more."""
        return isinstance(self.request, ASGIRequest) or (self.declared_bytes or 0) <= self.chunk_size

    def _extend(self, room: Room) -> None:
        self._extended_at = _clock.monotonic()
        if not gate().extend(room, self._options.idle_seconds):
            self._reserve()

    def _reserve(self) -> None:
        """Reserve what is declared, or stop the upload."""
        refusal = self._reserved(None if self._is_here() else self._options.idle_seconds)
        if refusal is not None:
            raise StopUpload(connection_reset=True) from refusal

    def _reserved(self, lease_seconds: float | None) -> UploadRefused | None:
        """Reserve what is declared; give why that is refused, where it is."""
        self._extended_at = _clock.monotonic()
        try:
            self._refuse_more_than_is_allowed()
            (client,) = known_client(self.request) or (client_of(self.request, self._options.client_header),)
            room = gate().admit(self.declared_bytes, lease_seconds=lease_seconds, client=client)
            if is_begun(self.request):
                keep(self.request, room)
            else:  # without the middleware nobody would settle it: what is saved has to reserve for itself
                gate().settle(room)
        except UploadRefused as refusal:
            keep(self.request, None)
            refuse(self.request, refusal)
            return refusal
        return None

    def _refuse_more_than_is_allowed(self) -> None:
        most, declared = self._options.most_bytes, self.declared_bytes or 0
        if most is not None and declared > most:
            more = "{} are more than the {} that a request may bring (most_bytes)".format(*shown_apart(declared, most))
            raise UploadRefused(more, None, Why.TOO_LARGE)


def view_of(request: HttpRequest) -> str | None:
    """Name the view that a request is for; a middleware may have its body read before it is known."""
    try:
        match = request.resolver_match or resolve(request.path_info, getattr(request, "urlconf", None))
    except Resolver404:
        return None
    return str(match.view_name)

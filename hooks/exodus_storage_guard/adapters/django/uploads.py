"""Ask for room before a file is taken: by what the request declares, before any of it is spooled."""

from typing import Any

from django.core.files.uploadhandler import FileUploadHandler, StopUpload

from exodus_storage_guard.adapters.django.gates import gate
from exodus_storage_guard.adapters.django.options import options
from exodus_storage_guard.adapters.django.requests import has_room, keep, refuse
from exodus_storage_guard.errors import UploadRefused


class GuardUploadHandler(FileUploadHandler):
    """Stand first in FILE_UPLOAD_HANDLERS; stop an upload for which there is no room, and let the others take the rest.

    What is declared is the length of the whole request: never less than its files.
    """

    declared_bytes: int | None = None

    def handle_raw_input(self, input_data: Any, META: Any, content_length: int, *more: Any, **others: Any) -> None:  # noqa: N803 - Django's name
        """Take note of the length; an error that is raised here would not stop the upload but be one of the server."""
        self.declared_bytes = content_length

    def new_file(self, field_name: str, file_name: str, *more: Any, **others: Any) -> None:
        """Ask once for all files of a request."""
        super().new_file(field_name, file_name, *more, **others)
        if not self.guards(file_name) or has_room():
            return
        try:
            keep(self.request, gate().admit(self.declared_bytes))
        except UploadRefused as refusal:
            refuse(self.request, refusal)
            raise StopUpload(connection_reset=True) from refusal

    def guards(self, file_name: str) -> bool:
        """Tell whether a file is one of those that are guarded."""
        return options().guards(file_name)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Leave the bytes to the next handler."""
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leave the file to the next handler."""

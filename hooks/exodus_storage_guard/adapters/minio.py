"""MinIO's client as a platform has it, guarded: `from exodus_storage_guard.adapters.minio import Minio`.

In place of `from minio import Minio`, of whichever version that is. What `select.pattern` of the guard's settings
selects is stored within a reservation, that of the task or request at hand or one of its own, and read from the archive
where the store has it no more. All else goes as ever.
"""

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import minio
import urllib3

from exodus_common.errors import ExodusError
from exodus_storage_guard import settings
from exodus_storage_guard.adapters.gate import Gate
from exodus_storage_guard.adapters.room import HELD
from exodus_storage_guard.stores.locations import Bucket

_log = logging.getLogger(__name__)
_MISSING = "NoSuchKey"
_storing: ContextVar[bool] = ContextVar("exodus_storing", default=False)


class Minio(minio.Minio):
    """Store within reservations, and read what was archived from the archive; else it is MinIO's own."""

    def fput_object(self, bucket_name: str, object_name: str, file_path: str, *args: Any, **kwargs: Any) -> Any:
        """Store a file; raise `UploadRefused` where there is no room for it."""
        if not _is_guarded(bucket_name, object_name):
            return super().fput_object(bucket_name, object_name, file_path, *args, **kwargs)
        with _room_for(object_name, Path(file_path).stat().st_size):
            return super().fput_object(bucket_name, object_name, file_path, *args, **kwargs)

    def put_object(
        self, bucket_name: str, object_name: str, data: BinaryIO, length: int, *args: Any, **kwargs: Any
    ) -> Any:
        """Store what is read; raise `UploadRefused` where there is no room for it."""
        if not _is_guarded(bucket_name, object_name):
            return super().put_object(bucket_name, object_name, data, length, *args, **kwargs)
        with _room_for(object_name, length):
            return super().put_object(bucket_name, object_name, data, length, *args, **kwargs)

    def remove_object(self, bucket_name: str, object_name: str, *args: Any, **kwargs: Any) -> None:
        """Remove an object; what was stored within the request or task at hand is not committed then."""
        super().remove_object(bucket_name, object_name, *args, **kwargs)
        held = HELD.get()
        if held is not None:
            held.forget(object_name)

    def get_object(self, bucket_name: str, object_name: str, *args: Any, **kwargs: Any) -> Any:
        """Read an object, from the store or else from the archive."""
        try:
            return super().get_object(bucket_name, object_name, *args, **kwargs)
        except Exception as error:  # the classes differ from version to version, the code is S3's
            if args or kwargs or getattr(error, "code", None) != _MISSING or not _is_guarded(bucket_name, object_name):
                raise
            if not _is_archived(object_name):
                raise
            return _archived(object_name)


@contextmanager
def _room_for(key: str, size_bytes: int) -> Iterator[None]:
    """Store within what the task or request at hand has reserved, or within a reservation of its own."""
    if _storing.get():  # MinIO's client stores a file by storing what is read from it
        yield
        return
    before = _storing.set(True)
    try:
        with nullcontext() if HELD.get() else _gate().holding(_gate().admit(size_bytes, key)):
            held = HELD.get()
            if held is not None:
                held.take(size_bytes)
            yield
            if held is not None:
                held.note(key, size_bytes)
    finally:
        _storing.reset(before)


def _is_archived(key: str) -> bool:
    """Ask the guard; where it cannot be asked the store alone says what there is."""
    try:
        return _gate().guard.is_archived(key)
    except ExodusError as error:
        _log.warning("whether %s is archived is not known: %s", key, error)
        return False


def _archived(key: str) -> urllib3.HTTPResponse:
    """Give an object of the archive as the store would have: one that is cut short is not begun with."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever reads it closes it
    _gate().guard.fetch(key, file)
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.tell())}
    file.seek(0)
    return urllib3.HTTPResponse(file, headers, status=200, preload_content=False)


@cache
def _gate() -> Gate:
    return Gate()


@cache
def _selected() -> tuple[str, re.Pattern[str]]:
    found = settings.load(None, os.environ)
    where = found.store.location
    return (where.name if isinstance(where, Bucket) and not where.prefix else ""), found.selection().pattern


def _is_guarded(bucket: str, key: str) -> bool:
    """Tell whether an object is one that the guard moves; while its settings are wrong whatever is stored may be."""
    try:
        guarded, pattern = _selected()
    except ExodusError:
        return True
    return bucket == guarded and pattern.search(key) is not None

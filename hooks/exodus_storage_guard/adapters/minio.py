"""MinIO's client as a platform has it, guarded: `from exodus_storage_guard.adapters.minio import Minio`.

In place of `from minio import Minio`, of whichever version that is. What `select.pattern` of the guard's settings
selects is stored within a reservation, that of the task or request at hand or one of its own, and read from the archive
where the store has it no more. All else goes as ever.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO

import minio

from exodus_storage_guard.adapters.minio_objects import archived, archived_key, gate, guarded_key, write_archived
from exodus_storage_guard.adapters.room import HELD

try:
    from minio.datatypes import Object
except ImportError:  # before version 7
    from minio.definitions import Object  # type: ignore[import-not-found, no-redef]

_REMOVED = ("delete_object_list", "objects_iter")  # as newer and older versions call it
_storing: ContextVar[bool] = ContextVar("exodus_storing", default=False)


class Minio(minio.Minio):
    """Store within reservations, and read what was archived from the archive; else it is MinIO's own."""

    def fput_object(self, bucket_name: str, object_name: str, file_path: str, *args: Any, **kwargs: Any) -> Any:
        """Store a file; raise `UploadRefused` where there is no room for it."""
        key = guarded_key(bucket_name, object_name)
        if key is None:
            return super().fput_object(bucket_name, object_name, file_path, *args, **kwargs)
        with _room_for(key, Path(file_path).stat().st_size):
            return super().fput_object(bucket_name, object_name, file_path, *args, **kwargs)

    def put_object(
        self, bucket_name: str, object_name: str, data: BinaryIO, length: int, *args: Any, **kwargs: Any
    ) -> Any:
        """Store what is read; raise `UploadRefused` where there is no room for it.

        Of what has no known length (-1) there is room for what is read, each time more is.
        """
        key = guarded_key(bucket_name, object_name)
        if key is None:
            return super().put_object(bucket_name, object_name, data, length, *args, **kwargs)
        if length < 0:
            measured = _Measured(data)
            with _room_for(key, 0, measured):
                readable: Any = measured  # MinIO's client does no more than read it
                return super().put_object(bucket_name, object_name, readable, length, *args, **kwargs)
        with _room_for(key, length):
            return super().put_object(bucket_name, object_name, data, length, *args, **kwargs)

    def remove_object(self, bucket_name: str, object_name: str, *args: Any, **kwargs: Any) -> None:
        """Remove an object; what was stored within the request or task at hand is not committed then."""
        super().remove_object(bucket_name, object_name, *args, **kwargs)
        _forget(bucket_name, object_name)

    def remove_objects(self, bucket_name: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Remove objects, as `remove_object` does one; give those that could not be."""
        given = [*args] or [kwargs.pop(next(name for name in kwargs if name in _REMOVED))]
        named = given[0] = list(given[0])
        stay = set()
        for error in super().remove_objects(bucket_name, *given, **kwargs):
            stay.add(getattr(error, "name", None) or getattr(error, "object_name", None))
            yield error
        for name in {_name_of(one) for one in named} - stay:
            _forget(bucket_name, name)

    def get_object(self, bucket_name: str, object_name: str, *args: Any, **kwargs: Any) -> Any:
        """Read an object, from the store or else from the archive."""
        try:
            return super().get_object(bucket_name, object_name, *args, **kwargs)
        except Exception as error:
            key = None if any((*args, *kwargs.values())) else archived_key(error, bucket_name, object_name)
            if key is None:
                raise
            return archived(key)

    def fget_object(self, bucket_name: str, object_name: str, file_path: str, *args: Any, **kwargs: Any) -> Any:
        """Read an object into a file, from the store or else from the archive; of that one its size alone is told."""
        try:
            return super().fget_object(bucket_name, object_name, file_path, *args, **kwargs)
        except Exception as error:
            key = None if any((*args, *kwargs.values())) else archived_key(error, bucket_name, object_name)
            if key is None:
                raise
            return Object(bucket_name, object_name, size=write_archived(key, Path(file_path)))


class _Measured:
    """Read on, and have room for what was read before more is sent."""

    def __init__(self, data: BinaryIO) -> None:
        self._data, self.bytes = data, 0

    def read(self, *size: int) -> bytes:
        """Read; raise `UploadRefused` where that is more than there is room for."""
        read = self._data.read(*size)
        self.bytes += len(read)
        held = HELD.get()
        if held is not None:
            held.take(self.bytes)
        return read


@contextmanager
def _room_for(key: str, size_bytes: int, measured: _Measured | None = None) -> Iterator[None]:
    """Store within what the task or request at hand has reserved, or within a reservation of its own."""
    if _storing.get():  # MinIO's client stores a file by storing what is read from it
        yield
        return
    before = _storing.set(True)
    try:
        with nullcontext() if HELD.get() else gate().holding(gate().admit(size_bytes, key)):
            held = HELD.get()
            if held is not None:
                held.take(size_bytes)
            yield
            if held is not None:
                held.note(key, measured.bytes if measured else size_bytes)
    finally:
        _storing.reset(before)


def _forget(bucket: str, name: str) -> None:
    held, key = HELD.get(), guarded_key(bucket, name)
    if held is not None and key is not None:
        held.forget(key)


def _name_of(removed: Any) -> str:
    """Give an object's name: older versions take it alone or with a version, newer ones a value that has it."""
    return str(getattr(removed, "name", removed) if not isinstance(removed, tuple | list) else removed[0])

"""A storage around the platform's own: it reserves before it saves, and reads what was archived from the archive."""

import tempfile
from pathlib import PurePosixPath
from typing import Any, cast

from django.core.files import File
from django.core.files.storage import Storage
from django.utils.deconstruct import deconstructible
from django.utils.module_loading import import_string

from exodus_storage_guard.adapters.django.gates import gate
from exodus_storage_guard.adapters.django.options import options
from exodus_storage_guard.adapters.room import HELD

_PASSED_ON = (
    *("listdir", "path", "size", "url"),
    *("get_accessed_time", "get_created_time", "get_modified_time"),
    *("get_valid_name", "get_alternative_name", "generate_filename"),
)


@deconstructible
class GuardedStorage(Storage):
    """Wrap the storage `backend` with its `options`: those given, or `storage` of EXODUS_STORAGE_GUARD."""

    def __init__(self, backend: str | None = None, options: dict[str, Any] | None = None) -> None:
        """Make the storage that is wrapped."""
        named: dict[str, Any] = _named() if backend is None else {"backend": backend, "options": options or {}}
        self._inner = import_string(named["backend"])(**named.get("options", {}))

    def __getattribute__(self, name: str) -> Any:
        """Pass on what the guard has no say in."""
        if name in _PASSED_ON:
            return getattr(object.__getattribute__(self, "_inner"), name)
        return super().__getattribute__(name)

    def exists(self, name: str) -> bool:
        """Tell whether a name is taken: what was archived keeps its own."""
        return bool(self._inner.exists(name)) or gate().is_archived(name)

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Give the name that the wrapped storage would, which may be taken where it overwrites; no archived one."""
        found = cast(str, self._inner.get_available_name(name, max_length=max_length))
        while gate().is_archived(found) and not self._inner.exists(found):
            taken = PurePosixPath(found)
            other = self._inner.get_alternative_name(str(taken.with_suffix("")), taken.suffix)
            found = cast(str, self._inner.get_available_name(other, max_length=max_length))
        return found

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Save within a reservation: the request's, or one of its own; raise `UploadRefused` where there is no room.

        Before anything is done: a storage may remove the file that it overwrites when it is asked for a name.
        """
        file = content if hasattr(content, "chunks") else File(content, name)
        wanted = file.name or "" if name is None else name
        if not options().guards(wanted):
            return self._saved(wanted, file, max_length)
        size = _size(file)
        if HELD.get() is not None and size is not None:
            return self._save_within(wanted, file, max_length, size)
        with gate().holding(gate().admit(size, wanted)):
            return self._save_within(wanted, file, max_length, size)

    def _save_within(self, name: str, content: File, max_length: int | None, size: int | None) -> str:
        """Save, and note what was stored under which key; what has no size has the stored one's."""
        held = HELD.get()
        if held is not None:
            held.take(size or 0)
        saved = self._saved(name, content, max_length)
        if held is not None:
            held.note(saved, self._inner.size(saved) if size is None else size)
        return saved

    def _saved(self, name: str, content: File, max_length: int | None) -> str:
        free = self.get_available_name(name, max_length)
        return cast(str, self._inner.save(free, content, max_length=max_length))

    def delete(self, name: str) -> None:
        """Remove a file; what was stored within the request or task at hand is not committed then."""
        self._inner.delete(name)
        held = HELD.get()
        if held is not None:
            held.forget(name)

    def _open(self, name: str, mode: str = "rb") -> File:
        """Open a file; what is in the archive only is read from there into a temporary one, and not put back."""
        if mode != "rb" or not gate().is_archived(name) or self._inner.exists(name):
            return self._inner.open(name, mode)
        file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever opens it closes it
        gate().guard.fetch(name, file)
        file.seek(0)
        return File(file, name)


def _size(content: File) -> int | None:
    """Give the size of a file, where it has one: what comes from a pipe has none."""
    try:
        return int(content.size)
    except AttributeError:
        return None


def _named() -> dict[str, Any]:
    return dict(options().storage)

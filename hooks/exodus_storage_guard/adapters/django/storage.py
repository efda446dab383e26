"""A storage around the platform's own: it reserves before it saves, and reads what was archived from the archive."""

import logging
import tempfile
from typing import Any, cast

from django.core.files import File
from django.core.files.storage import Storage
from django.utils.deconstruct import deconstructible
from django.utils.module_loading import import_string

from exodus_common.errors import ExodusError
from exodus_storage_guard.adapters.django.gates import gate
from exodus_storage_guard.adapters.django.options import options
from exodus_storage_guard.adapters.room import HELD

_log = logging.getLogger(__name__)
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
        return bool(self._inner.exists(name)) or _is_archived(name)

    def _save(self, name: str, content: File) -> str:
        """Save within a reservation: the request's, or one of its own; raise `UploadRefused` where there is no room."""
        if not options().guards(name):
            return cast(str, self._inner.save(name, content))
        if HELD.get() is not None:
            return self._save_within(name, content)
        with gate().holding(gate().admit(content.size, name)):
            return self._save_within(name, content)

    def _save_within(self, name: str, content: File) -> str:
        """Save, and note what was stored under which key."""
        held = HELD.get()
        if held is None:
            return cast(str, self._inner.save(name, content))
        held.take(content.size)
        saved = cast(str, self._inner.save(name, content))
        held.note(saved, content.size)
        return saved

    def delete(self, name: str) -> None:
        """Remove a file; what was stored within the request or task at hand is not committed then."""
        self._inner.delete(name)
        held = HELD.get()
        if held is not None:
            held.forget(name)

    def _open(self, name: str, mode: str = "rb") -> File:
        """Open a file; what is in the archive only is read from there into a temporary one, and not put back."""
        if mode != "rb" or not _is_archived(name) or self._inner.exists(name):
            return self._inner.open(name, mode)
        file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever opens it closes it
        gate().guard.fetch(name, file)
        file.seek(0)
        return File(file, name)


def _named() -> dict[str, Any]:
    return dict(options().storage)


def _is_archived(name: str) -> bool:
    """Ask the state; where it is away the store alone says what there is."""
    try:
        return bool(gate().guard.is_archived(name))
    except ExodusError as error:
        _log.warning("whether %s is archived is not known: %s", name, error)
        return False

"""Find what is wrong at start, and not when the first upload comes."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from exodus_common.errors import ExodusError
from exodus_storage_guard import settings as guard_settings
from exodus_storage_guard.adapters.django.options import NAME, options
from exodus_storage_guard.state import opening as state

_PACKAGE = "exodus_storage_guard.adapters.django"
_HANDLER, _MIDDLEWARE = f"{_PACKAGE}.uploads.GuardUploadHandler", f"{_PACKAGE}.middleware.GuardMiddleware"


@checks.register()
def check(app_configs: object, **more: Any) -> Sequence[CheckMessage]:
    """Give all that is wrong."""
    return [*_of_the_guard(), *_of_django()]


def _of_the_guard() -> Iterator[CheckMessage]:
    try:
        found = guard_settings.load(options().config, os.environ)
    except ExodusError as error:
        yield Error(str(error), hint="uploads are refused until this is right", id="exodus_storage_guard.E001")
        return
    try:
        state.opened(found.state).settled()
    except ExodusError as error:
        hint = "is this user in the group exodus-storage-guard?"
        yield checks.Warning(str(error), hint=hint, id="exodus_storage_guard.W002")


def _of_django() -> Iterator[CheckMessage]:
    handlers = list(settings.FILE_UPLOAD_HANDLERS)
    if _HANDLER in handlers[1:]:
        hint = "handlers before it have taken the file when it is asked"
        yield Error(f"{_HANDLER} is not the first of FILE_UPLOAD_HANDLERS", hint=hint, id="exodus_storage_guard.E003")
    if _HANDLER in handlers and _MIDDLEWARE not in settings.MIDDLEWARE:
        hint = "without it a reservation ends by time alone"
        yield Error(f"{_MIDDLEWARE} is not in MIDDLEWARE", hint=hint, id="exodus_storage_guard.E004")
    yield from _of_storage()


def _of_storage() -> Iterator[CheckMessage]:
    try:
        backend = options().storage.get("backend")
        if backend is not None:
            import_string(backend)
    except ExodusError:
        return  # said above
    except ImportError as error:
        yield Error(f"{NAME}: storage: {error}", id="exodus_storage_guard.E005")

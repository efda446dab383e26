"""Find what is wrong at start, and not when the first upload comes."""

import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.urls import URLResolver, get_resolver
from django.utils.module_loading import import_string

from exodus_common.errors import ExodusError
from exodus_storage_guard import settings as guard_settings
from exodus_storage_guard.adapters.django.gates import gate
from exodus_storage_guard.adapters.django.options import NAME, Options, options
from exodus_storage_guard.adapters.django.storage import GuardedStorage
from exodus_storage_guard.admission import opening

_PACKAGE = "exodus_storage_guard.adapters.django"
_HANDLER, _MIDDLEWARE = f"{_PACKAGE}.uploads.GuardUploadHandler", f"{_PACKAGE}.middleware.GuardMiddleware"

_ANY_KEY = "exodus-storage-guard"
_REFUSED = {"refuse": "refused", "accept": "accepted without being asked about"}


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
        opening.opened(found, options().config).is_archived(_ANY_KEY)  # whoever decides is there, and answers
    except ExodusError as error:
        hint = f"until it is there uploads are {_REFUSED[gate().when_broken_now()]}"
        yield checks.Warning(str(error), hint=hint, id="exodus_storage_guard.W002")


def _of_django() -> Iterator[CheckMessage]:
    handlers = list(settings.FILE_UPLOAD_HANDLERS)
    if _HANDLER in handlers[1:]:
        hint = "handlers before it have taken the file when it is asked"
        yield Error(f"{_HANDLER} is not the first of FILE_UPLOAD_HANDLERS", hint=hint, id="exodus_storage_guard.E003")
    if _HANDLER in handlers and _MIDDLEWARE not in settings.MIDDLEWARE:
        hint = "without it a reservation ends by time alone"
        yield Error(f"{_MIDDLEWARE} is not in MIDDLEWARE", hint=hint, id="exodus_storage_guard.E004")
    try:
        found = options()
    except ExodusError:
        return  # said above
    yield from _of_storage(found)
    if _HANDLER in handlers:
        yield from _of_views(found)


def _of_storage(found: Options) -> Iterator[CheckMessage]:
    """See that what a GuardedStorage wraps is there, and takes its options: none of their values is told."""
    named = {f"{NAME}: storage": found.storage} if found.storage else {}
    if _default_is_guarded():
        own = _default().get("OPTIONS", {})
        named |= {"STORAGES: default: OPTIONS": own} if own.get("backend") else {f"{NAME}: storage": found.storage}
    for where, storage in named.items():
        if wrong := _wrong_of_backend(storage.get("backend"), storage.get("options") or {}):
            yield Error(f"{where}: {wrong}", hint="no upload can be stored", id="exodus_storage_guard.E005")


def _wrong_of_backend(named: str | None, its_options: Mapping[str, Any]) -> str:
    """Say what keeps a backend from being made, without making it: it may ask its store."""
    if not named:
        return "there is no backend, which GuardedStorage wraps"
    try:
        backend = import_string(named)
        if isinstance(backend, type):  # Django's own take anything in __new__
            inspect.signature(backend.__init__).bind(None, **its_options)  # type: ignore[misc]  # of that very class
    except (ImportError, TypeError) as error:
        return f"{named}: {error}"
    return ""


def _of_views(found: Options) -> Iterator[CheckMessage]:
    """See that some views reserve, that each of them is one, and that what they store is counted."""
    if not found.views:
        hint = "name those that take uploads; no other request's files reserve anything"
        yield Error(f"{NAME}: views: there are none", hint=hint, id="exodus_storage_guard.E006")
    known = set(_names(get_resolver(), ""))
    for name in sorted(set(found.views) - known):
        hint = f"there are {', '.join(sorted(known)[:20])}"
        yield Error(f"{NAME}: views: there is no view {name!r}", hint=hint, id="exodus_storage_guard.E007")
    if not _default_is_guarded():
        hint = "only what a GuardedStorage saves is counted at once: set it as the default, or give it to the field"
        yield checks.Warning("the default storage is not the guard's", hint=hint, id="exodus_storage_guard.W003")


def _default_is_guarded() -> bool:
    """Tell it without making a storage: Django 4.2 has `STORAGES`, an older one a setting of its own."""
    named = _default().get("BACKEND")
    try:
        return issubclass(import_string(named or settings.DEFAULT_FILE_STORAGE), GuardedStorage)
    except ImportError:
        return False


def _default() -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(settings, "STORAGES", {}).get("default", {})
    return found


def _names(resolver: URLResolver, namespace: str) -> Iterator[str]:
    """Name all views as `resolver_match.view_name` does."""
    for one in resolver.url_patterns:
        if isinstance(one, URLResolver):
            inner = f"{namespace}{one.namespace}:" if one.namespace else namespace
            yield from _names(one, inner)
        else:
            yield f"{namespace}{one.name or one.lookup_str}"

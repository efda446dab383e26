"""The gate of this process, and whether it is open: cheap enough for every request."""

import logging
from functools import cache
from typing import Any

from django.core.signals import setting_changed
from django.http import HttpRequest

from exodus_common.clock import SystemClock
from exodus_common.errors import SettingsInvalid
from exodus_storage_guard.adapters.django.options import NAME, options
from exodus_storage_guard.adapters.gate import Gate
from exodus_storage_guard.adapters.recent import Recent

_log = logging.getLogger(__name__)


@cache
def gate() -> Gate:
    """Give the gate; it is opened when the first upload comes."""
    found = options()
    return Gate(found.config, found.when_broken)


def accepting() -> bool:
    """Tell whether an upload of a usual size would be admitted, as it was seen within the last seconds."""
    try:
        return _recent().answer()
    except SettingsInvalid as error:
        _log.critical("whether uploads are accepted is not known: %s", error)
        return False


def context(request: HttpRequest) -> dict[str, object]:
    """Give templates `accepting_uploads` (a context processor); asked only where a template uses it."""
    return {"accepting_uploads": accepting}


@cache
def _recent() -> Recent:
    return Recent(gate().is_accepting, options().accepting_seconds, SystemClock())


def _forget(*, setting: str, **more: Any) -> None:
    if setting == NAME:
        gate.cache_clear()
        _recent.cache_clear()


setting_changed.connect(_forget)

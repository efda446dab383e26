"""The gate of this process, and whether it is open: cheap enough for every request."""

from functools import cache
from typing import Any

from django.core.signals import setting_changed
from django.http import HttpRequest

from exodus_common.clock import SystemClock
from exodus_storage_guard.adapters.django.options import NAME, options
from exodus_storage_guard.adapters.gate import Gate

_clock = SystemClock()
_seen: tuple[float, bool] | None = None


@cache
def gate() -> Gate:
    """Give the gate; it is opened when the first upload comes."""
    found = options()
    return Gate(found.config, found.when_broken)


def accepting() -> bool:
    """Tell whether an upload of a usual size would be admitted, as it was seen within the last seconds."""
    global _seen
    now, seen = _clock.monotonic(), _seen
    if seen is None or now - seen[0] > _old_seconds():
        seen = _seen = now, gate().is_accepting()
    return seen[1]


def context(request: HttpRequest) -> dict[str, object]:
    """Give templates `accepting_uploads` (a context processor); asked only where a template uses it."""
    return {"accepting_uploads": accepting}


@cache
def _old_seconds() -> float:
    return options().accepting_seconds


def _forget(*, setting: str, **more: Any) -> None:
    global _seen
    if setting == NAME:
        gate.cache_clear()
        _old_seconds.cache_clear()
        _seen = None


setting_changed.connect(_forget)

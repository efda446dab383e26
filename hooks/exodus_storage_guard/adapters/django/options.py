"""What a platform says of the guard in its own settings: `EXODUS_STORAGE_GUARD`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from django.conf import settings

from exodus_common.errors import SettingsInvalid
from exodus_storage_guard.adapters.gate import WhenBroken
from exodus_storage_guard.sizes import parse_bytes

NAME = "EXODUS_STORAGE_GUARD"
_LONGEST_IDLE_SECONDS = 3600


@dataclass(frozen=True)
class Options:
    """Hold them.

    `views` are those that take uploads, by name: no other request's files reserve anything. `suffixes` are those of the
    files that are guarded (none: all). `accepting_seconds` is how long the accepting flag may be old.

    `most_bytes` is what a request may declare at most, beside the guard's own bound; one that brings nothing for
    `idle_seconds` loses its room; `client_header` is where a proxy names whoever sends, such as "X-Real-IP".
    `config` is the guard's own settings file where it is not the usual one; `when_broken` wins over what that says;
    `storage` has the `backend` that `GuardedStorage` wraps, and its `options`.
    """

    views: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    most_bytes: int | None = None
    idle_seconds: float = 60.0
    client_header: str | None = None
    accepting_seconds: float = 2.0
    config: Path | None = None
    when_broken: WhenBroken | None = None
    storage: Mapping[str, Any] = field(default_factory=dict)

    def guards(self, file_name: str) -> bool:
        """Tell whether a file is one of those that are guarded."""
        return not self.suffixes or file_name.lower().endswith(self.suffixes)


def options() -> Options:
    """Read them; raise `SettingsInvalid` for what is none."""
    found = getattr(settings, NAME, {})
    allowed = {one.name for one in fields(Options)}
    if not isinstance(found, dict) or not set(found) <= allowed:
        raise SettingsInvalid(f"{NAME}: found {found!r:.80}; allowed: a dict of {', '.join(sorted(allowed))}")
    if found.get("when_broken") not in (None, "refuse", "accept"):
        raise SettingsInvalid(f'{NAME}: when_broken: found {found["when_broken"]!r:.40}; allowed: "refuse", "accept"')
    suffixes, views = _names(found, "suffixes", "['.apk']"), _names(found, "views", "['analysis:upload']")
    config = Path(found["config"]) if found.get("config") else None
    read = {"config": config, "suffixes": tuple(one.lower() for one in suffixes), "views": views}
    return Options(**{**found, **read, "most_bytes": _most(found.get("most_bytes")), **_idle(found)})


def _names(found: Mapping[str, Any], name: str, example: str) -> tuple[str, ...]:
    said = found.get(name, ())
    if not isinstance(said, list | tuple) or not all(isinstance(one, str) for one in said):
        raise SettingsInvalid(f"{NAME}: {name}: found {said!r:.40}; allowed: a list such as {example}")
    return tuple(said)


def _most(said: object) -> int | None:
    if said is None:
        return None
    try:
        return parse_bytes(said)  # type: ignore[arg-type]  # it says what is wrong with any other
    except (TypeError, ValueError) as error:
        raise SettingsInvalid(f"{NAME}: most_bytes: {error}") from error


def _idle(found: Mapping[str, Any]) -> Mapping[str, float]:
    if "idle_seconds" not in found:
        return {}
    said = found["idle_seconds"]
    if isinstance(said, bool) or not isinstance(said, int | float) or not 1 <= said <= _LONGEST_IDLE_SECONDS:
        raise SettingsInvalid(f"{NAME}: idle_seconds: found {said!r:.40}; allowed: 1 to {_LONGEST_IDLE_SECONDS}")
    return {"idle_seconds": float(said)}

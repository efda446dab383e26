"""What a platform says of the guard in its own settings: `EXODUS_STORAGE_GUARD`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from django.conf import settings

from exodus_common.errors import SettingsInvalid
from exodus_storage_guard.adapters.gate import WhenBroken
from exodus_storage_guard.sizes import parse_bytes

NAME = "EXODUS_STORAGE_GUARD"
_LONGEST_SECONDS = 3600


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
    """Read them; raise `SettingsInvalid` for what is none, which tells no values of a storage's."""
    found = getattr(settings, NAME, {})
    if not isinstance(found, dict):
        raise SettingsInvalid(f"{NAME}: found one of type {type(found).__name__}; allowed: a dict")
    allowed = {one.name for one in fields(Options)}
    if unknown := sorted(f"{one!r:.40}" for one in found.keys() - allowed):
        raise SettingsInvalid(f"{NAME}: found {', '.join(unknown)}; allowed: {', '.join(sorted(allowed))}")
    if found.get("when_broken") not in (None, "refuse", "accept"):
        raise SettingsInvalid(f'{NAME}: when_broken: found {found["when_broken"]!r:.40}; allowed: "refuse", "accept"')
    suffixes = tuple(one.lower() for one in _names(found, "suffixes", "['.apk']"))
    read = {
        "views": _names(found, "views", "['analysis:upload']"),
        "suffixes": suffixes,
        "config": _config(found.get("config")),
        "client_header": _header(found.get("client_header")),
        "most_bytes": _most(found.get("most_bytes")),
        "storage": _storage(found.get("storage", {})),
    }
    seconds = {"idle_seconds": (1, _LONGEST_SECONDS), "accepting_seconds": (0, _LONGEST_SECONDS)}
    return Options(**{**found, **read, **{name: _seconds(found, name, *span) for name, span in seconds.items()}})


def _names(found: Mapping[str, Any], name: str, example: str) -> tuple[str, ...]:
    said = found.get(name, ())
    if not isinstance(said, list | tuple) or not all(isinstance(one, str) and one for one in said):
        raise SettingsInvalid(f"{NAME}: {name}: found {said!r:.40}; allowed: a list such as {example}")
    return tuple(said)


def _config(said: object) -> Path | None:
    if said is None or said == "":
        return None
    if not isinstance(said, str | os.PathLike):
        raise SettingsInvalid(f"{NAME}: config: found {said!r:.40}; allowed: the path of a file")
    return Path(said)


def _header(said: object) -> str | None:
    if said is None:
        return None
    if not isinstance(said, str) or not said.strip():
        raise SettingsInvalid(f'{NAME}: client_header: found {said!r:.40}; allowed: a name such as "X-Real-IP"')
    return said


def _most(said: object) -> int | None:
    if said is None:
        return None
    try:
        found = 0 if isinstance(said, bool) else parse_bytes(said)  # type: ignore[arg-type]  # it says what is wrong
    except (TypeError, ValueError) as error:
        raise SettingsInvalid(f"{NAME}: most_bytes: {error}") from error
    if found <= 0:
        raise SettingsInvalid(f'{NAME}: most_bytes: found {said!r:.40}; allowed: a size such as "500 MiB"')
    return found


def _storage(said: object) -> Mapping[str, Any]:
    """Tell no value: a store's secret may be one."""
    shape = f"{NAME}: storage: allowed: a dict of `backend`, a dotted name, and `options`, a dict"
    if not isinstance(said, dict):
        raise SettingsInvalid(f"{shape}; found one of type {type(said).__name__}")
    if unknown := sorted(f"{one!r:.40}" for one in said.keys() - {"backend", "options"}):
        raise SettingsInvalid(f"{shape}; found {', '.join(unknown)}")
    if not isinstance(said.get("backend", ""), str) or not isinstance(said.get("options", {}), dict):
        raise SettingsInvalid(shape)
    return said


def _seconds(found: Mapping[str, Any], name: str, least: float, most: float) -> float:
    said = found.get(name, getattr(Options, name))
    if isinstance(said, bool) or not isinstance(said, int | float) or not least <= said <= most:
        raise SettingsInvalid(f"{NAME}: {name}: found {said!r:.40}; allowed: {least:g} to {most:g}")
    return float(said)

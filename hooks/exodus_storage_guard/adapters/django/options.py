"""What a platform says of the guard in its own settings: `EXODUS_STORAGE_GUARD`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from django.conf import settings

from exodus_common.errors import SettingsInvalid
from exodus_storage_guard.adapters.gate import WhenBroken

NAME = "EXODUS_STORAGE_GUARD"


@dataclass(frozen=True)
class Options:
    """Hold them: `suffixes` of the files that are guarded (none: all), how long the accepting flag may be old.

    `config` is the guard's own settings file where it is not the usual one; `when_broken` wins over what that says;
    `storage` has the `backend` that `GuardedStorage` wraps, and its `options`.
    """

    config: Path | None = None
    when_broken: WhenBroken | None = None
    suffixes: tuple[str, ...] = ()
    accepting_seconds: float = 2.0
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
    suffixes = found.get("suffixes", ())
    if isinstance(suffixes, str) or not all(isinstance(one, str) for one in suffixes):
        raise SettingsInvalid(f"{NAME}: suffixes: found {suffixes!r:.40}; allowed: a list such as ['.apk']")
    config = Path(found["config"]) if found.get("config") else None
    return Options(**{**found, "config": config, "suffixes": tuple(one.lower() for one in suffixes)})

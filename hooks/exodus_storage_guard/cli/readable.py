"""See, before the guard is started, that it can read its settings and every file that they name."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from exodus_common.errors import SettingsInvalid
from exodus_common.render import printable
from exodus_common.settings import Source
from exodus_storage_guard import privileges
from exodus_storage_guard.settings import Settings


def see_that_the_guard_can_read(source: Source, found: Settings) -> None:
    """Run by root, look as whom the guard runs as; raise `SettingsInvalid` for what is closed to him, or not there."""
    with privileges.with_the_guards_eyes(found.state, found.admission.socket) as user:
        if user:
            for file in ([source.file] if source.table is not None else []) + list(_named(found)):
                _see(file, user)


def _named(table: Any) -> Iterator[Path]:
    for field in fields(table):
        value = getattr(table, field.name)
        if is_dataclass(value):
            yield from _named(value)
        elif isinstance(value, Path) and field.name.endswith("_file"):
            yield value


def _see(file: Path, user: str) -> None:
    try:
        with file.open("rb"):
            return
    except PermissionError:
        name = printable(str(file))
        remedy = f"chgrp {user} {name} && chmod 640 {name}"
        raise SettingsInvalid(
            f"{name}: cannot be read by {user}, as whom the guard runs; {remedy}, and its folders have to let him pass"
        ) from None
    except OSError as error:
        raise SettingsInvalid(f"{printable(str(file))}: cannot be read: {error.strerror}") from None

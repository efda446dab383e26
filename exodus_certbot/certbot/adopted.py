"""The memory of `adopt`: which renewal files it wrote our plugin into, and the line that stood there before."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from exodus_common.durable import write_atomically
from exodus_common.errors import ExodusError
from exodus_common.render import printable

_FILE = "adopted.json"


def files(state_dir: Path) -> frozenset[str]:
    """Name the renewal files into which `adopt` has written our plugin and out of which no `undo` took it."""
    return frozenset(recalled(state_dir))


def recalled(state_dir: Path) -> dict[str, str | None]:
    """Give each file with the line that named its installer before, None where none did."""
    with suppress(OSError, ValueError):
        found = json.loads((state_dir / _FILE).read_text("utf-8"))
        if isinstance(found, dict):
            return {path: before for path, before in found.items() if before is None or isinstance(before, str)}
    return {}


def remember(state_dir: Path, lines: Mapping[str, str | None]) -> None:
    """Write them down; raise ExodusError where that cannot be done."""
    file = state_dir / _FILE
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(file, json.dumps(lines, indent=1).encode(), mode=0o600)
    except OSError as error:
        where = printable(str(file))
        raise ExodusError(f"cannot write {where}: {error.strerror}; run as root, or set STATE_DIRECTORY") from error

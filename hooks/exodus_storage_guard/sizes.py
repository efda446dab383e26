"""Read and write sizes as people and settings do."""

import re

_UNITS = {unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB", "PiB"), 1)}
_UNITS |= {unit: 1000**power for power, unit in enumerate(("kB", "MB", "GB", "TB", "PB"), 1)}
_FACTORS = {unit.lower(): factor for unit, factor in _UNITS.items()} | {"": 1, "b": 1}
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*", re.ASCII)
_MOST_BYTES = 2**63 - 1
ALLOWED = "bytes, or a number with a unit such as 10 MiB, 2.5 GiB, 1 TB"


def parse_bytes(text: str | int) -> int:
    """Read a size in whole bytes; raise `ValueError` that says what is allowed."""
    found = _SIZE.fullmatch(str(text))
    factor = _FACTORS.get(found[2].lower()) if found else None
    if found is None or factor is None or ("." in found[1] and factor == 1):
        raise ValueError(f"found {str(text)[:40]!r}; allowed: {ALLOWED}")
    size = int(found[1]) * factor if "." not in found[1] else int(float(found[1]) * factor)
    if size > _MOST_BYTES:
        raise ValueError(f"found {str(text)[:40]!r}; allowed: at most 8 EiB")
    return size


def require(condition: bool, message: str) -> None:
    """Raise `ValueError` with a message where a setting is not as it has to be."""
    if not condition:
        raise ValueError(message)


def shown_apart(one: int, other: int) -> tuple[str, str]:
    """Write two sizes for people, to the byte where they would look the same and are not."""
    both = shown(one), shown(other)
    return both if one == other or both[0] != both[1] else (f"{one} B", f"{other} B")


def shown(size: int) -> str:
    """Write a size for people; whoever sends something may declare one that no number with a point is as large as."""
    value, units = float(min(size, _MOST_BYTES)), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while abs(value) >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "B" or abs(value) >= 100 else f"{value:.1f} {units[0]}"

"""Say which settings are in force, and where each comes from: `config --check` and `config --show`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from exodus_common.described import table_of, toml
from exodus_common.place import Place
from exodus_common.render import json_text, printable
from exodus_common.settings import Source

_DEFAULT = "default"
HIDDEN = "(not shown)"


@dataclass(frozen=True)
class InForce:
    """Hold one setting as it is in force: its table ("" before all tables), key, value, and where that comes from."""

    table: str
    key: str
    value: object
    origin: str

    def line(self) -> str:
        """Write it as TOML has it."""
        if self.value is None:
            return f"# {self.key} is not set"
        if self.value == HIDDEN:
            return printable(f"# {self.key} is set, and not shown  # {self.origin}")
        return printable(f"{self.key} = {toml(self.value)}  # {self.origin}")


def checked(source: Source, *, as_json: bool) -> str:
    """Say that the settings are right, once they were read."""
    reason = f"{source.file} is right" if source.table is not None else f"there is no {source.file}: the defaults hold"
    return json_text({"verdict": "ok", "reason": reason}) if as_json else printable(f"OK: {reason}")


def shown(source: Source, built: Any, options: Iterable[str] = (), *, as_json: bool) -> str:
    """Show each setting that is in force; `options` are keys that come from the command line.

    What is shown is a settings file itself. A value that may be a secret is not shown.
    """
    rows = in_force(Place(source.file), built, source.table or {}, frozenset(options))
    if not as_json:
        return _page(rows)
    return json_text(
        [{"key": f"{row.table}.{row.key}".lstrip("."), "value": row.value, "from": row.origin} for row in rows]
    )


def in_force(
    place: Place, built: Any, said: Mapping[str, Any], options: frozenset[str] = frozenset()
) -> Iterator[InForce]:
    """Give the settings in `built`, of which the file has `said` some; a table that is not there has none."""
    for field in fields(built):
        value, there = getattr(built, field.name), place.child(field.name)
        if is_dataclass(value):
            of_table = in_force(there, value, said.get(field.name, {}))
            yield from (InForce(field.name, one.key, one.value, one.origin) for one in of_table)
        elif value is not None or table_of(type(built), field) is None:
            by_file = str(place.file) if field.name in said else _DEFAULT
            origin = "command line" if field.name in options else by_file
            yield InForce("", field.name, _seen(there, value), origin)


def _seen(place: Place, value: object) -> object:
    """Give a value as people may see it."""
    if isinstance(value, tuple | list):
        return [_seen(place, item) for item in value]
    return HIDDEN if isinstance(value, str) and place.may_hold_secret(value) else value


def _page(rows: Iterable[InForce]) -> str:
    lines, table = list[str](), ""
    for row in rows:
        if row.table != table:
            lines += ["", f"[{row.table}]"]
            table = row.table
        lines.append(row.line())
    return "\n".join(lines).lstrip("\n")

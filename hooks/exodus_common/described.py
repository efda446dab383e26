"""Describe the settings that a dataclass takes, from the dataclass: the pages of the manual are made of it.

What a setting means stands in the docstring of its class, a paragraph of `name: what it is` at the end; an example, as
TOML has it, may follow after `Example:`.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any, get_args, get_type_hints

from exodus_common.typed import described_kind

_NAMED = re.compile(r"^([a-z][a-z0-9_]*): ", re.MULTILINE)


@dataclass(frozen=True)
class Setting:
    """Hold what one key is: what may be written, its default as TOML (None: there is none), its meaning, an example."""

    key: str
    allowed: str
    default: str | None
    is_required: bool
    text: str
    example: str


@dataclass(frozen=True)
class Table:
    """Hold the keys of a table; the one without a name is what stands before all others."""

    name: str
    text: str
    is_required: bool
    settings: tuple[Setting, ...]


def tables(cls: Any) -> Iterator[Table]:
    """Describe a dataclass of settings: its own keys, then its tables; raise `ValueError` for one without a text."""
    own = tuple(field for field in fields(cls) if table_of(cls, field) is None)
    if own:
        yield Table("", _summary(cls), False, tuple(_settings(cls, own)))
    for field in fields(cls):
        table = table_of(cls, field)
        if table is not None:
            yield Table(field.name, _summary(table), _is_required(field), tuple(_settings(table, fields(table))))


def _settings(cls: Any, wanted: tuple[Field[Any], ...]) -> Iterator[Setting]:
    hints, texts = get_type_hints(cls), _texts(cls)
    for field in wanted:
        if field.name not in texts:
            raise ValueError(f"{cls.__name__}.{field.name}: nobody says what it is")
        text, _, example = texts[field.name].partition(" Example: ")
        default = None if _is_required(field) or field.default is None else toml(field.default)
        allowed = described_kind(hints[field.name])
        yield Setting(field.name, allowed, default, _is_required(field), text, example.rstrip("."))


def _texts(cls: Any) -> Mapping[str, str]:
    """Read what a docstring, and those of the classes above, say of the fields."""
    found = dict[str, str]()
    for each in reversed(cls.__mro__):
        words = _NAMED.split(inspect.cleandoc(each.__dict__.get("__doc__") or "").rpartition("\n\n")[2])[1:]
        found |= {name: " ".join(text.split()) for name, text in zip(words[::2], words[1::2], strict=True)}
    return found


def _summary(cls: Any) -> str:
    return inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


def table_of(cls: Any, field: Field[Any]) -> Any:
    """Give the dataclass that a field has a table of; None where it has a value."""
    hint = get_type_hints(cls)[field.name]
    return next((kind for kind in (hint, *get_args(hint)) if is_dataclass(kind)), None)


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def toml(value: object) -> str:
    """Write a setting's value as TOML has it, in one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return toml(value.value)
        case int() | float():
            return str(int(value)) if float(value).is_integer() else repr(value)
        case tuple() | list():
            return f"[{', '.join(map(toml, value))}]"
        case str() | PurePath():
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    raise TypeError(f"no setting: {value!r}")

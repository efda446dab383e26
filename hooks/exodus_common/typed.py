"""Turn parsed TOML into the types that a dataclass' annotations ask for."""

import json
import types
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from exodus_common.errors import SettingsInvalid
from exodus_common.place import Place

_SCALARS: dict[Any, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number of 64 bits",
    float: "a finite number",
    Path: "a path (a string, not empty)",
}


def read_dataclass(cls: Any, table: object, place: Place) -> Any:
    """Build the dataclass `cls` from a table; raise SettingsInvalid for the first key that does not fit."""
    if not isinstance(table, dict):
        raise place.refused(table, allowed="a table")
    known = {field.name: field for field in fields(cls) if field.init}
    for key in table:
        if key not in known:
            raise place.child(key).invalid(_unknown(key, known))
    hints = get_type_hints(cls)
    values = {key: _value(hints[key], value, place.child(key)) for key, value in table.items()}
    for key, field in known.items():
        if key not in values and _is_required(field):
            raise place.child(key).invalid(f"found nothing; required: {described_kind(hints[key])}")
    try:
        return cls(**values)
    except ValueError as error:
        raise place.invalid(place.without_secrets(str(error), table)) from None


def _value(kind: Any, value: object, place: Place) -> Any:
    if is_dataclass(kind):
        return read_dataclass(kind, value, place)
    if alternatives := _alternatives(kind):
        return _first_that_fits(alternatives, value, place)
    if choices := _choices(kind):
        return _choice(choices, value, place)
    if get_origin(kind) is tuple:
        return _array(kind, value, place)
    return _scalar(kind, value, place)


def _first_that_fits(kinds: tuple[Any, ...], value: object, place: Place) -> Any:
    if len(kinds) == 1:
        return _value(kinds[0], value, place)
    for kind in kinds:
        with suppress(SettingsInvalid):
            return _value(kind, value, place)
    raise place.refused(value, allowed=" or ".join(map(described_kind, kinds)))


def _choice(choices: list[tuple[Any, Any]], value: object, place: Place) -> Any:
    for written, meant in choices:
        # True == 1: the type must be the same as well.
        if type(written) is type(value) and written == value:
            return meant
    raise place.refused(value, allowed=_one_of(choices))


def _array(kind: Any, value: object, place: Place) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise place.refused(value, allowed=described_kind(kind))
    return tuple(_value(_item_kind(kind), item, place.child(number)) for number, item in enumerate(value))


def _scalar(kind: Any, value: object, place: Place) -> Any:
    allowed = described_kind(kind)
    match value:
        case bool() | str() if type(value) is kind:
            return value
        case str() if kind is Path and value and "\0" not in value:
            return Path(value)
        case bool():
            pass
        case int() if kind in (int, float) and -(2**63) <= value < 2**63:
            return kind(value)
        case float() if kind is float and isfinite(value):
            return value
    raise place.refused(value, allowed=allowed)


def described_kind(kind: Any) -> str:
    """Say in words what may be written for a type."""
    if is_dataclass(kind):
        return "a table"
    if alternatives := _alternatives(kind):
        return " or ".join(map(described_kind, alternatives))
    if choices := _choices(kind):
        return _one_of(choices)
    if get_origin(kind) is tuple:
        return f"an array (of: {described_kind(_item_kind(kind))})"
    if kind in _SCALARS:
        return _SCALARS[kind]
    raise TypeError(f"settings cannot hold {kind}")


def _unknown(key: str, known: Iterable[str]) -> str:
    nearest = get_close_matches(key, known, n=1)
    hint = f" (did you mean {nearest[0]}?)" if nearest else ""
    return f"found an unknown key{hint}; allowed: {', '.join(known)}"


def _one_of(choices: list[tuple[Any, Any]]) -> str:
    return "one of " + ", ".join(json.dumps(written) for written, _ in choices)


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union; None is no member, since TOML cannot say it."""
    if get_origin(kind) not in (Union, types.UnionType):
        return ()
    return tuple(member for member in get_args(kind) if member is not types.NoneType)


def _choices(kind: Any) -> list[tuple[Any, Any]]:
    """Return what may be written and what it means, of a Literal or an enumeration."""
    if get_origin(kind) is Literal:
        return [(value, value) for value in get_args(kind)]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [(member.value, member) for member in kind]
    return []


def _item_kind(kind: Any) -> Any:
    item_kind, rest = get_args(kind)
    if rest is not Ellipsis:
        raise TypeError(f"settings hold arrays of one type, tuple[X, ...], not {kind}")
    return item_kind

"""Name a place in a settings file, and say what is wrong there without showing a secret."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path

from exodus_common.errors import SettingsInvalid
from exodus_common.terminal import printable

_SECRET_KEY = re.compile(r"(^|_)(key|token|secret)s?$|pass(word|phrase)s?$", re.IGNORECASE)
_SECRET_TEXT = re.compile(r"(pass(word|wd|phrase)?|pwd|secret|token)\s*=|PRIVATE KEY|:[^\s/]*@", re.IGNORECASE)
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_MOST_SHOWN_CHARACTERS = 60
_TYPE_NAMES: dict[type, str] = {
    str: "a string (not shown)",
    dict: "a table",
    list: "an array",
    int: "a whole number (not shown)",
    float: "a number (not shown)",
    date: "a date",
    time: "a time",
    object: "a value of another kind",
}


@dataclass(frozen=True)
class Place:
    """A table, key or array item of a settings file; keys are strings, items of arrays numbers from 0."""

    file: Path
    keys: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        """Return the dotted key, as in `forge[1].kind`; empty for the file as a whole."""
        return "".join(map(_segment, self.keys)).removeprefix(".")

    def child(self, key: str | int) -> "Place":
        """Return the place one step further in."""
        return Place(self.file, (*self.keys, key))

    def invalid(self, message: str) -> SettingsInvalid:
        """Return the error that says `message` of this place on one line."""
        key = f"key {self}: " if self.keys else ""
        return SettingsInvalid(printable(f"{self.file}: {key}{message}"))

    def refused(self, value: object, *, allowed: str) -> SettingsInvalid:
        """Return the error that says what was found, as far as it may be seen, and what is allowed."""
        return self.invalid(f"found {self.shown(value)}; allowed: {allowed}")

    def shown(self, value: object) -> str:
        """Describe a value; of what may be a secret only the type, of a URL, which may hold one, only the scheme."""
        match value:
            case bool():
                return "true" if value else "false"
            case str() if (scheme := _URL.match(value)) and not self._is_secret():
                return f"a URL ({scheme[0]}…)"
            case str() if not self._hides(value):
                return f"the string {_quoted(value)}"
            case int() if not self._is_secret() and abs(value) < 2**63:
                return str(value)
            case float() if not self._is_secret():
                return str(value)
        return next(name for kind, name in _TYPE_NAMES.items() if isinstance(value, kind))

    def without_secrets(self, text: str, value: object) -> str:
        """Return `text` less every string in `value`, which stands at this place, that may be a secret."""
        for secret in sorted(self._secrets(value), key=len, reverse=True):
            text = text.replace(secret, "(not shown)")
        return text

    def _secrets(self, value: object) -> Iterator[str]:
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, child in children:
            yield from self.child(key)._secrets(child)
        if isinstance(value, str) and value and self._hides(value):
            yield from (value, repr(value)[1:-1])

    def may_hold_secret(self, text: str) -> bool:
        """Tell whether a value that is right may be a secret, or have one in it; a URL as such is none."""
        return self._is_secret() or bool(_SECRET_TEXT.search(text))

    def _hides(self, text: str) -> bool:
        return self.may_hold_secret(text) or bool(_URL.search(text))

    def _is_secret(self) -> bool:
        return any(isinstance(key, str) and _SECRET_KEY.search(key) for key in self.keys)


def _segment(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _BARE_KEY.fullmatch(key) else f".{_quoted(key)}"


def _quoted(text: str) -> str:
    shown = text if len(text) <= _MOST_SHOWN_CHARACTERS else text[:_MOST_SHOWN_CHARACTERS] + "…"
    return json.dumps(shown, ensure_ascii=False)

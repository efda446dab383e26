"""What the public is told, of a refusal or a guard that is broken: short, true in each case, and nothing of ours.

What is wrong, and where, is for operators and stands in a refusal's `reason`. Translations are in `locale/`; after a
change here `packaging/translations` renews them.
"""

import gettext
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from exodus_storage_guard.errors import UploadRefused, Why

_LONGEST_HEADER = 200  # characters
_WEIGHT = re.compile(r"[0-9](\.[0-9]*)?")
_USUAL = "en"


def _one_or_more(one: str, more: str, number: int) -> str:
    return one if number == 1 else more


@dataclass(frozen=True)
class Words:
    """Translate, as gettext and ngettext of any library do; without any it is English."""

    gettext: Callable[[str], str] = str
    ngettext: Callable[[str, str, int], str] = _one_or_more


ENGLISH = Words()


def for_reader(accept_language: str) -> Words:
    """Give the words of the first language that a browser asks for and there is (RFC 9110, 12.5.4), or else English."""
    wanted = [_rated(one) for one in accept_language[:_LONGEST_HEADER].split(",")]
    rated = [(rate, _known(language)) for rate, language in wanted if rate > 0]
    ordered = sorted(((rate, known) for rate, known in rated if known), key=lambda one: -one[0])
    return _of(ordered[0][1] if ordered else _USUAL)


def _rated(one: str) -> tuple[float, str]:
    """Read a language and how much it is wanted: as much as can be without a weight, not at all with one that is none.

    What else stands beside the weight is not looked at.
    """
    language, *parameters = one.split(";")
    named = [(name.strip().lower(), value.strip()) for name, _, value in (each.partition("=") for each in parameters)]
    weights = [float(value) if _WEIGHT.fullmatch(value) else 0.0 for name, value in named if name == "q"]
    return next(iter(weights), 1.0), language.strip()


def _known(language: str) -> str | None:
    """Give the language of ours that one is, or is a kind of: `fr` for `fr-CA` and `fr_FR` (RFC 4647, 3.4)."""
    parts = language.lower().replace("_", "-").split("-")
    kinds = ("_".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((_ours()[kind] for kind in kinds if kind in _ours()), None)


@cache
def _ours() -> Mapping[str, str]:
    return {one.name.lower(): one.name for one in _folder().iterdir()}


@cache
def _of(language: str) -> Words:
    found = gettext.translation("django", str(_folder()), [language], fallback=True)
    return Words(found.gettext, found.ngettext)


def _folder() -> Traversable:
    return files("exodus_storage_guard").joinpath("adapters/django/locale")


def refused(refusal: UploadRefused, words: Words = ENGLISH) -> str:
    """Say why an upload is refused, and when to come back."""
    return f"{_why(refusal.why, words)} {_when(refusal, words)}".strip()


def waiting(words: Words = ENGLISH) -> str:
    """Say that what was asked for is tried again by itself."""
    return words.gettext(
        "There is no room at the moment. This will be tried again by itself; you need not do anything."
    )


def given_up(refusal: UploadRefused, words: Words = ENGLISH) -> str:
    """Say why what was asked for was given up.

    It is kept and read later: one whole message of the catalogue, so that whoever shows it can still translate it.
    """
    _ = words.gettext
    no_room = _("There was no room for this. Please try again later.")
    return {
        Why.MAKING_ROOM: no_room,
        Why.NO_ROOM: no_room,
        Why.FULL: no_room,
        Why.TOO_LARGE: _("This is larger than what can be accepted here."),
        Why.TOO_MUCH_AT_ONCE: _("Too many files were being received. Please try again later."),
        Why.BUSY: _("Too many files were being received. Please try again later."),
        Why.NOT_KNOWN: _("This could not be accepted, for a technical reason. Please try again later."),
    }[refusal.why]


def failed(words: Words = ENGLISH) -> str:
    """Say that what was asked for went wrong, not for lack of room."""
    return words.gettext("Something went wrong on our side. Please try again later.")


def _why(why: Why, words: Words) -> str:
    _ = words.gettext
    return {
        Why.MAKING_ROOM: _("There is no room for new files at the moment; room is being made."),
        Why.NO_ROOM: _("There is no room for new files at the moment."),
        Why.FULL: _("There is no room for new files at the moment."),
        Why.TOO_LARGE: _("This is larger than what can be accepted here."),
        Why.TOO_MUCH_AT_ONCE: _("Other files are being received at the moment."),
        Why.BUSY: _("Too many files are being received at the moment."),
        Why.NOT_KNOWN: _("New files cannot be accepted at the moment, for a technical reason."),
    }[why]


def _when(refusal: UploadRefused, words: Words) -> str:
    if refusal.why is Why.TOO_LARGE:
        return ""
    seconds = refusal.retry_after_seconds
    if seconds is None:
        return words.gettext("Please try again another day.")
    minutes = max(1, math.ceil(seconds / 60))
    in_minutes = words.ngettext(
        "Please try again in about %(minutes)d minute.", "Please try again in about %(minutes)d minutes.", minutes
    )
    return in_minutes % {"minutes": minutes}

"""Decide how a key is called in an archive: by a name that stays in its folder, fits, and stands for one key only."""

import hashlib
import os
import re
import secrets
import unicodedata
from urllib.parse import unquote_to_bytes

from exodus_storage_guard.model import ELSEWHERE

MANIFEST = ".manifest.json"
OURS = ".exodus-"
"""Begins the names of what is ours in an archive and no copy: the mark, the quarantine, what is being written."""
_QUARANTINE = f"{OURS}quarantine"
_SET_ASIDE = re.compile(rf"{re.escape(_QUARANTINE)}/[0-9a-f]{{8}}-(.+)", re.DOTALL)
_MOST_BYTES = 255 - len(MANIFEST) - len("~0123456789ab")
_KEPT_BYTES, _CROWDED_BYTES = 150, 100
_NOT_UTF_8 = range(0xDC80, 0xDD00)  # as os.fsdecode has them (PEP 383)
_MISTAKEN = re.compile("~(?:[0-9a-f]{12}|[0-9a-f]{64})")
_OTHER_OR_NONE, _DIGEST = re.compile("(?:~[0-9a-f]{12})?"), re.compile("[0-9a-f]{64}")


def copy_name(key: str) -> str:
    """Give the name of a key's copy: the key itself, unless it would be mistaken or not fit."""
    return "/".join(map(_segment, key.split("/")))


def copy_names(key: str, sha256: str) -> tuple[str, str, str]:
    """Give the names that a copy of this content may have: each for where the one before is another copy's.

    No name is among those of two keys, and the last one stands for this content alone.
    """
    name = copy_name(key)
    return name, f"{name}~{sha256[:12]}", f"{_crowded(name)}~{_digest(f'{key}//{sha256}')}"


def key_of(name: str) -> str | None:
    """Give the key whose copy has this name; None where it cannot be told, or no key is called so."""
    key = os.fsdecode(unquote_to_bytes(os.fsencode(name)))
    return key if copy_name(key) == name else None


def may_be_of(name: str, key: str) -> bool:
    """Tell whether a copy of this key may have this name, now or as they were given before `~` was escaped.

    A filesystem may give it back in other case, or in another form of Unicode.
    """
    plain, found = copy_name(key), _folded(name)
    ends = {plain: _OTHER_OR_NONE, plain.replace("%7E", "~"): _OTHER_OR_NONE, f"{_crowded(plain)}~": _DIGEST}
    stems = ((_folded(stem), end) for stem, end in ends.items())
    return any(found.startswith(stem) and end.fullmatch(found[len(stem) :]) for stem, end in stems)


def is_named_for(name: str, key: str) -> bool:
    """Tell whether a name is, byte for byte, a copy's of this key and of no other one, whatever its content."""
    plain = copy_name(key)
    if name.startswith(plain) and _OTHER_OR_NONE.fullmatch(name[len(plain) :]):
        return True
    return _crowded(plain) == plain and name.startswith(f"{plain}~") and bool(_DIGEST.fullmatch(name[len(plain) + 1 :]))


def is_ours(name: str) -> bool:
    """Tell whether a name is of something of ours in the archive, and never a copy's."""
    return any(part.startswith(OURS) for part in name.split("/"))


def aside_name(name: str) -> str:
    """Give a copy a name under which nobody takes it for an archived object."""
    return f"{_QUARANTINE}/{secrets.token_hex(4)}-{name}"


def name_before(name: str) -> str:
    """Give the name that a copy had before it was put aside, if it was."""
    found = _SET_ASIDE.fullmatch(name)
    return found[1] if found else name


def elsewhere(archive_id: str, name: str) -> str:
    """Name a copy that lies in another archive: whoever looks for it here finds none."""
    return f"{ELSEWHERE}{archive_id}/{name}"


def whereabouts(copy: str) -> tuple[str | None, str]:
    """Give the id of the other archive that a copy lies in, None where it lies here, and its name there."""
    if not copy.startswith(ELSEWHERE):
        return None, copy
    archive_id, _, name = copy.removeprefix(ELSEWHERE).partition("/")
    return archive_id, name


def manifest_name(name: str) -> str:
    """Give the name of a copy's manifest."""
    return name + MANIFEST


def _segment(segment: str) -> str:
    if segment in ("", ".", ".."):
        return segment.replace(".", "%2E") or "%"
    escaped = "".join(map(_escaped, segment))
    if escaped.startswith(OURS):
        escaped = "%2E" + escaped[1:]
    if escaped.endswith(MANIFEST):
        escaped = escaped[: -len(MANIFEST)] + "%2E" + MANIFEST[1:]
    head, tilde, tail = escaped.rpartition("~")
    if tilde and _MISTAKEN.fullmatch(tilde + tail):
        escaped = f"{head}%7E{tail}"
    content = os.fsencode(escaped)
    return escaped if len(content) <= _MOST_BYTES else os.fsdecode(content[:_KEPT_BYTES]) + "~" + _digest(segment)


def _crowded(name: str) -> str:
    """Shorten a name, so that a whole digest fits behind it."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + os.fsencode(last)[:_CROWDED_BYTES].decode("utf-8", "ignore")


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _escaped(one: str) -> str:
    """Escape what steers a terminal or separates lines, and bytes that are not UTF-8, which no bucket has in a key."""
    number = ord(one)
    if number in _NOT_UTF_8:
        number -= 0xDC00
    elif number >= 0x20 and one not in "%\x7f":
        return one
    return f"%{number:02X}"

"""Decide how a key is called in an archive: by a name that stays in its folder, fits, and stands for one key only."""

import hashlib
import os
from urllib.parse import unquote_to_bytes

from exodus_storage_guard.model import ELSEWHERE

MANIFEST = ".manifest.json"
OURS = ".exodus-"
"""Begins the names of what is ours in an archive and no copy: the mark, the quarantine, what is being written."""
_MOST_BYTES = 255 - len(MANIFEST) - len("~0123456789ab")
_KEPT_BYTES = 150
_NOT_UTF_8 = range(0xDC80, 0xDD00)  # as os.fsdecode has them (PEP 383)


def copy_name(key: str) -> str:
    """Give the name of a key's copy: the key itself, unless it would be mistaken or not fit."""
    return "/".join(map(_segment, key.split("/")))


def key_of(name: str) -> str | None:
    """Give the key whose copy has this name; None where it cannot be told, or no key is called so."""
    key = os.fsdecode(unquote_to_bytes(os.fsencode(name)))
    return key if copy_name(key) == name else None


def other_copy_name(name: str, sha256: str) -> str:
    """Give the name for other content under the same key: what is archived is never overwritten."""
    return f"{name}~{sha256[:12]}"


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
    content = os.fsencode(escaped)
    if len(content) <= _MOST_BYTES:
        return escaped
    return os.fsdecode(content[:_KEPT_BYTES]) + "~" + hashlib.sha256(os.fsencode(segment)).hexdigest()


def _escaped(one: str) -> str:
    """Escape what steers a terminal or separates lines, and bytes that are not UTF-8, which no bucket has in a key."""
    number = ord(one)
    if number in _NOT_UTF_8:
        number -= 0xDC00
    elif number >= 0x20 and one not in "%\x7f":
        return one
    return f"%{number:02X}"

"""Decide how a key is called in an archive: by a name that stays in its folder, fits, and stands for one key only."""

import hashlib
import os

MANIFEST = ".manifest.json"
OURS = ".exodus-"
"""Begins the names of what is ours in an archive and no copy: the mark, the quarantine, what is being written."""
_MOST_BYTES = 255 - len(MANIFEST) - len("~0123456789ab")
_KEPT_BYTES = 150


def copy_name(key: str) -> str:
    """Give the name of a key's copy: the key itself, unless it would be mistaken or not fit."""
    return "/".join(map(_segment, key.split("/")))


def other_copy_name(name: str, sha256: str) -> str:
    """Give the name for other content under the same key: what is archived is never overwritten."""
    return f"{name}~{sha256[:12]}"


def manifest_name(name: str) -> str:
    """Give the name of a copy's manifest."""
    return name + MANIFEST


def _segment(segment: str) -> str:
    if segment in ("", ".", ".."):
        return segment.replace(".", "%2E") or "%"
    escaped = "".join(f"%{ord(one):02X}" if ord(one) < 0x20 or one in "%\x7f" else one for one in segment)
    if escaped.startswith(OURS):
        escaped = "%2E" + escaped[1:]
    if escaped.endswith(MANIFEST):
        escaped = escaped[: -len(MANIFEST)] + "%2E" + MANIFEST[1:]
    content = os.fsencode(escaped)
    if len(content) <= _MOST_BYTES:
        return escaped
    return os.fsdecode(content[:_KEPT_BYTES]) + "~" + hashlib.sha256(os.fsencode(segment)).hexdigest()

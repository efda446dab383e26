"""Names that are no object's in a folder: of what is being written, and of what is about to be deleted.

Only what has exactly the shape of a name that we make is ours: what an uploader calls nearly so is an object.
"""

import hashlib
import os
import re
import secrets

PART = ".exodus-part-"
"""Begins the name of what is being written."""
ASIDE = ".exodus-aside-"
"""Begins the name of what is set aside to be deleted: it says which object was to go, and what its name was."""
USUAL_NAME_BYTES = 255
"""How long a name may be on nearly every filesystem."""
DIGITS, TOKEN_DIGITS = 16, 8
PART_GLOB = PART + "[0-9a-f]" * DIGITS
ASIDE_FOLDER_GLOB = f"{ASIDE}{'[0-9a-f]' * DIGITS}-{'[0-9a-f]' * TOKEN_DIGITS}-"
ASIDE_GLOB = f"{ASIDE_FOLDER_GLOB}*"
"""Tell for find(1) what is ours: what is being written, a folder for what is set aside, and this or a file so set."""
_IS_PART = re.compile(f"{re.escape(PART)}[0-9a-f]{{{DIGITS}}}")
_IS_ASIDE = re.compile(f"{re.escape(ASIDE)}[0-9a-f]{{{DIGITS}}}-[0-9a-f]{{{TOKEN_DIGITS}}}-(.*)", re.DOTALL)


def part_name() -> str:
    """Make a name for what is being written."""
    return PART + secrets.token_hex(DIGITS // 2)


def aside_name(file: str, identity_: str, most_bytes: int = USUAL_NAME_BYTES) -> str:
    """Make a name for a file that is to be deleted; one that is too long for that keeps its own, in a folder."""
    ours = f"{ASIDE}{identity_}-{aside_token()}-"
    return f"{ours}{file}" if len(os.fsencode(ours + file)) <= most_bytes else f"{ours}/{file}"


def aside_token() -> str:
    """Make what tells one deletion from another of the same object."""
    return secrets.token_hex(TOKEN_DIGITS // 2)


def is_part(name: str) -> bool:
    """Tell whether a name is of what is being written."""
    return _IS_PART.fullmatch(name) is not None


def read_aside(name: str) -> str | None:
    """Give the name that what was set aside had before; None for a name that is not such a one.

    It is empty where the name is that of a folder that what was set aside lies in.
    """
    found = _IS_ASIDE.fullmatch(name)
    return found[1] if found else None


def is_aside_folder(name: str) -> bool:
    """Tell whether a name is of a folder that what was set aside lies in."""
    return read_aside(name) == ""


def is_ours(name: str) -> bool:
    """Tell whether a file of this name is none of the objects'."""
    return is_part(name) or read_aside(name) is not None


def identity(size_bytes: int, modified: str, inode: int | str) -> str:
    """Tell a file from others by what a change of its name leaves as it was; `modified` as find(1) writes %T@."""
    return hashlib.sha256(f"{size_bytes} {modified} {inode}".encode("ascii")).hexdigest()[:DIGITS]


def is_no_key(parts: tuple[str, ...]) -> bool:
    """Tell whether the parts of a path are none that stay in a folder, or a name of ours."""
    odd = any(part in ("", ".", "..") or "\0" in part or is_aside_folder(part) for part in parts)
    return odd or is_ours(parts[-1])

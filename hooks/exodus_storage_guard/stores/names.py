"""Names that are no object's in a folder: of what is being written, and of what is about to be deleted."""

import hashlib
import os
import secrets

PART = ".exodus-part-"
"""Begins the name of what is being written."""
ASIDE = ".exodus-aside-"
"""Begins the name of what is set aside to be deleted: it says which object was to go, and what its name was."""
USUAL_NAME_BYTES = 255
"""How long a name may be on nearly every filesystem."""
DIGITS, TOKEN_DIGITS = 16, 8


def part_name() -> str:
    """Make a name for what is being written."""
    return PART + secrets.token_hex(8)


def aside_name(file: str, identity_: str, most_bytes: int = USUAL_NAME_BYTES) -> str:
    """Make a name for a file that is to be deleted; one that is too long for that keeps its own, in a folder."""
    ours = f"{ASIDE}{identity_}-{aside_token()}-"
    return f"{ours}{file}" if len(os.fsencode(ours + file)) <= most_bytes else f"{ours}/{file}"


def aside_token() -> str:
    """Make what tells one deletion from another of the same object."""
    return secrets.token_hex(TOKEN_DIGITS // 2)


def read_aside(name: str) -> tuple[str, str] | None:
    """Give the identity of what was to go, and its own name; None for a name that is not such a one.

    Its own name is empty where the name is that of a folder that what was to go lies in.
    """
    identity_, _, rest = name.removeprefix(ASIDE).partition("-")
    _, dash, file = rest.partition("-")
    return (identity_, file) if name.startswith(ASIDE) and dash else None


def identity(size_bytes: int, modified: str, inode: int | str) -> str:
    """Tell a file from others by what a change of its name leaves as it was; `modified` as find(1) writes %T@."""
    return hashlib.sha256(f"{size_bytes} {modified} {inode}".encode("ascii")).hexdigest()[:DIGITS]


def is_no_key(parts: tuple[str, ...]) -> bool:
    """Tell whether the parts of a path are none that stay in a folder, or a name of ours."""
    odd = any(part in ("", ".", "..") or "\0" in part or part.startswith(ASIDE) for part in parts)
    return odd or parts[-1].startswith(PART)

"""The door to secrets: each is one line in a file of its own, which the settings name."""

from pathlib import Path

from exodus_common.errors import SettingsInvalid


def secret(file: Path) -> str:
    """Read a secret from its file; raise `SettingsInvalid` that names the file, never what is in it."""
    try:
        found = file.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsInvalid(f"{file}: cannot be read: {error.strerror}; allowed: a file this user may read") from None
    except UnicodeDecodeError:
        raise SettingsInvalid(f"{file}: is not text; allowed: one line, the secret") from None
    if not found or len(found.splitlines()) != 1 or not found.isprintable():
        raise SettingsInvalid(f"{file}: allowed: one line, the secret")
    return found

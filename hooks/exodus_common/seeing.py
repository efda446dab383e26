"""Look whether something is there; what we may not see, or what is no path at all, is not there.

`pathlib` raises where a folder is closed to us, or a name is too long; and a path that a file names may be any text.
"""

from pathlib import Path


def exists(path: str | Path) -> bool:
    """Tell whether a path leads to something."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def is_file(path: str | Path) -> bool:
    """Tell whether a path leads to a file."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: str | Path) -> bool:
    """Tell whether a path leads to a folder."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def is_link(path: str | Path) -> bool:
    """Tell whether a path is itself a symbolic link."""
    try:
        return Path(path).is_symlink()
    except (OSError, ValueError):
        return False


def matches(folder: Path, pattern: str) -> tuple[Path, ...]:
    """List what in a folder fits a pattern, in the order of the names."""
    try:
        return tuple(sorted(folder.glob(pattern), key=str))
    except (OSError, ValueError):
        return ()

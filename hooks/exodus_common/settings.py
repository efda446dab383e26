"""Read a settings file into frozen dataclasses; refuse whatever they do not name."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from exodus_common.errors import SettingsInvalid
from exodus_common.place import Place
from exodus_common.typed import read_dataclass

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True)
class Source:
    """Hold where settings come from: the file that is named or usual, and its table, None where there is no file."""

    file: Path
    table: dict[str, Any] | None

    def build(self, cls: type[T]) -> T:
        """Build `cls`, without a file of its own defaults; raise SettingsInvalid."""
        return _build_without_file(cls, self.file) if self.table is None else build(cls, self.table, file=self.file)


def found(*, default_path: Path, option: Path | None, variable: str, environ: Mapping[str, str]) -> Source:
    """Read the file that the option, else the environment's `variable`, else the default names.

    Only the default may be absent. Raises SettingsInvalid.
    """
    named = option if option is not None else Path(environ[variable]) if environ.get(variable) else None
    file = named or default_path
    try:
        return Source(file, _read(file))
    except FileNotFoundError:
        if named is not None or file.is_symlink():
            by = "by --config" if option is not None else f"by {variable}" if named else "as the default"
            raise SettingsInvalid(f"{file}: does not exist, yet is named {by}; write it or name another") from None
        return Source(file, None)


def load(cls: type[T], *, default_path: Path, option: Path | None, variable: str, environ: Mapping[str, str]) -> T:
    """Build `cls` from what is `found` there: without a file it has its own defaults. Raises SettingsInvalid."""
    return found(default_path=default_path, option=option, variable=variable, environ=environ).build(cls)


def build(cls: type[T], table: Mapping[str, Any], *, file: Path) -> T:
    """Build `cls` from a parsed table; raise SettingsInvalid that names `file`, key, what was found and is allowed."""
    built: T = read_dataclass(cls, dict(table), Place(file))
    return built


def _build_without_file(cls: type[T], file: Path) -> T:
    try:
        return build(cls, {}, file=file)
    except SettingsInvalid as error:
        raise SettingsInvalid(f"{error} (the file does not exist)") from None


def _read(file: Path) -> dict[str, Any]:
    """Return the file's table; raise FileNotFoundError, and SettingsInvalid for every other failure."""
    place = Place(file)
    try:
        return tomllib.loads(file.read_bytes().decode())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise place.invalid(f"cannot be read: {error.strerror}; allowed: a file this user may read") from error
    except UnicodeDecodeError as error:
        raise place.invalid(f"byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except RecursionError:
        raise place.invalid("is nested too deeply; allowed: TOML as documented") from None
    except ValueError as error:
        raise place.invalid(f"is not TOML: {error}") from None

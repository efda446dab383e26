"""The door to nginx's configuration files: read without nginx's help, and just as nginx reads them.

Which files an include means is asked of the C library's glob(3), as ngx_open_glob() in nginx's src/os/unix/ngx_files.c
does: Python's own glob orders otherwise, takes "[^" for a caret, and loses the second slash of "c//*.conf".
"""

import ctypes
import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exodus_certbot.nginx import config
from exodus_certbot.nginx.config import ConfigUnreadable, Directive

_MOST_BYTES = 64 * 1024 * 1024
_GLOB_NOMATCH = 3
# The same numbers in glibc and musl: categories LC_CTYPE and LC_COLLATE.
_CHARACTERS_AND_ORDER = 1 << 0 | 1 << 3


class _Glob(ctypes.Structure):
    """Hold what glob(3) found; only what all C libraries have in common is named."""

    _fields_ = (("count", ctypes.c_size_t), ("paths", ctypes.POINTER(ctypes.c_char_p)), ("rest", ctypes.c_char * 240))


_libc = ctypes.CDLL(None)
_libc.newlocale.restype = _libc.uselocale.restype = ctypes.c_void_p
_libc.newlocale.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_libc.uselocale.argtypes = _libc.freelocale.argtypes = (ctypes.c_void_p,)


def matches(pattern: str) -> list[str]:
    """List what a pattern means to nginx, in nginx's order; it never calls setlocale(), so a character is a byte."""
    found = _Glob()
    plain = _libc.newlocale(_CHARACTERS_AND_ORDER, b"C", None)
    before = _libc.uselocale(plain)
    try:
        outcome = _libc.glob(os.fsencode(pattern), 0, None, ctypes.byref(found))
        paths = [os.fsdecode(found.paths[at] or b"") for at in range(found.count)] if outcome == 0 else []
        _libc.globfree(ctypes.byref(found))
    finally:
        _libc.uselocale(before)
        _libc.freelocale(plain)
    if outcome not in (0, _GLOB_NOMATCH):
        raise OSError(f"glob(3) gave up: {outcome}")
    return paths


@dataclass(frozen=True, slots=True)
class OnDisk:
    """Hold the configuration that nginx would read now, without what is behind each of the problems.

    `paths` are the files that it is in.
    """

    tree: tuple[Directive, ...]
    problems: tuple[ConfigUnreadable, ...]
    paths: tuple[str, ...]


def read(main: str) -> OnDisk:
    """Read a main configuration file and all that it includes; raise `ConfigUnreadable` for the main file alone.

    An included file that is missing or broken is nginx's complaint, and must not hide the servers that are there.
    """
    try:
        parsed = {main: config.parse(_text(main), file=main)}
    except OSError as error:
        raise ConfigUnreadable(main, 1, f"it cannot be read: {error.strerror}") from error
    reading = _Reading(main[: main.rfind("/") + 1], parsed, {}, [])
    reading.follow(reading.parsed[main])
    return OnDisk(
        config.flatten_parsed(main, reading.parsed, reading.found), tuple(reading.problems), (*reading.parsed,)
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    prefix: str
    parsed: dict[str, tuple[Directive, ...]]
    found: dict[str, list[str]]
    problems: list[ConfigUnreadable]

    def follow(self, directives: Iterable[Directive]) -> None:
        """Read what is included, and what that includes; each file once."""
        wanted = list(directives)
        while wanted:
            directive = wanted.pop()
            if config.is_include(directive):
                for path in self._meant_by(directive):
                    if path not in self.parsed:
                        self.parsed[path] = self._parse(path, directive)
                        wanted += self.parsed[path]
            elif directive.name != "geo":
                wanted += directive.block or ()

    def _meant_by(self, include: Directive) -> list[str]:
        path = config.full_path(self.prefix, include.args[0])
        if path not in self.found:
            self.found[path] = matches(path) if config.is_pattern(path) else [path]
            if not self.found[path] and not _may_be_listed(path):
                self.problems.append(_problem(include, "the folder of an include cannot be listed; run as root"))
        return self.found[path]

    def _parse(self, path: str, include: Directive) -> tuple[Directive, ...]:
        try:
            return config.parse(_text(path), file=path)
        except ConfigUnreadable as problem:
            self.problems.append(problem)
        except OSError as error:
            self.problems.append(_problem(include, f"a file that is included cannot be read: {error.strerror}"))
        return ()


def main_directives(main: str) -> Iterator[Directive]:
    """Read the plain directives of the main context, and nothing of what the blocks include."""
    prefix, opened = main[: main.rfind("/") + 1], {main}

    def of(path: str) -> Iterator[Directive]:
        for directive in config.parse(_text_or_nothing(path), file=path):
            if config.is_include(directive):
                pattern = config.full_path(prefix, directive.args[0])
                for included in matches(pattern) if config.is_pattern(pattern) else [pattern]:
                    if included not in opened and len(opened) < config.MAX_DEPTH:
                        opened.add(included)
                        yield from of(included)
            elif directive.args and directive.block is None:
                yield directive

    return of(main)


def _problem(include: Directive, what: str) -> ConfigUnreadable:
    return ConfigUnreadable(include.file, include.line, what)


def _may_be_listed(pattern: str) -> bool:
    """Tell whether nothing found means that nothing is there; one that nginx's master may list may be closed to us."""
    folder = os.path.dirname(pattern)  # noqa: PTH120 - nginx's text
    return config.is_pattern(folder) or not os.path.isdir(folder) or os.access(folder, os.R_OK | os.X_OK)  # noqa: PTH112 - nginx's text


def _text(path: str) -> str:
    content = file_bytes(path)
    if len(content) > _MOST_BYTES:
        raise ConfigUnreadable(path, 1, f"larger than {_MOST_BYTES} bytes, which no configuration is")
    return content.decode("utf-8", "surrogateescape")


def _text_or_nothing(path: str) -> str:
    try:
        return _text(path)
    except OSError:
        return ""


def file_bytes(path: str) -> bytes:
    """Read a file of any size within reason; raise OSError."""
    if "\0" in path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    with open(path, "rb", opener=_without_waiting) as file:
        return file.read(_MOST_BYTES + 1)


def _without_waiting(path: str, flags: int) -> int:
    """Open what may be a pipe that nobody writes to."""
    return os.open(path, flags | os.O_NONBLOCK)

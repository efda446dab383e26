"""Read nginx configuration by nginx's own rules: words, blocks, includes, and the output of `nginx -T`.

The rules are those of ngx_conf_read_token() and ngx_conf_include() in nginx's src/core/ngx_conf_file.c, and of
`util/gen-lexer-c` in lua-nginx-module. Nothing here knows what a directive means, but for `include`, `geo` and Lua.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import takewhile

from exodus_common.errors import ExodusError

# nginx has no limit. Nobody nests so deep by hand, and below it every reader of the tree may recurse.
MAX_DEPTH = 100

# Every repetition is atomic: nothing here is ever tried twice. "." matches the newline too. Atomic groups rather than
# possessive ones: Python before 3.11.5, so Debian 12's, matches those wrongly (github.com/python/cpython/issues/106052)
_BLANK = r"(?>(?:[ \t\r\n]++ | \#[^\n]*+)*)"
_BARE = r"""(?![}\#"']) (?>(?:[^ \t\r\n;{\\$]++ | \\. | \$\{*+)+)"""
_QUOTED = r""" (?>"(?:[^"\\]++ | \\.)*") | (?>'(?:[^'\\]++ | \\.)*') """
_WORD = rf"(?:{_BARE} | (?:{_QUOTED})(?=[ \t\r\n;{{)]))"
_STATEMENT = re.compile(rf"{_BLANK} ((?>(?:{_WORD} {_BLANK})*)) ([;{{}}] | \Z)?", re.VERBOSE | re.DOTALL)
_WORD_OR_COMMENT = re.compile(rf"\#[^\n]*+ | {_WORD} | (?:{_QUOTED})\Z", re.VERBOSE | re.DOTALL)
_CLOSED_QUOTE = re.compile(_QUOTED, re.VERBOSE | re.DOTALL)
_ESCAPE = re.compile(r"""\\(["'\\trn])""")
_ESCAPED = {"t": "\t", "r": "\r", "n": "\n"}

# A Lua string is within one line, as lua-nginx-module has it; 4096 is the size of nginx's buffer.
_LUA = re.compile(
    r"""[{}] | (?:--)?\[(?P<level>=*+)\[ | --[^\n]*+
      | "(?:\\[^\n] | [^"\n\\]){0,4096}+" | '(?:\\[^\n] | [^'\n\\]){0,4096}+' """,
    re.VERBOSE,
)
_MAGIC = re.compile(rb"[*?[]")
_NOT_UNDERSTOOD = re.compile(rb"\\|\[[!^]?+\]?+[^\]]*\[[:.=]")
_BRACKET = re.compile(rb"\[(?:([!^]?+)(\]?+[^\]]*\]))?")


class ConfigUnreadable(ExodusError):
    """Say where the configuration cannot be read; quote none of it, for it may hold secrets."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        super().__init__(f"{file}:{line}: {problem}; run `nginx -t` and see what nginx says")


@dataclass(frozen=True, slots=True)
class Directive:
    """Hold one directive with its words as nginx understands them; `block` is None where ";" ended it."""

    name: str
    args: tuple[str, ...]
    block: tuple["Directive", ...] | None
    file: str
    line: int


def parse(text: str, *, file: str) -> tuple[Directive, ...]:
    """Return the directives of one file, with its includes as they stand."""
    siblings: list[Directive] = []
    enclosing: list[tuple[list[Directive], Directive]] = []
    for line, words, end in _statements(text, file):
        if end == "}" and enclosing:
            block = tuple(siblings)
            siblings, opened = enclosing.pop()
            siblings.append(replace(opened, block=block))
        elif end == "{" and len(enclosing) < MAX_DEPTH:
            enclosing.append((siblings, Directive(words[0], words[1:], (), file, line)))
            siblings = []
        elif end in ("{", "}") or (end == "" and enclosing):
            raise ConfigUnreadable(file, line, _why_unbalanced(end))
        elif end:
            siblings.append(Directive(words[0], words[1:], None if end == ";" else (), file, line))
    return tuple(siblings)


def _why_unbalanced(end: str) -> str:
    return {"{": "blocks nested too deeply", "}": 'unexpected "}"'}.get(end, 'unexpected end of file, "}" missing')


def _statements(text: str, file: str) -> Iterator[tuple[int, tuple[str, ...], str]]:
    """Yield the line, words and end of each statement: `;`, `{`, `}`, `{}` for a block of Lua, at last an empty end."""
    # nginx itself takes a byte order mark for part of the first word; to us it says nothing.
    at, counted, line, end = int(text.startswith("\ufeff")), 0, 1, ";"
    while end:
        found = _STATEMENT.match(text, at)
        assert found, "the pattern matches the empty string"
        start, at = found.start(1), found.end()
        words, end = _words(found[1]), found[2]
        if end is None or bool(words) != (end in (";", "{")):
            stop = found.start(2) if end else at
            raise ConfigUnreadable(file, line + text.count("\n", counted, stop), _why_stopped(text, stop))
        line, counted = line + text.count("\n", counted, start), start
        if end == "{" and words[0].endswith("_by_lua_block"):
            at, end = _end_of_lua(text, at, file, line), "{}"
        yield line, words, end


def _words(statement: str) -> tuple[str, ...]:
    found: list[str] = _WORD_OR_COMMENT.findall(statement)
    return tuple([_meant(word) for word in found if word[0] != "#"])


def _meant(word: str) -> str:
    bare = word[1:-1] if word[0] in "\"'" else word
    return _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), bare) if "\\" in bare else bare


def _why_stopped(text: str, stop: int) -> str:
    character = text[stop : stop + 1]
    if character in ('"', "'"):
        closed = _CLOSED_QUOTE.match(text, stop)
        return "no space after a closing quote" if closed else "a quote opens here and never closes"
    return f'unexpected "{character}"' if character in (";", "{", "}") else "unexpected end of file"


def _end_of_lua(text: str, at: int, file: str, line: int) -> int:
    depth = 1
    while depth and (found := _LUA.search(text, at)):
        at = found.end()
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if (level := found["level"]) is not None:
            closing = text.find(f"]{level}]", at)
            at = len(text) if closing < 0 else closing + len(level) + 2
    if depth:
        raise ConfigUnreadable(file, line, "the Lua code that starts here never ends")
    return at


def flatten(main: str, files: Mapping[str, str]) -> tuple[Directive, ...]:
    """Return the directives of the main file, each include replaced by what it includes.

    Only `geo` keeps its includes: nginx may read those from a binary base that `nginx -T` does not print.
    """
    includes = _Includes(main[: main.rfind("/") + 1], files, sorted(_encode(path) for path in files))
    if main not in files:
        raise ConfigUnreadable(main, 1, "the file is missing")
    return tuple(includes.expand(includes.read(main), (main,), 0))


def flatten_parsed(
    main: str, parsed: Mapping[str, tuple[Directive, ...]], found: Mapping[str, list[str]]
) -> tuple[Directive, ...]:
    """Do the same with files that were read already; `found` says which of them the full path of an include means."""
    includes = _Includes(main[: main.rfind("/") + 1], {}, [], dict(parsed), found)
    return tuple(includes.expand(parsed[main], (main,), 0))


def is_include(directive: Directive) -> bool:
    """Tell whether nginx reads another file in place of a directive."""
    return directive.name == "include" and directive.block is None and len(directive.args) == 1


def is_pattern(path: str) -> bool:
    """Tell whether nginx looks for files that fit, and not for this one."""
    return _MAGIC.search(_encode(path)) is not None


def full_path(prefix: str, path: str) -> str:
    """Complete a path as ngx_get_full_name() does: its text, not its meaning."""
    return path if path.startswith("/") else prefix + path


@dataclass(frozen=True, slots=True)
class _Includes:
    prefix: str
    files: Mapping[str, str]
    names: list[bytes]
    parsed: dict[str, tuple[Directive, ...]] = field(default_factory=dict)
    found: Mapping[str, list[str]] | None = None

    def read(self, path: str) -> tuple[Directive, ...]:
        if path not in self.parsed:
            self.parsed[path] = parse(self.files[path], file=path)
        return self.parsed[path]

    def expand(self, directives: tuple[Directive, ...], opened: tuple[str, ...], depth: int) -> Iterator[Directive]:
        for directive in directives:
            if depth > MAX_DEPTH:
                raise ConfigUnreadable(directive.file, directive.line, "blocks and includes nested too deeply")
            if is_include(directive):
                for path in self.included(directive):
                    if path in opened:
                        raise ConfigUnreadable(directive.file, directive.line, "an include loop")
                    yield from self.expand(self.read(path), (*opened, path), depth + 1)
            elif directive.block and directive.name != "geo":
                yield replace(directive, block=tuple(self.expand(directive.block, opened, depth + 1)))
            else:
                yield directive

    def included(self, include: Directive) -> list[str]:
        path = full_path(self.prefix, include.args[0])
        if self.found is not None:
            return self.found[path]
        if _MAGIC.search(pattern := _encode(path)) is None:
            if path not in self.files:
                raise ConfigUnreadable(include.file, include.line, "the included file is missing")
            return [path]
        if _NOT_UNDERSTOOD.search(pattern):
            raise ConfigUnreadable(include.file, include.line, "an include with a backslash or a character class")
        return [_decode(name) for name in _glob(pattern, self.names)]


def _glob(pattern: bytes, names: list[bytes]) -> list[bytes]:
    """Select from sorted names as glob(3) does in the C locale, where a character is a byte."""
    stem = _MAGIC.split(pattern, maxsplit=1)[0]
    near = takewhile(lambda name: name.startswith(stem), names[bisect_left(names, stem) :])
    parts = pattern.split(b"/")
    return [name for name in near if len(pieces := name.split(b"/")) == len(parts) and all(map(_fits, pieces, parts))]


def _fits(piece: bytes, part: bytes) -> bool:
    if _MAGIC.search(part) is None:
        return piece == part
    hidden = piece.startswith(b".") and not part.startswith(b".")
    return not hidden and fnmatchcase(piece, _BRACKET.sub(_for_fnmatch, part))


def _for_fnmatch(bracket: re.Match[bytes]) -> bytes:
    """Spell "[^" as "[!", and a bracket that is never closed as the character it is."""
    return b"[[]" if bracket[2] is None else b"[" + (bracket[1] and b"!") + bracket[2]


def _encode(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")

"""Read an nginx process's title: what it is, and with which options a master was started.

nginx writes `nginx: master process ` and its arguments, joined by blanks, over its own arguments (ngx_setproctitle.c);
what was one word with blanks in it can be told only by the options that nginx knows (ngx_get_options in nginx.c).
"""

import os
import re
from dataclasses import dataclass

_MASTER = re.compile(rb"[\w.+-]+: master process(?: ([^\0]*))?", re.DOTALL)
_OPTION = re.compile(r"(?:^|(?<= ))-(?:([pcge])\s*|[tTvVqh?]+(?= |$)|s\s*\S+)")
_WORKER = re.compile(rb"[\w.+-]+: worker process.*", re.DOTALL)
_SHUTTING_DOWN = b"is shutting down"


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Hold what the options say: paths as they were written, `directives` of -g; None where an option was not given."""

    program: str = ""
    prefix: str | None = None
    conf: str | None = None
    directives: str | None = None


def of_master(title: bytes) -> CommandLine | None:
    """Read a master's title; None where it is not one of nginx or of a relative of it (Angie)."""
    found = _MASTER.fullmatch(title)
    return None if found is None else _parsed(os.fsdecode(found[1] or b""))


def accepts(title: bytes) -> bool:
    """Tell whether a title is that of a worker that accepts connections."""
    return bool(_WORKER.fullmatch(title)) and _SHUTTING_DOWN not in title


def _parsed(words: str) -> CommandLine:
    options = list(_OPTION.finditer(words))
    begins = [option.start() for option in options] + [len(words)]
    values = {
        option[1]: words[option.end() : end].strip()
        for option, end in zip(options, begins[1:], strict=True)
        if option[1]
    }
    program = words[: begins[0]].strip()
    return CommandLine(program, values.get("p"), values.get("c"), values.get("g"))

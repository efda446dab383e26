"""Which files nginx read: `nginx -T` prints each of them behind a header; a comment in one may look like the next."""

import os
import re
from pathlib import Path

_HEADER = re.compile(rb"^# configuration file (.+):\n", re.MULTILINE)


def texts_of(dump: bytes) -> dict[str, str]:
    """Give the text of each file that was printed, in that order; the files are still there and say where they end."""
    texts, header = {}, _HEADER.search(dump)
    while header is not None:
        path = os.fsdecode(header[1])
        content = Path(path).read_bytes()
        assert dump.startswith(content + b"\n", header.end())
        texts[path] = content.decode("utf-8", "surrogateescape")
        header = _HEADER.match(dump, header.end() + len(content) + 1)
    assert texts, "nginx -T printed no file"
    return texts

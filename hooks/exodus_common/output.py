"""Write to standard output and error; a full disk, or a reader who has gone, is told once and never as a traceback."""

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


class OutputFailed(Exception):
    """Say that standard output does not take what was asked for; no ExodusError, for there is nowhere to report it."""

    def __init__(self, why: str, *, reader_has_gone: bool = False) -> None:
        """Take the system's words; a reader who has gone needs none of them."""
        super().__init__(f"cannot write to standard output: {why}")
        self.reader_has_gone = reader_has_gone


def say(text: str) -> None:
    """Print a line on standard output, in ASCII, which every terminal, pipe and certbot takes; raise OutputFailed."""
    with _told() as output:
        output.write(text.encode("ascii", "backslashreplace").decode("ascii") + "\n")
        output.flush()


def pass_on(chunks: Iterable[bytes]) -> None:
    """Write bytes to standard output, to the last one; raise OutputFailed, and whatever `chunks` raises."""
    for chunk in chunks:
        with _told() as output:
            output.buffer.write(chunk)
    flush()


def flush() -> None:
    """Have written what others printed on standard output; raise OutputFailed."""
    if sys.stdout is not None:
        with _told() as output:
            output.flush()


def complain(text: str) -> None:
    """Print a line on standard error, where that can be written."""
    if sys.stderr is not None:  # print() would take None for standard output
        with suppress(OSError):
            sys.stderr.write(text + "\n")
        flush_complaints()


def flush_complaints() -> None:
    """Have written what others printed on standard error, where that can be written."""
    if sys.stderr is not None:
        try:
            sys.stderr.flush()
        except OSError:
            _give_up(sys.stderr)


@contextmanager
def _told() -> Iterator[TextIO]:
    if sys.stdout is None:
        raise OutputFailed("it is closed")
    try:
        yield sys.stdout
    except OSError as error:
        _give_up(sys.stdout)
        gone = error.errno == errno.EPIPE
        raise OutputFailed(error.strerror or str(error), reader_has_gone=gone) from error


def _give_up(stream: TextIO) -> None:
    """Let what the stream still holds go nowhere: Python would try it again at exit, and complain."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)

"""Show how far a sweep is: a bar on a terminal, a plain line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from exodus_storage_guard.sizes import shown

_BAR, _COLUMNS = 30, 79
_TERMINAL_SECONDS, _PLAIN_SECONDS = 0.2, 60.0


def line(done: int, aim: int, seconds: float, *, with_bar: bool) -> str:
    """Give one line: bytes, share, rate, and how long it will still take."""
    rate = done / seconds if seconds > 0 else 0.0
    text = f"{shown(done)} copied" + (f" of {shown(aim)}" if aim else "") + f", {shown(round(rate))}/s"
    if aim and rate and done < aim:
        text += f", {(aim - done) / rate:.0f} s left"
    if not (with_bar and aim):
        return text
    full = min(_BAR, _BAR * done // aim)
    return f"[{'#' * full}{'.' * (_BAR - full)}] {text}"


@contextmanager
def shown_on(stream: TextIO | None, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Give a function to call with the bytes done and to be done; it is cheap to call often, and never fails."""
    begin = shown_at = time.monotonic()
    drawn, terminal = False, stream is not None and stream.isatty()

    def told(done: int, aim: int) -> None:
        nonlocal shown_at, drawn
        now = time.monotonic()
        if quiet or stream is None or now - shown_at < (_TERMINAL_SECONDS if terminal else _PLAIN_SECONDS):
            return
        shown_at, drawn = now, True
        text = line(done, aim, now - begin, with_bar=terminal)
        _write(stream, f"\r{text:<{_COLUMNS}.{_COLUMNS}}" if terminal else text + "\n")

    yield told
    if stream is not None and terminal and drawn:
        _write(stream, "\r" + " " * _COLUMNS + "\r")


def _write(stream: TextIO, text: str) -> None:
    """Write where that can be done: no copy fails since nobody watches it."""
    with suppress(OSError):
        stream.write(text)
        stream.flush()

"""End when a signal asks for it: at once, or in order where a block asks for a moment; by force where nothing helps.

Everything we begin can be broken off (the next run finds what was announced and looks), so a signal may come anywhere.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from exodus_common.errors import ExodusError

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_PATIENCE_SECONDS, _AGAIN_SECONDS = 3.0, 1.0
_LAST_SECONDS = 10.0
_AGAIN = "run it again, it goes on from here"


class Stopped(ExodusError):
    """Say that a signal ended a run before its work was done."""


@dataclass
class _Asked:
    by: signal.Signals | None = None
    in_order: bool = False
    put_off: bool = False
    over: bool = False


_asked = _Asked()


def asked() -> str:
    """Say which signal asked this run to end, and what to do next; nothing where none has."""
    return f"stopped by {_asked.by.name}; {_AGAIN}" if _asked.by else ""


def interrupted() -> bool:
    """Tell whether that signal was the one of Ctrl-C."""
    return _asked.by is signal.SIGINT


def go_on() -> None:
    """Raise Stopped where this run was asked to end; for whoever is between two steps, in whichever thread."""
    if _asked.by:
        raise Stopped(asked())


@contextmanager
def in_order() -> Iterator[None]:
    """Give a block some seconds to end itself, by `go_on`, before Stopped is raised in it, or by a second signal."""
    _asked.in_order = True
    try:
        yield
    finally:
        _asked.in_order = False


@contextmanager
def put_off() -> Iterator[None]:
    """Have a block done whole that takes a moment: Stopped is raised at its end, not in it."""
    if threading.current_thread() is not threading.main_thread():  # Stopped is never raised there
        yield
        return
    _asked.put_off = True
    try:
        yield
    finally:
        _asked.put_off = False
    if not (_asked.in_order or _asked.over):
        go_on()


@contextmanager
def heard() -> Iterator[None]:
    """Hear signals for the time of a block, in the main thread: Stopped is raised there, and again where it got lost.

    A signal that whoever started us ignores (nohup) stays ignored. A process that was asked to end and does not, since
    it hangs in the system or a library, is ended ten seconds later.
    """
    _asked.by, _asked.over = None, False
    before = {number: signal.getsignal(number) for number in (*_SIGNALS, signal.SIGALRM)}
    for number in (number for number in _SIGNALS if before[number] != signal.SIG_IGN):
        signal.signal(number, _ask)
    signal.signal(signal.SIGALRM, _insist)
    ears, mouth = os.pipe()
    os.set_blocking(mouth, False)
    signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    threading.Thread(target=_end_at_last, args=(ears,), daemon=True).start()
    try:
        yield
    finally:
        _asked.over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        if _asked.by is None:  # who was asked is ended by force even while Python waits for the last threads
            signal.set_wakeup_fd(-1)
            os.close(mouth)
            for number, handler in before.items():
                signal.signal(number, handler)


def _ask(number: int, frame: FrameType | None) -> None:
    is_first = _asked.by is None
    _asked.by = _asked.by or signal.Signals(number)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_SECONDS, _AGAIN_SECONDS)
    if not (is_first and _asked.in_order):
        _insist(number, frame)


def _insist(number: int, frame: FrameType | None) -> None:
    if not (_asked.over or _asked.put_off):
        go_on()


def _end_at_last(ears: int) -> None:
    """End the process some time after it was asked to; the interpreter's own handlers may be waiting for a library."""
    while (heard := os.read(ears, 1)) and heard[0] not in _SIGNALS:
        pass
    if heard:
        time.sleep(_LAST_SECONDS)
        text = f"stopped by {signal.Signals(heard[0]).name} in the midst of what does not end by itself; {_AGAIN}\n"
        with suppress(OSError):
            os.write(2, text.encode())
        os._exit(Stopped.exit_code)
    os.close(ears)

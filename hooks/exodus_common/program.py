"""Run a command from its first argument to its exit, as whoever started it expects."""

import atexit
import logging
import os
import signal
from collections.abc import Callable

from exodus_common import output, stopping


def ended(name: str, work: Callable[[], int]) -> int:
    """Run a command's work; give its exit code, or have this process die at exit of what a shell has to see it die of.

    That is SIGINT where it was asked so, or a shell would go on with its loop; and SIGPIPE where nobody reads on.
    """
    # Ignored by whoever started us, it would make every program we run look as if it had exited with 0.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    logging.raiseExceptions = False  # a log that cannot be written is told nowhere
    fate = list[signal.Signals]()
    atexit.register(_meet, fate)  # before all others, so that it comes after them
    try:
        exit_code = _done(work)
    except stopping.Stopped as stopped:  # where its report was being written
        output.complain(f"{name}: {stopped}")
        exit_code = stopped.exit_code
    except output.OutputFailed as failed:
        exit_code = 1
        if failed.reader_has_gone:
            fate.append(signal.SIGPIPE)
        else:
            output.complain(f"{name}: {failed}")
    output.flush_complaints()
    if exit_code and stopping.interrupted():
        fate.append(signal.SIGINT)
    return exit_code


def _done(work: Callable[[], int]) -> int:
    try:
        return work()
    finally:
        output.flush()  # argparse prints as well, and ends with SystemExit


def _meet(fate: list[signal.Signals]) -> None:
    for number in fate[:1]:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

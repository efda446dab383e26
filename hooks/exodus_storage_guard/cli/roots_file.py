"""Write where root may and the guard may not: root keeps the file, and a child that became the guard fills it."""

import os
from collections.abc import Callable
from pathlib import Path

from exodus_common import output, stopping
from exodus_common.durable import cannot_write, writing_to
from exodus_common.errors import ExodusError
from exodus_storage_guard.errors import StoreFailed

_MODE = 0o600


class _Failed(ExodusError):
    """Say that the child failed, which has told why."""


def written(target: Path, work: Callable[[str], int]) -> int:
    """Have a child do some work, which writes to the name it is given; give its exit code.

    The file is whole once the child has ended well, and else as it was; `StoreFailed` where it cannot be written.
    """
    exit_code = 0
    try:
        with writing_to(target, mode=_MODE) as file:
            child = os.fork()
            if child == 0:
                os._exit(_ended(work, f"/dev/fd/{file.fileno()}"))
            exit_code = _exit_code_of(child)
            if exit_code:
                raise _Failed
    except _Failed:
        return exit_code
    except OSError as error:
        raise StoreFailed(cannot_write(target, error)) from error
    return exit_code


def _ended(work: Callable[[str], int], name: str) -> int:
    """Do a child's work to its very end: it must not go on with what its parent does."""
    try:
        exit_code = work(name)
        output.flush()
        output.flush_complaints()
    except BaseException:
        return 1
    return exit_code


def _exit_code_of(child: int) -> int:
    with stopping.heard():
        _, status = os.waitpid(child, 0)
    return abs(os.waitstatus_to_exitcode(status))

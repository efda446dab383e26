"""The process that has a command imported: each start is a fork of it, with the arguments and files that are asked for.

Run by path, with the descriptor of its socket, the package that is the command, and what else to import.
"""

import array
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

_FILES = 4  # standard input, output, error; where the end is told


def serve(door: socket.socket) -> dict[str, Any]:
    """Fork for each request until nobody asks any more; give the request in the process that is to answer it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the watchers
    while True:
        message, ancillary, *_ = door.recvmsg(1 << 20, socket.CMSG_SPACE(_FILES * 4))
        if not message:
            os._exit(0)
        files = array.array("i", ancillary[0][2]).tolist()
        if os.fork() == 0:
            door.close()
            watch(files)
            return {**json.loads(message), "files": files}
        for file in files:
            os.close(file)


def watch(files: list[int]) -> None:
    """Tell the process that answers, and how it ended; return in that process alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    told = files.pop()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        return
    for file in files:
        os.close(file)
    os.write(told, f"{pid}\n".encode())
    os.write(told, f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())
    os._exit(0)


def become(wanted: dict[str, Any]) -> None:
    """Be as the interpreter is that was just started so."""
    for number, file in enumerate(wanted["files"]):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    os.umask(wanted["umask"])
    sys.argv = ["", *wanted["arguments"]]
    sys.stdin = sys.__stdin__ = _standard(0, sys.stdin)  # type: ignore[misc]  # as the interpreter does
    sys.stdout = sys.__stdout__ = _standard(1, sys.stdout)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _standard(2, sys.stderr)  # type: ignore[misc]


def _standard(number: int, before: Any) -> io.TextIOWrapper:
    mode = "rb" if number == 0 else "wb"
    lines = number == 2 or os.isatty(number)
    binary = open(number, mode, closefd=False)  # noqa: SIM115 - it is open to the end
    return io.TextIOWrapper(binary, before.encoding, before.errors, line_buffering=lines)


if __name__ == "__main__":
    _, descriptor, package, *others = sys.argv
    for name in others:
        with suppress(ModuleNotFoundError):  # what lacks a package says so itself, once it runs
            importlib.import_module(name)
    gc.freeze()  # what is shared with all forks is not to be copied by looking for garbage in it
    become(serve(socket.socket(fileno=int(descriptor))))
    runpy.run_module(package, run_name="__main__", alter_sys=True)

"""Find out who else accepts connections where our master does.

With `reuseport` the kernel deals connections out to all who listen on one port, whoever they are (socket(7)).
"""

import os
from collections.abc import Iterator, Sequence

from exodus_certbot.nginx import listening, proc
from exodus_certbot.nginx.listen import WILDCARDS
from exodus_common.render import printable


def named(master: int, places: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """Say who else accepts connections to an address and port; nothing where we may not see what others hold."""
    found: dict[int, str] = {}
    for pid, address, port in _beside(master, places):
        found.setdefault(pid, f"{address}:{port}")
    return tuple(
        f"process {pid} ({_shown(pid)}) accepts connections at {place} too, and shows its own certificate: end it, or "
        "have it load this one as well"
        for pid, place in found.items()
    )


def _shown(pid: int) -> str:
    """Show what a process calls itself, without its options: they may be secret."""
    return printable(os.fsdecode(proc.title(pid).partition(b"\0-")[0].partition(b" -")[0].replace(b"\0", b" ")))


def _beside(master: int, places: Sequence[tuple[str, int]]) -> Iterator[tuple[int, str, int]]:
    of = {
        inode: (address, port)
        for at, on, inode in listening.sockets()
        for address, port in places
        if on == port and at in (address, *WILDCARDS)
    }
    held = {pid: set(proc.sockets(pid)) & of.keys() for pid in proc.pids()} if of else {}
    others = {pid: inodes for pid, inodes in held.items() if inodes and master not in _line(pid)}
    for pid, inodes in sorted(others.items()):
        if proc.parent(pid) not in others:  # workers are not named beside their own master
            yield (pid, *of[min(inodes)])


def _line(pid: int) -> Iterator[int]:
    """Give a process and its ancestors."""
    while pid:
        yield pid
        pid = proc.parent(pid)

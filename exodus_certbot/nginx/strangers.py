"""Find out who else accepts connections where our master does.

With `reuseport` the kernel deals connections out to all who listen on one port, whoever they are (socket(7)).
"""

import os
from collections.abc import Collection, Iterator, Sequence

from exodus_certbot.model import Crowd
from exodus_certbot.nginx import listening, master, proc
from exodus_certbot.nginx.proc import Process
from exodus_common.render import printable

Place = tuple[str, int]
"""An address that is asked, and its port."""


def crowds(ours: Process, places: Collection[Place]) -> dict[Place, Crowd]:
    """Say where somebody else's sockets are dealt connections too; nothing of a place where nobody's are.

    Where we may not see what our master holds: with `reuseport` it has one socket for each of its workers.
    """
    found = listening.by_place()
    shared = {place: inodes for place in places if len(inodes := listening.takers(found, *place)) > 1}
    if not shared:
        return {}
    held, workers = frozenset(proc.sockets(ours.pid)), len(master.workers(ours).accepting)
    crowds = {
        place: Crowd(len(inodes), len(inodes - held) if held else max(0, len(inodes) - workers))
        for place, inodes in shared.items()
    }
    return {place: crowd for place, crowd in crowds.items() if crowd.others}


def named(ours: int, places: Sequence[Place]) -> tuple[str, ...]:
    """Say who else accepts connections to an address and port; nothing where we may not see what others hold."""
    found: dict[int, str] = {}
    for pid, address, port in _beside(ours, places):
        found.setdefault(pid, f"{address}:{port}")
    return tuple(
        f"process {pid} ({_shown(pid)}) accepts connections at {place} too, and shows its own certificate: end it, or "
        "have it load this one as well"
        for pid, place in found.items()
    )


def _shown(pid: int) -> str:
    """Show what a process calls itself, without its options: they may be secret."""
    return printable(os.fsdecode(proc.title(pid).partition(b"\0-")[0].partition(b" -")[0].replace(b"\0", b" ")))


def _beside(ours: int, places: Sequence[Place]) -> Iterator[tuple[int, str, int]]:
    found = listening.by_place()
    of = {inode: place for place in places for inode in listening.takers(found, *place)}
    held = {pid: set(proc.sockets(pid)) & of.keys() for pid in proc.pids()} if of else {}
    others = {pid: inodes for pid, inodes in held.items() if inodes and ours not in _line(pid)}
    for pid, inodes in sorted(others.items()):
        if proc.parent(pid) not in others:  # workers are not named beside their own master
            yield (pid, *of[min(inodes)])


def _line(pid: int) -> Iterator[int]:
    """Give a process and its ancestors."""
    while pid:
        yield pid
        pid = proc.parent(pid)

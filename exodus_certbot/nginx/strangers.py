"""The door to the machine's listening sockets: who else accepts connections where our master does.

With `reuseport` the kernel deals connections out to all who listen on one port, whoever they are (socket(7)).
"""

import ipaddress
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from exodus_certbot.nginx import proc
from exodus_certbot.nginx.listen import WILDCARDS
from exodus_common.render import printable

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS = b"0A"


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
        for at, on, inode in _listening()
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


def _listening() -> Iterator[tuple[str, int, int]]:
    """Give the address, port and inode of each socket that listens (proc_net_tcp in the kernel's documentation)."""
    for table in _TABLES:
        for line in proc.bytes_of(table).splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS:
                address, _, port = fields[1].partition(b":")
                yield _address(bytes.fromhex(address.decode())), int(port, 16), int(fields[9])


def _address(raw: bytes) -> str:
    """Read an address as the kernel writes it: words of four bytes, each in the machine's order."""
    words = (raw[at : at + 4] for at in range(0, len(raw), 4))
    return str(ipaddress.ip_address(b"".join(int.from_bytes(word, "big").to_bytes(4, sys.byteorder) for word in words)))

"""The door to the machine's listening sockets (proc_net_tcp in the kernel's documentation)."""

import ipaddress
import sys
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path

# Not /proc/net: where a unit sees processes alone (ProcSubset=pid) that is not there.
_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_LISTENS = b"0A"


def sockets() -> Iterator[tuple[str, int, int]]:
    """Give the address, port and inode of each TCP socket that listens."""
    for table in _TABLES:
        for fields in _listening_lines(table):
            address, _, port = fields[1].partition(b":")
            yield _address(bytes.fromhex(address.decode())), int(port, 16), int(fields[9])


def _listening_lines(table: Path) -> Iterator[list[bytes]]:
    """Split the lines of those that listen, which come before a busy server's thousands of others (tcp_get_idx())."""
    try:
        with table.open("rb") as lines:
            next(lines, b"")
            yield from takewhile(lambda fields: len(fields) > 9 and fields[3] == _LISTENS, map(bytes.split, lines))
    except OSError:
        return


def by_place() -> dict[tuple[str, int], set[int]]:
    """Map each address and port to the inodes of the sockets that listen there."""
    found: dict[tuple[str, int], set[int]] = {}
    for address, port, inode in sockets():
        found.setdefault((address, port), set()).add(inode)
    return found


def takers(found: Mapping[tuple[str, int], set[int]], address: str, port: int) -> frozenset[int]:
    """Give the inodes of those to whom the kernel deals the connections to an address.

    Those bound to the very address come first, then those of its family (compute_score in net/ipv4/inet_hashtables.c).
    """
    wildcards = ("::",) if ":" in address else ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound
    places = [(bound, port) for bound in (address, *wildcards)]
    return frozenset(next((found[place] for place in places if place in found), ()))


def held_places() -> frozenset[tuple[str, int]]:
    """Give the addresses and TCP ports on which somebody listens now."""
    return frozenset((address, port) for address, port, _ in sockets())


def _address(raw: bytes) -> str:
    """Read an address as the kernel writes it: words of four bytes, each in the machine's order."""
    words = (raw[at : at + 4] for at in range(0, len(raw), 4))
    found = ipaddress.ip_address(b"".join(int.from_bytes(word, "big").to_bytes(4, sys.byteorder) for word in words))
    return str(found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else str(found)

"""The door to the machine's listening sockets (proc_net_tcp in the kernel's documentation)."""

import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path

from exodus_certbot.nginx import proc

# Not /proc/net: where a unit sees processes alone (ProcSubset=pid) that is not there.
_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_LISTENS = b"0A"


def sockets() -> Iterator[tuple[str, int, int]]:
    """Give the address, port and inode of each TCP socket that listens."""
    for table in _TABLES:
        for line in proc.bytes_of(table).splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTENS:
                address, _, port = fields[1].partition(b":")
                yield _address(bytes.fromhex(address.decode())), int(port, 16), int(fields[9])


def held_ports() -> frozenset[int]:
    """Give the TCP ports on which somebody listens now."""
    return frozenset(port for _, port, _ in sockets())


def _address(raw: bytes) -> str:
    """Read an address as the kernel writes it: words of four bytes, each in the machine's order."""
    words = (raw[at : at + 4] for at in range(0, len(raw), 4))
    return str(ipaddress.ip_address(b"".join(int.from_bytes(word, "big").to_bytes(4, sys.byteorder) for word in words)))

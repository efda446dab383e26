"""The door to the machine's own addresses: whether one is here now, and from where it would be asked.

The kernel is asked by connecting sockets of UDP, which sends nothing: that needs neither a right nor AF_NETLINK nor
/proc/sys, all of which our unit's sandbox denies, and answers for routes of type `local` (AnyIP) as well.
"""

import socket
from ipaddress import ip_address, ip_network
from pathlib import Path

_ANY_PORT = 9
_RTF_LOCAL = 0x80000000
_ROUTES = Path("/proc/self/net/ipv6_route")
_INTERFACES = Path("/proc/self/net/if_inet6")
_NOT_USABLE = 0x08 | 0x40  # IFA_F_DADFAILED, IFA_F_TENTATIVE: rtnetlink(7)


def is_here(address: str) -> bool:
    """Tell whether an address is this machine's now; where that cannot be known it is taken to be."""
    # A bind alone would not do: with net.ipv4.ip_nonlocal_bind, as standbys have it, every address can be bound.
    if ":" not in address:
        return _reaches_from_loopback(address)
    return source_for(address) == address or ip_address(address).is_link_local or _is_local_route(address)


def source_for(address: str) -> str:
    """Give the address from which this machine would speak to another one, or to itself."""
    with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, _ANY_PORT))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def global_ipv6() -> tuple[str, ...]:
    """List the IPv6 addresses of global scope (proc(5): /proc/PID/net/if_inet6)."""
    try:
        lines = _INTERFACES.read_text("ascii").splitlines()
    except OSError:
        return ()
    fields = (line.split() for line in lines if len(line.split()) == 6)
    return tuple(
        str(ip_address(bytes.fromhex(field[0])))
        for field in fields
        if field[3] == "00" and not int(field[4], 16) & _NOT_USABLE
    )


def _reaches_from_loopback(address: str) -> bool:
    """Connect from 127.0.0.1, which Linux lets leave by no other device (__mkroute_output in net/ipv4/route.c)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", 0))
        except OSError:
            return True
        try:
            probe.connect((address, _ANY_PORT))
        except OSError:
            return False
    return True


def _is_local_route(address: str) -> bool:
    """Look for a route of type `local` in /proc/self/net/ipv6_route: destination, bits, ..., flags, device."""
    try:
        routes = [line.split() for line in _ROUTES.read_text().splitlines()]
    except OSError:
        return True
    local = (route for route in routes if int(route[8], 16) & _RTF_LOCAL)
    return any(
        ip_address(address) in ip_network((int(route[0], 16), int(route[1], 16)), strict=False) for route in local
    )


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET

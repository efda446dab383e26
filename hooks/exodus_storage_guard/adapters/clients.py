"""Name the clients that are not known, of whom each may have a share of the room only."""

import ipaddress

_NOT_KNOWN = "anybody"
_OF_ONE_SUBSCRIBER = 64  # bits of an IPv6 address that are given to one (RFC 6177)


def at(address: str | None) -> str:
    """Name who asks from an address; whoever has none, or an odd one, is one and the same."""
    try:
        found = ipaddress.ip_address((address or "").strip())
    except ValueError:
        return _NOT_KNOWN
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((found, _OF_ONE_SUBSCRIBER), strict=False))

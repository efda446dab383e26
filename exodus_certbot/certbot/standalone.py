"""The door to the port on which certbot's `standalone` would listen: whether it could, now."""

import errno
import ipaddress
import socket
from collections.abc import Collection

from exodus_certbot.certbot.renewable import HELD

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, never listened on


def why_not(address: str, port: int, held: Collection[tuple[str, int]]) -> str:
    """Say why it could not listen there; empty where it could, or where only a resolver knows.

    It is tried as acme's standalone.py does: one of IPv6 and IPv4 is enough. A socket that is bound and does not
    listen keeps nobody who starts a server now from the port. `held` are the addresses and ports where somebody
    listens, for a port that we have no right to try.
    """
    families = _families(address)
    whys = [_refusal(family, address, port, held) for family in families]
    return "" if "" in whys or not whys else HELD if HELD in whys else whys[-1]


def _families(address: str) -> tuple[socket.AddressFamily, ...]:
    if not address:
        return (socket.AF_INET6, socket.AF_INET)
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return ()
    return (socket.AF_INET6,) if version == 6 else (socket.AF_INET,)


def _refusal(family: socket.AddressFamily, address: str, port: int, held: Collection[tuple[str, int]]) -> str:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OverflowError:
        return f"there is no port {port}"
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            return HELD if _is_held(address, port, held) else ""
        return HELD if error.errno == errno.EADDRINUSE else f"it cannot: {error.strerror}"
    return ""


def _is_held(address: str, port: int, held: Collection[tuple[str, int]]) -> bool:
    return any(on == port and (not address or at in (address, *_WILDCARDS)) for at, on in held)

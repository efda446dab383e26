"""Read the `listen` directive: its endpoints and the flags that decide how a handshake is made.

Its forms: <https://nginx.org/en/docs/http/ngx_http_core_module.html#listen>.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound
_PORT = re.compile(r"[0-9]{1,9}")
_IPV6ONLY = {"ipv6only=on", "ipv6only=off"}

Resolve = Callable[[str], tuple[str, ...]]
"""Give the addresses of a host name, as nginx would when it starts."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Hold one endpoint of one `listen` directive; `port` is None for a Unix socket."""

    address: str
    port: int | None
    tls: bool = False
    quic: bool = False
    udp: bool = False
    proxy_protocol: bool = False
    default_server: bool = False
    ipv6only: bool | None = None

    @property
    def endpoint(self) -> tuple[str, int | None, bool]:
        """Identify the socket: nginx merges all that say `listen` with the same one."""
        return (self.address, self.port, self.quic or self.udp)


def parse_listen(arguments: tuple[str, ...], default_port: int, resolve: Resolve) -> tuple[Listen, ...]:
    """Expand one directive's arguments to an entry for each address and port: host names and ranges give several."""
    flags = set(arguments[1:])
    first = Listen(
        address="",
        port=None,
        tls="ssl" in flags,
        quic="quic" in flags,
        udp="udp" in flags,
        proxy_protocol="proxy_protocol" in flags,
        default_server=bool(flags & {"default_server", "default"}),
        ipv6only={"ipv6only=on": True, "ipv6only=off": False}.get(next(iter(flags & _IPV6ONLY), "")),
    )
    where = arguments[0] if arguments else str(default_port)
    return tuple(
        replace(first, address=address, port=port) for address, port in _endpoints(where, default_port, resolve)
    )


def _endpoints(where: str, default_port: int, resolve: Resolve) -> Iterator[tuple[str, int | None]]:
    if where.lower().startswith("unix:"):
        yield "unix:" + where[len("unix:") :], None
        return
    host, ports = _split(where)
    for address in _addresses(host, resolve):
        for port in _ports(ports, default_port):
            yield address, port


def _split(where: str) -> tuple[str, str]:
    """Split `host:port`; a lone number is a port, a lone word a host."""
    if re.fullmatch(r"\d+(-\d+)?", where):
        return "*", where
    bracketed = re.fullmatch(r"\[([^]]*)\](?::(.*))?", where)
    if bracketed:
        return bracketed[1], bracketed[2] or ""
    host, _, ports = where.partition(":")
    return host, ports


def _addresses(host: str, resolve: Resolve) -> tuple[str, ...]:
    if host in ("*", ""):
        return (WILDCARDS[0],)
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        return resolve(host)


def _ports(ports: str, default_port: int) -> range:
    first, _, last = ports.partition("-")
    low = int(first) if _PORT.fullmatch(first) else default_port
    high = int(last) if _PORT.fullmatch(last) else low
    return range(low, min(high, 65535) + 1)


def ask_address(
    address: str,
    port: int | None,
    taken: frozenset[tuple[str, int | None]],
    *,
    others: tuple[str, ...] = (),
    also_ipv4: bool = False,
) -> str | None:
    """Choose where to connect so that just this listener answers.

    A wildcard answers wherever no listener with a specific address (`taken`) has the same port. On Linux all of
    127.0.0.0/8 is local, so there is always an IPv4 address left; for IPv6 there is `::1`, what `others` the machine
    has, and `also_ipv4` where the socket takes IPv4 as well (`ipv6only=off`).
    """
    if address not in WILDCARDS:
        return address
    ipv4 = (f"127.0.{high}.{low}" for high in range(256) for low in range(1, 255))
    candidates = ipv4 if address == WILDCARDS[0] else chain(("::1", *others), ipv4 if also_ipv4 else ())
    return next((candidate for candidate in candidates if (candidate, port) not in taken), None)

"""Say where a CA's requests arrive: at nginx, where the name leads to this machine, and elsewhere by our resolver."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

from exodus_certbot.acme import resolver
from exodus_certbot.acme.redirects import is_address
from exodus_certbot.nginx.http_listener import CA_PORT, HttpListener

Route = Callable[[str, int], tuple[str, int] | None]
"""Give the address and port at which a host's port is asked; None where the host is nowhere."""


def written(name: str) -> str:
    """Write a name as certificates have it: an address in its shortest form, without brackets."""
    bare = name.lower().removeprefix("[").removesuffix("]")
    return str(ip_address(bare)) if is_address(bare) else name.lower()


def of_the_address(name: str, listener: HttpListener, connect: str | None) -> HttpListener:
    """Have an address asked at that very one where it is this machine's, as the CA does (RFC 8738)."""
    is_here = connect is None and is_address(name) and resolver.is_ours(name)
    return replace(listener, ask_address=name) if is_here else listener


def route_of(name: str, listener: HttpListener, secure_port: int, connect: str | None) -> Route:
    """Lead requests for a name, and for what is where it is, to nginx's own listeners; all of them with `connect`."""

    def route(host: str, port: int) -> tuple[str, int] | None:
        if host == name or connect is not None or _leads_here(host, name):
            return listener.ask_address, listener.port if port == CA_PORT else secure_port
        addresses = resolver.addresses_of(host)
        return (addresses[0], port) if addresses else None

    return route


def _leads_here(host: str, name: str) -> bool:
    """Tell whether a redirect's host is this machine, or is where the name itself is: behind the same NAT."""
    addresses = resolver.addresses_of(host) or ()
    return any(map(resolver.is_ours, addresses)) or not {*addresses}.isdisjoint(resolver.addresses_of(name) or ())

"""Decide where a CA's plain HTTP request for a name arrives."""

from collections.abc import Iterable
from dataclasses import dataclass

from exodus_certbot.nginx.config import Directive
from exodus_certbot.nginx.listen import WILDCARDS, Listen, ask_address
from exodus_certbot.nginx.servers import Machine, Server, servers_of
from exodus_certbot.server_names import is_covered

CA_PORT = 80  # the only one that a CA asks: RFC 8555, section 8.3


@dataclass(frozen=True, slots=True)
class HttpListener:
    """Name an address at which nginx answers in plain HTTP."""

    ask_address: str
    port: int

    @property
    def shown(self) -> str:
        """Give it as a person writes it."""
        host = f"[{self.ask_address}]" if ":" in self.ask_address else self.ask_address
        return f"{host}:{self.port}"


def listener_for(name: str, tree: Iterable[Directive], machine: Machine) -> HttpListener | None:
    """Choose the listener for a name: port 80 before any other, of its own server before another's."""
    blocks = [directive for directive in tree if directive.name == "http" and directive.block is not None]
    servers = [server for block in blocks for server in servers_of(block, machine)]
    plain = [(server, listen) for server in servers for listen in server.listens if _is_plain(server, listen)]
    if not plain:
        return None
    _, listen = min(plain, key=lambda each: (each[1].port != CA_PORT, not _has(each[0], name)))
    taken = frozenset((each.address, each.port) for _, each in plain if each.address not in WILDCARDS)
    address = machine.connect or ask_address(listen.address, listen.port, taken)
    return HttpListener(address or "::1", listen.port or CA_PORT)


def secure_port(tree: Iterable[Directive], machine: Machine) -> int:
    """Give the port at which nginx itself takes what arrives for 443: where that is another, something forwards it."""
    blocks = [directive for directive in tree if directive.name == "http" and directive.block is not None]
    servers = [server for block in blocks for server in servers_of(block, machine)]
    found = [each.port for server in servers for each in server.listens if each.tls or server.tls_everywhere]
    return next((port for port in sorted(found, key=lambda port: port != 443) if port), 443)


def _is_plain(server: Server, listen: Listen) -> bool:
    encrypted = listen.tls or server.tls_everywhere
    return not (encrypted or listen.quic or listen.udp or listen.proxy_protocol or listen.port is None)


def _has(server: Server, name: str) -> bool:
    return any(
        written == name or (written.startswith("*.") and is_covered(name, (written,))) for written in server.names
    )

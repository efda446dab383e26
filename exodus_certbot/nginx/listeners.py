"""Turn nginx's configuration into services: what is served where, under which name, from which files.

The rules are nginx's: <https://nginx.org/en/docs/http/server_names.html> for names,
<https://nginx.org/en/docs/http/request_processing.html> for the default server of a listener.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from exodus_certbot.model import Listener, Service
from exodus_certbot.nginx import asking, uses
from exodus_certbot.nginx.asking import Socket
from exodus_certbot.nginx.config import Directive
from exodus_certbot.nginx.listen import WILDCARDS, Listen, ask_address
from exodus_certbot.nginx.servers import DEFAULT_PORT, Machine, Server, servers_of

_Where = Callable[[Listen], str | None]


def discover(tree: Iterable[Directive], machine: Machine) -> tuple[Service, ...]:
    """List every service that nginx is configured to offer over TLS, those that cannot be asked for included.

    Each `ssl_certificate` is in at least one of them, also where nginx shows it to nobody.
    """
    services: list[Service] = []
    for directive in tree:
        if directive.name in DEFAULT_PORT and directive.block is not None:
            servers = tuple(servers_of(directive, machine))
            served = list(_services_of(servers, machine))
            services += [*served, *uses.shown_to_nobody(directive, servers, served, machine)]
            services += uses.other_uses(directive, machine)
    return tuple(services)


def _services_of(servers: tuple[Server, ...], machine: Machine) -> Iterator[Service]:
    """Group the servers by socket, as nginx does, and list what each socket offers."""
    by_endpoint: dict[tuple[str, int | None, bool], list[tuple[Server, Listen]]] = {}
    for server in servers:
        for listen in server.listens:
            by_endpoint.setdefault(listen.endpoint, []).append((server, listen))
    all_taken = frozenset((address, port) for address, port, datagram in by_endpoint if not datagram)
    taken = all_taken - {(wildcard, port) for wildcard in WILDCARDS for _, port in all_taken}

    for members in by_endpoint.values():
        listen = members[0][1]
        also_ipv4 = any(each.ipv6only is False for _, each in members) and (WILDCARDS[0], listen.port) not in all_taken
        found = ask_address(listen.address, listen.port, taken, others=machine.addresses, also_ipv4=also_ipv4)
        if machine.connect is not None and listen.port is not None:
            found = machine.connect
        yield from _services_at(members, found, machine)


def _services_at(members: list[tuple[Server, Listen]], where: str | None, machine: Machine) -> Iterator[Service]:
    default = next((server for server, listen in members if listen.default_server), members[0][0])
    listener = _listener(members, default, where)
    if listener is None:
        return
    servers = tuple({id(server): server for server, _ in members}.values())
    number = next(at for at, server in enumerate(servers) if server is default)
    # nginx keeps the default server's context for a name whose own server has no certificate.
    owners = tuple(
        server if server.sources else replace(server, sources=default.sources, by_name=default.by_name)
        for server in servers
    )
    socket = Socket.of(listener, owners, number, machine)
    for at in range(len(owners)):
        for service in asking.services_of(at, socket):
            yield replace(service, not_probed=service.not_probed or listener.unaskable)


def _listener(members: list[tuple[Server, Listen]], default: Server, found: str | None) -> Listener | None:
    """Merge what all servers say about one socket; None where it does not speak TLS."""
    listens = [listen for _, listen in members]
    tls = default.tls_everywhere or any(listen.tls for listen in listens)
    quic = any(listen.quic for listen in listens)
    if not (tls or quic or any(server.starttls for server, _ in members)):
        return None
    first = listens[0]
    proxied = any(listen.proxy_protocol for listen in listens)
    unaskable = ""
    if quic:
        unaskable = "QUIC: HTTP/3 cannot be asked from here; it shows what the TLS listener of the same server shows"
    elif not tls:
        unaskable = "STARTTLS: this listener begins in clear text"
    elif found is None:
        unaskable = "every loopback address is taken by a more specific listener; name another one with --connect"
    return Listener(first.address, first.port, found, proxy_protocol=proxied, unaskable=unaskable)

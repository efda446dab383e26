"""Turn nginx's configuration into services: what is served where, under which name, from which files.

The rules are nginx's: <https://nginx.org/en/docs/http/server_names.html> for names,
<https://nginx.org/en/docs/http/request_processing.html> for the default server of a listener.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from exodus_certbot.model import Listener, Service, Suites
from exodus_certbot.nginx import access, asking, uses
from exodus_certbot.nginx.asking import Socket
from exodus_certbot.nginx.config import Directive
from exodus_certbot.nginx.listen import WILDCARDS, Listen, ask_address
from exodus_certbot.nginx.servers import DEFAULT_PORT, Machine, Server, servers_of


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
    # Those over TCP and those over UDP take no address from each other.
    places = {
        datagram: frozenset((address, port) for address, port, kind in by_endpoint if kind is datagram)
        for datagram in (False, True)
    }
    specific = {kind: frozenset(at for at in all_ if at[0] not in WILDCARDS) for kind, all_ in places.items()}
    if places[False] - specific[False]:  # where another program listens, it would be asked in nginx's place
        specific[False] |= frozenset(at for at in machine.held() if at[0] not in WILDCARDS)
    for (_, port, kind), members in by_endpoint.items():
        takes_ipv4 = (WILDCARDS[0], port) not in places[kind]
        yield from _services_at(members, _where(members, specific[kind], machine, takes_ipv4=takes_ipv4), machine)


def _where(
    members: list[tuple[Server, Listen]],
    taken: frozenset[tuple[str, int | None]],
    machine: Machine,
    *,
    takes_ipv4: bool,
) -> str | None:
    """Choose the address at which just this socket answers."""
    listen = members[0][1]
    if machine.connect is not None and listen.port is not None:
        return machine.connect
    also_ipv4 = takes_ipv4 and any(each.ipv6only is False for _, each in members)
    return ask_address(listen.address, listen.port, taken, others=machine.addresses, also_ipv4=also_ipv4)


def _services_at(members: list[tuple[Server, Listen]], where: str | None, machine: Machine) -> Iterator[Service]:
    default = next((server for server, listen in members if listen.default_server), members[0][0])
    listener = _listener(members, default, where, machine)
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
    for at, server in enumerate(servers):
        suites = _suites(server, default)
        for service in asking.services_of(at, socket):
            yield replace(service, not_probed=service.not_probed or listener.unaskable, suites=suites)


def _suites(server: Server, default: Server) -> Suites:
    """Merge what a handshake chooses from: before 1.29.2 nginx takes the versions from the default server alone."""
    owner = server if server.sources else default
    both = tuple(version for version in owner.suites.protocols if version in default.suites.protocols)
    return replace(
        owner.suites,
        protocols=both,
        are_usual=owner.suites.are_usual and default.suites.are_usual,
        is_clear=owner.suites.is_clear and default.suites.is_clear,
    )


def _listener(
    members: list[tuple[Server, Listen]], default: Server, found: str | None, machine: Machine
) -> Listener | None:
    """Merge what all servers say about one socket; None where it does not speak TLS."""
    listens = [listen for _, listen in members]
    tls = default.tls_everywhere or any(listen.tls for listen in listens)
    quic = any(listen.quic for listen in listens)
    if not (tls or quic or default.starttls):
        return None
    first = listens[0]
    return Listener(
        first.address,
        first.port,
        found,
        proxy_protocol=any(listen.proxy_protocol for listen in listens),
        unaskable=_why_unaskable(first, found, default, machine) or (machine.why_no_quic() if quic else ""),
        starttls="" if tls else default.starttls,
        quic=quic,
    )


def _why_unaskable(listen: Listen, found: str | None, default: Server, machine: Machine) -> str:
    """Say why nobody can be asked at a listener from this machine, or nothing."""
    if found is None:
        return "every loopback address is taken by a more specific listener; name another one with --connect"
    is_ours = listen.port is None or machine.connect is not None or machine.is_here(found)
    if not is_ours:
        return f"{found} is no address of this machine now; where it is one, exodus-certbot check asks there"
    source = "unix:" if listen.port is None else machine.source_for(found)
    if access.denies(default.access_rules, source):
        return f"its allow and deny let nobody in who asks from here ({source})"
    return ""

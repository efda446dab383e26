"""Turn nginx's configuration into services: what is served where, under which name, from which files.

The rules are nginx's: <https://nginx.org/en/docs/http/server_names.html> for names,
<https://nginx.org/en/docs/http/request_processing.html> for the default server of a listener.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from exodus_certbot.model import CertificateSource, Listener, Service, Suites
from exodus_certbot.nginx import access
from exodus_certbot.nginx.config import Directive
from exodus_certbot.nginx.listen import WILDCARDS, Listen, ask_address
from exodus_certbot.nginx.servers import DEFAULT_PORT, Machine, Server, servers_of
from exodus_certbot.server_names import Probe, probes_for

_NAME_ASKED_FOR = re.compile(r"\$(?:ssl_server_name\b|\{ssl_server_name\})")
_Where = Callable[[Listen], str | None]


def discover(tree: Iterable[Directive], machine: Machine) -> tuple[Service, ...]:
    """List every service that nginx is configured to offer over TLS, those that cannot be asked for included."""
    services: list[Service] = []
    for directive in tree:
        if directive.name in DEFAULT_PORT and directive.block is not None:
            services += _services_of(tuple(servers_of(directive, machine)), machine)
    return tuple(services)


def _services_of(servers: tuple[Server, ...], machine: Machine) -> Iterator[Service]:
    """Group the servers by socket, as nginx does, and list what each socket offers."""
    by_endpoint: dict[tuple[str, int | None, bool], list[tuple[Server, Listen]]] = {}
    for server in servers:
        for listen in server.listens:
            by_endpoint.setdefault(listen.endpoint, []).append((server, listen))
    specific = [endpoint for endpoint in by_endpoint if endpoint[0] not in WILDCARDS]
    taken = {
        datagram: frozenset((address, port) for address, port, other in specific if other == datagram)
        for datagram in (False, True)
    }

    def where(listen: Listen) -> str | None:
        if machine.connect is not None and listen.port is not None:
            return machine.connect
        return ask_address(listen.address, listen.port, taken[listen.endpoint[2]])

    for members in by_endpoint.values():
        yield from _services_at(members, where, machine)


def _services_at(members: list[tuple[Server, Listen]], where: _Where, machine: Machine) -> Iterator[Service]:
    default = next((server for server, listen in members if listen.default_server), members[0][0])
    listener = _listener(members, default, where, machine)
    if listener is None:
        return
    claimed: set[str] = set()
    for server in dict.fromkeys(server for server, _ in members):
        # nginx keeps the default server's context for a name whose own server has no certificate.
        owner = server if server.sources else replace(server, sources=default.sources)
        suites = _suites(server, default)
        for service in _named(owner, listener, is_default=server is default, claimed=claimed):
            yield replace(service, not_probed=service.not_probed or listener.unaskable, suites=suites)


def _suites(server: Server, default: Server) -> Suites:
    """Merge what a handshake chooses from: before 1.29.2 nginx takes the versions from the default server alone."""
    owner = server if server.sources else default
    both = tuple(version for version in owner.suites.protocols if version in default.suites.protocols)
    return replace(owner.suites, protocols=both, are_usual=owner.suites.are_usual and default.suites.are_usual)


def _listener(
    members: list[tuple[Server, Listen]], default: Server, where: _Where, machine: Machine
) -> Listener | None:
    """Merge what all servers say about one socket; None where it does not speak TLS."""
    listens = [listen for _, listen in members]
    tls = default.tls_everywhere or any(listen.tls for listen in listens)
    quic = any(listen.quic for listen in listens)
    if not (tls or quic or default.starttls):
        return None
    first, found = listens[0], where(listens[0])
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


def _named(server: Server, listener: Listener, *, is_default: bool, claimed: set[str]) -> Iterator[Service]:
    """List a server's names at one listener, with a nameless handshake where only that reaches the server."""
    askable = False
    for written in dict.fromkeys(server.names):
        for probe in probes_for(written, is_default=is_default):
            reason = _why_not(probe, server, claimed)
            claimed.add(probe.pattern)
            askable |= not reason
            yield Service(probe.pattern, probe.sni, listener, _expand(server.sources, probe), reason)
    if is_default and not askable:
        nameless = Probe("", None)
        reason = _why_not(nameless, server, set())
        if not reason:
            yield Service("", None, listener, server.sources)


def _why_not(probe: Probe, server: Server, claimed: set[str]) -> str:
    """Say why nobody can be asked for a name at a listener, or nothing."""
    if probe.not_probed:
        return probe.not_probed
    if probe.sni is not None and probe.pattern in claimed:
        return "nginx ignores this name here: an earlier server of the same listener has it"
    if server.rejects_handshakes:
        return "ssl_reject_handshake: nginx refuses this handshake on purpose"
    if probe.sni != probe.pattern and any(source.computed for source in server.sources):
        return "a variable in ssl_certificate: which file is meant depends on the name, and only clients know theirs"
    return ""


def _expand(sources: tuple[CertificateSource, ...], probe: Probe) -> tuple[CertificateSource, ...]:
    """Fill in the one variable whose value the handshake itself decides: the name that is asked for."""
    name = probe.sni
    if name is None or name != probe.pattern or not any(source.computed for source in sources):
        return sources
    return tuple(
        replace(
            source,
            certificate=_NAME_ASKED_FOR.sub(name, source.certificate),
            key=_NAME_ASKED_FOR.sub(name, source.key),
        )
        for source in sources
    )

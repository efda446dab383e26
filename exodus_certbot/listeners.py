"""Turn nginx's directives into services: what is served where, under which name, from which files.

The rules are nginx's: <https://nginx.org/en/docs/http/server_names.html> for names,
<https://nginx.org/en/docs/http/request_processing.html> for the default server of a listener.
"""

import re
from collections import ChainMap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from exodus_certbot.listen import WILDCARDS, Listen, Resolve, ask_address, parse_listen
from exodus_certbot.model import CertificateSource, Listener, Service
from exodus_certbot.nginx_config import Directive
from exodus_certbot.server_names import probes_for

_VARIABLE = re.compile(r"\$(?:ssl_server_name\b|\{ssl_server_name\})")
_DEFAULT_PORT = {"http": 80, "stream": 0, "mail": 0}


@dataclass(frozen=True, slots=True)
class Machine:
    """Hold what nginx knows from the machine it runs on: its configuration folder, host name and resolver."""

    conf_prefix: str
    hostname: str
    resolve: Resolve


@dataclass(frozen=True, slots=True)
class Server:
    """Hold what a `server` block says about TLS, with what it inherits from the block around it."""

    names: tuple[str, ...]
    listens: tuple[Listen, ...]
    sources: tuple[CertificateSource, ...]
    rejects_handshakes: bool
    tls_everywhere: bool
    starttls: bool


def discover(tree: Iterable[Directive], machine: Machine) -> tuple[Service, ...]:
    """List every service that nginx is configured to offer over TLS, those that cannot be asked for included."""
    services: list[Service] = []
    for directive in tree:
        if directive.name in _DEFAULT_PORT and directive.block is not None:
            servers = tuple(_servers(directive, machine))
            services += _services_of(servers)
    return tuple(services)


def _servers(context: Directive, machine: Machine) -> Iterator[Server]:
    inherited = _first_arguments(context.block or ())
    for directive in context.block or ():
        if directive.name == "server" and directive.block is not None:
            yield _server(_DEFAULT_PORT[context.name], inherited, directive.block, machine)


def _first_arguments(block: Iterable[Directive]) -> dict[str, list[str]]:
    """Collect the first argument of every plain directive, by the directive's name."""
    collected: dict[str, list[str]] = {}
    for directive in block:
        if directive.block is None and directive.args:
            collected.setdefault(directive.name, []).append(directive.args[0])
    return collected


def _server(
    default_port: int, inherited: dict[str, list[str]], block: tuple[Directive, ...], machine: Machine
) -> Server:
    # A list that the server block writes itself replaces the inherited one whole; each directive is merged alone.
    said = ChainMap(_first_arguments(block), inherited)
    sources = zip(said.get("ssl_certificate", ()), said.get("ssl_certificate_key", ()), strict=False)
    listens = [directive.args for directive in block if directive.name == "listen"] or [()]
    names = tuple(name for directive in block if directive.name == "server_name" for name in directive.args)
    return Server(
        names=tuple(machine.hostname if name.lower() == "$hostname" else name for name in names) or ("",),
        listens=tuple(listen for args in listens for listen in parse_listen(args, default_port, machine.resolve)),
        sources=tuple(CertificateSource(_full(c, machine), _full(k, machine)) for c, k in sources),
        rejects_handshakes=said.get("ssl_reject_handshake", [""])[-1] == "on",
        tls_everywhere=said.get("ssl", [""])[-1] == "on",
        starttls=said.get("starttls", [""])[-1] in ("on", "only"),
    )


def _full(path: str, machine: Machine) -> str:
    if path.startswith(("/", "data:", "engine:", "store:")) or (path.startswith("$") and "/" not in path):
        return path
    return f"{machine.conf_prefix.rstrip('/')}/{path}"


def _services_of(servers: tuple[Server, ...]) -> Iterator[Service]:
    """Group the servers by socket, as nginx does, and list what each socket offers."""
    by_endpoint: dict[tuple[str, int | None, bool], list[tuple[Server, Listen]]] = {}
    for server in servers:
        for listen in server.listens:
            by_endpoint.setdefault(listen.endpoint, []).append((server, listen))
    taken = frozenset((address, port) for address, port, datagram in by_endpoint if not datagram)
    taken -= {(wildcard, port) for wildcard in WILDCARDS for _, port in taken}
    for members in by_endpoint.values():
        yield from _services_at(members, taken)


def _services_at(members: list[tuple[Server, Listen]], taken: frozenset[tuple[str, int | None]]) -> Iterator[Service]:
    default = next((server for server, listen in members if listen.default_server), members[0][0])
    listens = [listen for _, listen in members]
    quic = any(listen.quic for listen in listens)
    starttls = any(server.starttls for server, _ in members)
    if not (quic or starttls or default.tls_everywhere or any(listen.tls for listen in listens)):
        return
    listener = _listener(listens, taken, quic=quic, starttls=starttls and not any(listen.tls for listen in listens))
    claimed: set[str] = set()
    for server in dict.fromkeys(server for server, _ in members):
        # nginx keeps the default server's context for a name whose own server has no certificate.
        owner = server if server.sources else replace(server, sources=default.sources)
        for service in _named(owner, listener, is_default=server is default, claimed=claimed):
            reason = service.not_probed or listener.unaskable
            yield replace(service, not_probed=reason, sni=None if reason else service.sni)


def _listener(
    listens: list[Listen], taken: frozenset[tuple[str, int | None]], *, quic: bool, starttls: bool
) -> Listener:
    first = listens[0]
    where = ask_address(first.address, first.port, taken)
    unaskable = ""
    if quic:
        unaskable = "QUIC: HTTP/3 cannot be asked from here; it shows what the TLS listener of the same server shows"
    elif starttls:
        unaskable = "STARTTLS: this listener begins in clear text"
    elif where is None:
        unaskable = "every loopback address is taken by a more specific listener; name another one with --connect"
    proxied = any(listen.proxy_protocol for listen in listens)
    return Listener(first.address, first.port, where, proxy_protocol=proxied, unaskable=unaskable)


def _named(server: Server, listener: Listener, *, is_default: bool, claimed: set[str]) -> Iterator[Service]:
    """List a server's names at one listener, with a nameless handshake where only that reaches the server."""
    askable = False
    for written in dict.fromkeys(server.names):
        for probe in probes_for(written, is_default=is_default):
            reason = probe.not_probed
            if not reason and probe.sni is not None and probe.pattern in claimed:
                reason = "nginx ignores this name here: an earlier server of the same listener has it"
            claimed.add(probe.pattern)
            if not reason and server.rejects_handshakes:
                reason = "ssl_reject_handshake: nginx refuses this handshake on purpose"
            askable |= not reason
            yield Service(probe.pattern, probe.sni, listener, _expand(server.sources, probe.sni), reason)
    if is_default and not askable and not server.rejects_handshakes:
        yield Service("", None, listener, server.sources)


def _expand(sources: tuple[CertificateSource, ...], sni: str | None) -> tuple[CertificateSource, ...]:
    """Fill in the one variable whose value the handshake itself decides: the name that is asked for."""
    if sni is None or not any(source.computed for source in sources):
        return sources
    return tuple(
        CertificateSource(*(_VARIABLE.sub(sni, path) for path in (source.certificate, source.key)))
        for source in sources
    )

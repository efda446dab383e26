"""Decide how to ask one listener for what each of its servers shows, or say why nobody can be asked."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from exodus_certbot.model import CertificateSource, Listener, Service
from exodus_certbot.nginx import candidates, expressions, variables
from exodus_certbot.nginx.names import Names
from exodus_certbot.nginx.servers import Machine, Server, full_path
from exodus_certbot.server_names import Probe, probes_for


@dataclass(frozen=True, slots=True)
class Socket:
    """Hold one listener with its servers, the number of the default one, and who of them has which name."""

    listener: Listener
    servers: tuple[Server, ...]
    default: int
    names: Names
    machine: Machine

    @classmethod
    def of(cls, listener: Listener, servers: tuple[Server, ...], default: int, machine: Machine) -> "Socket":
        """Give the names to the servers as nginx does."""
        names = Names.of((server.names for server in servers), default, expressions.fits)
        return cls(listener, servers, default, names, machine)


def services_of(number: int, socket: Socket) -> Iterator[Service]:
    """List a server's names at one listener, and a handshake without a name where only that reaches the server."""
    server, is_default = socket.servers[number], number == socket.default
    found = list({(service.name, service.sni): service for service in _written(number, socket)}.values())
    yield from found
    asked = {service.sni for service in found if service.sni is not None}
    for name in candidates.of_path(server, socket.machine) if server.by_name else ():
        if name not in asked and socket.names.owner(name) == number:
            yield _service(Probe(name, name), number, socket)
    if is_default and all(service.not_probed for service in found):
        nameless = _service(Probe("", None), number, socket)
        if not nameless.not_probed:
            yield nameless


def _written(number: int, socket: Socket) -> Iterator[Service]:
    """List what stands after `server_name`."""
    for written in dict.fromkeys(socket.servers[number].names):
        if written.startswith("~"):
            yield _of_expression(written, number, socket)
        else:
            for probe in probes_for(written, is_default=number == socket.default):
                yield _service(probe, number, socket)


def _of_expression(written: str, number: int, socket: Socket) -> Service:
    """Ask for a name of the certificate's own that fits the expression and leads to this server."""
    for name in candidates.of_certificate(socket.servers[number], socket.machine):
        if socket.names.owner(name) == number and expressions.fits(written[1:], name):
            return _service(Probe(written, name), number, socket)
    (unknown,) = probes_for(written, is_default=False)
    return _service(unknown, number, socket)


def _service(probe: Probe, number: int, socket: Socket) -> Service:
    server = socket.servers[number]
    owner = number if probe.sni is None else socket.names.owner(probe.sni)
    nobody, sources = _why_nobody(probe, owner, number, socket), server.sources
    if any(source.opened_late for source in sources):
        sources = tuple(_filled_in(source, probe, server, socket.machine) for source in sources)
    reason = nobody or _why_unknown(probe, owner, server)
    return Service(probe.pattern, probe.sni, socket.listener, sources, reason, to_nobody=bool(nobody))


def _why_nobody(probe: Probe, owner: int | None, number: int, socket: Socket) -> str:
    """Say why no client can get a server by a name, or nothing."""
    if socket.servers[number].rejects_handshakes:
        return "ssl_reject_handshake: nginx refuses this handshake on purpose"
    if probe.not_probed and not probe.pattern.startswith("~"):
        return probe.not_probed
    if owner is None or owner == number:
        return ""
    return f"nginx ignores this name here, and gives it to the server at {socket.servers[owner].where}"


def _why_unknown(probe: Probe, owner: int | None, server: Server) -> str:
    """Say why nobody here knows what to ask for, though some client may, or nothing."""
    if probe.not_probed:
        return probe.not_probed
    if probe.sni != probe.pattern and server.by_name:
        return "a variable in ssl_certificate: which file is meant depends on the name, and only clients know theirs"
    if owner is None:
        return "a regular expression that cannot be read here may have this name"
    return ""


def _filled_in(source: CertificateSource, probe: Probe, server: Server, machine: Machine) -> CertificateSource:
    """Fill in the variables whose values are known: the name that is asked for, and the server's own."""

    def known(text: str) -> str:
        text = variables.with_server_name(text, server.names)
        if probe.sni is not None and probe.sni == probe.pattern:
            text = variables.with_name(text, probe.sni)
        return text if "$" in text else full_path(text, machine)

    return replace(source, certificate=known(source.certificate), key=known(source.key))

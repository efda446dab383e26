"""Find certificates that nginx loads and no listener shows: those for upstreams, those to trust, those of nobody."""

import re
from collections.abc import Iterator, Sequence

from exodus_certbot.model import CertificateSource, Listener, Service
from exodus_certbot.nginx.config import Directive
from exodus_certbot.nginx.servers import Machine, Server, full_path, sources_in

# Of nginx's own modules, and of others that keep to their manner: grpc_ssl_certificate, lua_ssl_trusted_certificate.
_LOADS_A_FILE = re.compile(r"\w+_(?:certificate|crl|stapling_file|ech_file)")
_FOR_CLIENTS = "ssl_certificate"


def other_uses(context: Directive, machine: Machine) -> Iterator[Service]:
    """List the files that nginx loads when it starts for another purpose than to show them to clients."""
    block = context.block or ()
    keys = {one.name: one.args[0] for one in block if one.block is None and one.args and one.name.endswith("_key")}
    for one in block:
        if one.block is not None:
            yield from other_uses(one, machine)
        elif one.args and one.name != _FOR_CLIENTS and _LOADS_A_FILE.fullmatch(one.name) and _is_path(one.args[0]):
            key = keys.get(f"{one.name}_key", "")
            source = CertificateSource(full_path(one.args[0], machine), full_path(key, machine))
            where = f"{one.file}:{one.line}"
            yield Service(one.name, None, _standing_at(where), (source,), _purpose(one.name), is_use=True)


def _is_path(word: str) -> bool:
    """Tell whether nginx reads a file when it starts; one with a variable it reads at each connection."""
    return bool(word) and "$" not in word and not word.startswith(("data:", "engine:", "store:"))


def _purpose(directive: str) -> str:
    if directive.endswith("_ssl_certificate"):
        return f"{directive}: nginx shows it to upstreams only, and no handshake from here sees it"
    return f"{directive}: nginx loads it to check others with, and shows it to nobody as its own"


def shown_to_nobody(
    context: Directive, servers: Sequence[Server], served: Sequence[Service], machine: Machine
) -> Iterator[Service]:
    """List the certificates of a context that none of its listeners shows."""
    sockets = {(service.listener.address, service.listener.port) for service in served}
    showing = (one for one in servers if any((listen.address, listen.port) in sockets for listen in one.listens))
    seen = {source for server in showing for source in server.sources}
    for server in servers:
        for source in server.sources:
            if source not in seen:
                seen.add(source)
                why = "nginx loads it, yet no listener of this server speaks TLS: `ssl` is missing after listen"
                yield Service(server.names[0], None, _standing_at(server.where), (source,), why, to_nobody=True)
    for source in sources_in(context.block or (), machine):
        if source not in seen:
            where = _standing_at(f"{context.file}:{context.line}")
            why = f"nginx does not load it: every server of this {context.name} block has another one"
            yield Service("", None, where, (source,), why, to_nobody=True)


def _standing_at(where: str) -> Listener:
    """Put the place in the configuration where reports show a listener."""
    return Listener(where, None, None)

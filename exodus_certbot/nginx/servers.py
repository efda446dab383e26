"""Turn nginx's directives into servers: what each `server` block says about TLS, with what it inherits.

How nginx merges directives is in its ngx_http_ssl_module.c (and those of stream and mail), `merge_srv_conf`.
"""

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from exodus_certbot.model import CertificateSource, Suites
from exodus_certbot.nginx.access import Rule, rules_of
from exodus_certbot.nginx.config import Directive
from exodus_certbot.nginx.listen import Listen, Resolve, parse_listen

DEFAULT_PORT = {"http": 80, "stream": 0, "mail": 0}
# ngx_mail_smtp_module.c and its siblings: the protocol of a mail server that names none, by its first such port.
_MAIL_PORTS = {25: "smtp", 465: "smtp", 587: "smtp", 143: "imap", 993: "imap", 110: "pop3", 995: "pop3"}
_NO_FILE = ("/", "data:", "engine:", "store:")
_PROTOCOLS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


@dataclass(frozen=True, slots=True)
class Machine:
    """Hold what nginx knows from the machine it runs on: its configuration folder, host name and resolver.

    `connect` is the address that is asked in place of every listen address, where the operator named one. `is_here`
    tells whether an address is this machine's now, `source_for` from where it is asked, `why_no_quic` why QUIC is not.
    """

    conf_prefix: str
    hostname: str
    resolve: Resolve
    connect: str | None = None
    is_here: Callable[[str], bool] = lambda _address: True
    source_for: Callable[[str], str] = lambda address: address
    why_no_quic: Callable[[], str] = lambda: ""


@dataclass(frozen=True, slots=True)
class Server:
    """Hold what a `server` block says about TLS, with what it inherits from the block around it.

    `starttls` is the mail protocol in which TLS may be asked for, or empty.
    """

    names: tuple[str, ...]
    listens: tuple[Listen, ...]
    sources: tuple[CertificateSource, ...]
    rejects_handshakes: bool
    tls_everywhere: bool
    suites: Suites
    starttls: str = ""
    access_rules: tuple[Rule, ...] = ()


def servers_of(context: Directive, machine: Machine) -> Iterator[Server]:
    """Read the servers of an `http`, `stream` or `mail` block."""
    inherited, rules = _first_arguments(context.block or ()), rules_of(context.block or ())
    for directive in context.block or ():
        if directive.name == "server" and directive.block is not None:
            server = _server(DEFAULT_PORT[context.name], inherited, directive.block, machine)
            # Only in stream a client is turned away before TLS begins; in http it is answered 403.
            own = rules_of(directive.block) or rules
            yield replace(server, access_rules=own) if context.name == "stream" else server


def _first_arguments(block: Iterable[Directive]) -> dict[str, list[str]]:
    """Collect the first argument of every plain directive, by the directive's name; of `ssl_protocols` all."""
    collected: dict[str, list[str]] = {}
    for directive in block:
        if directive.block is None and directive.args:
            some = directive.args if directive.name == "ssl_protocols" else directive.args[:1]
            collected.setdefault(directive.name, []).extend(some)
    return collected


def _server(
    default_port: int, inherited: dict[str, list[str]], block: tuple[Directive, ...], machine: Machine
) -> Server:
    # A list that the server block writes itself replaces the inherited one whole; each directive is merged alone.
    said = ChainMap(_first_arguments(block), inherited)
    sources = zip(said.get("ssl_certificate", ()), said.get("ssl_certificate_key", ()), strict=False)
    listens = [directive.args for directive in block if directive.name == "listen"] or [()]
    names = tuple(name for directive in block if directive.name == "server_name" for name in directive.args)
    all_listens = tuple(listen for args in listens for listen in parse_listen(args, default_port, machine.resolve))
    return Server(
        names=tuple(machine.hostname if name.lower() == "$hostname" else name for name in names) or ("",),
        listens=all_listens,
        sources=tuple(CertificateSource(_full(c, machine), _full(k, machine), "$" in c + k) for c, k in sources),
        rejects_handshakes=said.get("ssl_reject_handshake", [""])[-1] == "on",
        tls_everywhere=said.get("ssl", [""])[-1] == "on",
        starttls=_protocol(said, all_listens) if said.get("starttls", [""])[-1].lower() in ("on", "only") else "",
        suites=_suites(said),
    )


def _suites(said: Mapping[str, list[str]]) -> Suites:
    usual = Suites()
    protocols = {written.lower() for written in said.get("ssl_protocols", usual.protocols)}
    return Suites(
        protocols=tuple(version for version in _PROTOCOLS if version.lower() in protocols),
        ciphers=said.get("ssl_ciphers", [usual.ciphers])[-1],
        has_dhparam="ssl_dhparam" in said,
        are_usual="ssl_protocols" not in said,
    )


def _protocol(said: Mapping[str, list[str]], listens: Iterable[Listen]) -> str:
    """Give the protocol of a mail server: the one it names, or the one that its ports imply."""
    implied = (_MAIL_PORTS[listen.port] for listen in listens if listen.port in _MAIL_PORTS)
    return said.get("protocol", [""])[-1] or next(implied, "")


def _full(path: str, machine: Machine) -> str:
    """Resolve a path that is relative to the configuration; a lone variable may hold an absolute one."""
    if path.startswith(_NO_FILE) or (path.startswith("$") and "/" not in path):
        return path
    return f"{machine.conf_prefix.rstrip('/')}/{path}"

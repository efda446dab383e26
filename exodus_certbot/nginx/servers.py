"""Turn nginx's directives into servers: what each `server` block says about TLS, with what it inherits.

How nginx merges directives is in its ngx_http_ssl_module.c (and those of stream and mail), `merge_srv_conf`.
"""

from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest

from exodus_certbot.model import CertificateSource, Suites
from exodus_certbot.nginx import conf_commands, variables
from exodus_certbot.nginx.access import Rule, rules_of
from exodus_certbot.nginx.config import Directive
from exodus_certbot.nginx.listen import Listen, Resolve, parse_listen

DEFAULT_PORT = {"http": 80, "stream": 0, "mail": 0}
# ngx_mail_smtp_module.c and its siblings: the protocol of a mail server that names none, by its first such port.
_MAIL_PORTS = {25: "smtp", 465: "smtp", 587: "smtp", 143: "imap", 993: "imap", 110: "pop3", 995: "pop3"}
_NO_FILE = ("/", "data:", "engine:", "store:")
_WHOLE = ("ssl_protocols", "ssl_conf_command")


@dataclass(frozen=True, slots=True)
class Machine:
    """Hold what nginx knows from the machine it runs on: its configuration folder, host name and resolver.

    `connect` is the address that is asked in place of every listen address, where the operator named one. `is_here`
    tells whether an address is this machine's now, `source_for` from where it is asked, `why_no_quic` why QUIC is not.
    `matches` lists the files that fit a pattern, `names_in` the names that a certificate's file holds (None: it cannot
    be read), and `addresses` are the IPv6 ones at which the machine can be asked, beside the loopback's. `held` are the
    addresses and ports at which somebody listens now, over TCP.
    """

    conf_prefix: str
    hostname: str
    resolve: Resolve
    connect: str | None = None
    is_here: Callable[[str], bool] = lambda _address: True
    source_for: Callable[[str], str] = lambda address: address
    why_no_quic: Callable[[], str] = lambda: ""
    matches: Callable[[str], Iterable[str]] = lambda pattern: ()
    names_in: Callable[[str], tuple[str, ...] | None] = lambda path: ()
    addresses: tuple[str, ...] = ()
    held: Callable[[], Collection[tuple[str, int]]] = lambda: ()


@dataclass(frozen=True, slots=True)
class Server:
    """Hold what a `server` block says about TLS, with what it inherits from the block around it.

    `starttls` is the mail protocol in which TLS may be asked for, or empty. `by_name` tells that which files are meant
    may depend on the name that a handshake asks for.
    """

    names: tuple[str, ...]
    listens: tuple[Listen, ...]
    sources: tuple[CertificateSource, ...]
    rejects_handshakes: bool
    tls_everywhere: bool
    suites: Suites
    starttls: str = ""
    access_rules: tuple[Rule, ...] = ()
    by_name: bool = False
    where: str = ""


def servers_of(context: Directive, machine: Machine) -> Iterator[Server]:
    """Read the servers of an `http`, `stream` or `mail` block."""
    inherited, made_of = _first_arguments(context.block or ()), variables.made_of(context.block or ())
    rules = rules_of(context.block or ())
    for directive in context.block or ():
        if directive.name == "server" and directive.block is not None:
            server = _server(DEFAULT_PORT[context.name], inherited, directive, machine, made_of)
            # Only in stream a client is turned away before TLS begins; in http it is answered 403.
            own = rules_of(directive.block) or rules
            yield replace(server, access_rules=own) if context.name == "stream" else server


def sources_in(block: Iterable[Directive], machine: Machine) -> tuple[CertificateSource, ...]:
    """Pair the certificates of one block with their keys."""
    return _sources(_first_arguments(block), machine)


def _first_arguments(block: Iterable[Directive]) -> dict[str, list[str]]:
    """Collect the first argument of every plain directive, by the directive's name; of some of them all."""
    collected: dict[str, list[str]] = {}
    for directive in block:
        if directive.block is None and directive.args:
            some = directive.args if directive.name in _WHOLE else directive.args[:1]
            collected.setdefault(directive.name, []).extend(some)
    return collected


def _server(
    default_port: int,
    inherited: dict[str, list[str]],
    server: Directive,
    machine: Machine,
    made_of: Mapping[str, str],
) -> Server:
    block = server.block or ()
    # A list that the server block writes itself replaces the inherited one whole; each directive is merged alone.
    said = ChainMap(_first_arguments(block), inherited)
    sources = _sources(said, machine)
    listens = [directive.args for directive in block if directive.name == "listen"] or [()]
    names = tuple(name for directive in block if directive.name == "server_name" for name in directive.args)
    all_listens = tuple(listen for args in listens for listen in parse_listen(args, default_port, machine.resolve))
    return Server(
        names=tuple(machine.hostname if name.lower() == "$hostname" else name for name in names) or ("",),
        listens=all_listens,
        sources=sources,
        rejects_handshakes=_said(said, "ssl_reject_handshake") == "on",
        tls_everywhere=_said(said, "ssl") == "on",
        suites=_suites(said),
        starttls=_protocol(said, all_listens) if _said(said, "starttls") in ("on", "only") else "",
        by_name=any(variables.depend_on_name(one.certificate + one.key, made_of) for one in sources),
        where=f"{server.file}:{server.line}",
    )


def _said(said: Mapping[str, list[str]], name: str) -> str:
    """Read a flag or a word of a list: nginx ignores its case (ngx_conf_set_flag_slot(), ngx_conf_set_enum_slot())."""
    return said.get(name, [""])[-1].lower()


def _suites(said: Mapping[str, list[str]]) -> Suites:
    usual = Suites()
    protocols = {written.lower() for written in said.get("ssl_protocols", usual.protocols)}
    said_by_nginx = Suites(
        protocols=tuple(version for version in conf_commands.VERSIONS if version.lower() in protocols),
        ciphers=said.get("ssl_ciphers", [usual.ciphers])[-1],
        has_dhparam="ssl_dhparam" in said,
        are_usual="ssl_protocols" not in said,
    )
    return conf_commands.applied(said_by_nginx, said.get("ssl_conf_command", ()))


def _protocol(said: Mapping[str, list[str]], listens: Iterable[Listen]) -> str:
    """Give the protocol of a mail server: the one it names, or the one that its ports imply."""
    implied = (_MAIL_PORTS[listen.port] for listen in listens if listen.port in _MAIL_PORTS)
    return said.get("protocol", [""])[-1] or next(implied, "")


def _sources(said: Mapping[str, list[str]], machine: Machine) -> tuple[CertificateSource, ...]:
    certificates, keys = said.get("ssl_certificate", []), said.get("ssl_certificate_key", [])
    pairs = list(zip_longest(certificates, keys[: len(certificates)], fillvalue=""))
    # One variable, and nginx opens all files of the server at each handshake (ngx_http_ssl_compile_certificates()).
    late = any("$" in certificate + key for certificate, key in pairs)
    return tuple(CertificateSource(full_path(c, machine), full_path(k, machine), late) for c, k in pairs)


def full_path(path: str, machine: Machine) -> str:
    """Complete a path by the configuration's folder; one that begins with a variable may turn out to be absolute."""
    if path.startswith((*_NO_FILE, "$")) or not path:
        return path
    return f"{machine.conf_prefix.rstrip('/')}/{path}"

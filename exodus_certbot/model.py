"""Values that decisions, doors and stories exchange: frozen, and complete once built."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path


class KeyType(StrEnum):
    """Name the kind of key a certificate is for; nginx holds one certificate of each kind per server."""

    RSA = "rsa"
    ECDSA = "ecdsa"
    ED25519 = "ed25519"


class Verdict(StrEnum):
    """Judge one name at one listener with one key type; CONTRACT.md fixes the words."""

    OK = "ok"
    STALE = "stale"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    UNREACHABLE = "unreachable"
    NOT_PROBED = "not-probed"
    EXCEPTED = "excepted"


class Overall(StrEnum):
    """Judge a whole run."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Listener:
    """Name one socket on which nginx speaks TLS, and the address at which it can be asked.

    `address` is as nginx normalises it: `0.0.0.0`, `192.0.2.1`, `::`, or `unix:/path` (then `port` is None).
    `ask_address` is where a handshake reaches just this listener: for a wildcard a loopback address that no more
    specific listener takes away from it; None where there is no such address, or nothing can be asked at all.
    `starttls` is the protocol (`smtp`, `imap`, `pop3`) that is spoken in clear text before TLS begins, or empty.
    """

    address: str
    port: int | None
    ask_address: str | None
    proxy_protocol: bool = False
    unaskable: str = ""
    starttls: str = ""
    quic: bool = False

    @property
    def place(self) -> tuple[str, int] | None:
        """Give the address and port that are asked over TCP, where there are any."""
        if self.port is None or self.quic:
            return None
        return self.ask_address or self.address, self.port

    @property
    def manner(self) -> str:
        """Say how one gets to TLS here, where that is not by connecting over TCP."""
        return "QUIC" if self.quic else "STARTTLS" if self.starttls else ""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Say how many sockets are dealt the connections to one place, and how many of them are not our nginx's."""

    sockets: int
    others: int


@dataclass(frozen=True, slots=True)
class CertificateSource:
    """Name the files of one `ssl_certificate` and its `ssl_certificate_key`, absolute, or with variables in them.

    Either may be `data:` and the PEM text itself: show `shown`, never these. `opened_late` tells that nginx opens the
    files at each handshake, as its workers' user, and not when it starts.
    """

    certificate: str
    key: str
    opened_late: bool = False

    @property
    def shown(self) -> str:
        """Name the certificate without showing what may be a secret."""
        return "the PEM text in nginx's configuration" if self.certificate.startswith("data:") else self.certificate

    @property
    def computed(self) -> bool:
        """Tell whether a variable keeps us from knowing which file is meant."""
        return "$" in self.certificate

    @property
    def of_acme_module(self) -> bool:
        """Tell whether nginx's own ACME module gives the certificate (ngx_http_acme_module)."""
        return self.certificate in ("$acme_certificate", "${acme_certificate}")


@dataclass(frozen=True, slots=True)
class Suites:
    """Say what a server lets a handshake choose from; the defaults are nginx's own.

    Which protocols are usual depends on nginx's version: `are_usual` tells that the configuration names none.
    `signatures` are the algorithms that may be signed with, empty for OpenSSL's own. `by_commands` tells that
    `ssl_conf_command` has a say in it, `is_clear` that nothing of what it says is unknown here.
    """

    protocols: tuple[str, ...] = ("TLSv1.2", "TLSv1.3")
    ciphers: str = "HIGH:!aNULL:!MD5"
    has_dhparam: bool = False
    are_usual: bool = True
    signatures: str = ""
    by_commands: bool = False
    is_clear: bool = True


@dataclass(frozen=True, slots=True)
class Service:
    """Say what nginx is configured to show to whoever asks a listener for a name.

    `name` is as written after `server_name` (`*.example.org`, `_`, or empty); `sni` is what a handshake asks for, None
    for a handshake without a name; `not_probed` is the reason why nobody can be asked, empty where one can.
    `to_nobody` tells that nginx shows it to no client either. `is_use` tells that nginx loads the file for another
    purpose than to show it to clients, which only matters where the file is certbot's.
    """

    name: str
    sni: str | None
    listener: Listener
    sources: tuple[CertificateSource, ...]
    not_probed: str = ""
    suites: Suites = Suites()
    to_nobody: bool = False
    is_use: bool = False

    @property
    def opened_late(self) -> bool:
        """Tell whether nginx opens the files at each handshake, so that no reload is needed for new ones."""
        return any(source.opened_late for source in self.sources)

    @property
    def of_acme_module(self) -> bool:
        """Tell whether nginx's own ACME module gives the certificate."""
        return any(source.of_acme_module for source in self.sources)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Describe a leaf certificate; `sha256` is of its DER encoding, in hexadecimal."""

    sha256: str
    key_type: KeyType
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Pair:
    """Join a certificate source to the leaf that its file holds at this moment, and to its lineage if it is certbot's.

    `certificate` is None where the file could not be read; `problem` then says why.
    """

    source: CertificateSource
    certificate: Certificate | None
    lineage: Path | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Pair a service with the certificate that the disk says it shows for one key type.

    `pair` is None where no file can be named (a variable). `force_key_type` is set where a server has certificates
    of several key types and the handshake must choose; `unshowable` then says why, as it is configured, no client can
    be shown this one, empty where one can. `excepted` tells that the operator wants it left alone,
    `replaced` that the server shows a later one of the same key type in its place. `gone` tells that no file of the
    server has a key of `force_key_type` any more, and an earlier version of the pair's lineage had: who is still shown
    one will not be after a reload.
    """

    service: Service
    pair: Pair | None
    force_key_type: KeyType | None = None
    not_probed: str = ""
    unshowable: str = ""
    excepted: bool = False
    replaced: bool = False
    gone: bool = False

    @property
    def certificate(self) -> Certificate | None:
        """Give the certificate that is to be shown, where one is and is known."""
        return self.pair.certificate if self.pair is not None and not self.gone else None

    @property
    def to_nobody(self) -> bool:
        """Tell whether no client is shown it."""
        return self.service.to_nobody or self.replaced

    @property
    def group(self) -> tuple[str, int | None, bool, str, str]:
        """Identify (address, port, QUIC or not, certificate, key type), the unit that is proven several times over."""
        listener = self.service.listener
        certificate = self.certificate
        if certificate is None:
            return (listener.address, listener.port, listener.quic, "", "")
        return (listener.address, listener.port, listener.quic, certificate.sha256, certificate.key_type)


@dataclass(frozen=True, slots=True)
class Observation:
    """Report what a handshake showed: the certificate that was served, or why there was none.

    `refused` tells that the server refused the key type in every way a client can ask for it. Of several handshakes
    it is a wrong one, where any was; `wrong` of `asked` were. `remark` says what else is to be known.
    """

    certificate: Certificate | None
    failure: str = ""
    refused: bool = False
    asked: int = 1
    wrong: int = 0
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Report one name at one listener with one key type; its fields are those of CONTRACT.md.

    `transport` (`tcp`, `quic`) tells two listeners apart that have the same address and port.
    """

    name: str
    address: str
    port: int | None
    key_type: KeyType | None
    lineage: Path | None
    expected_sha256: str | None
    served_sha256: str | None
    not_after: datetime | None
    verdict: Verdict
    reason: str
    transport: str = "tcp"


@dataclass(frozen=True, slots=True)
class RenewalWindow:
    """Say when a lineage's CA wants it to be renewed (RFC 9773), or the `problem` that kept it from being known."""

    lineage: str
    start: datetime | None = None
    end: datetime | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Report a whole run of `deploy`, `reconcile` or `check`; its fields are those of CONTRACT.md.

    `renewals` are the windows that CAs suggest, of `check` only.
    """

    verdict: Overall
    reason: str
    reloaded: bool
    listeners: tuple[Row, ...]
    renewals: tuple[RenewalWindow, ...] = ()

"""A real Pebble, Let's Encrypt's test server (Debian's package `pebble`), to whose DNS every name is 127.0.0.1."""

import http.client
import json
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.parts.authority import key_pem
from tests.parts.command import ROOT
from tests.parts.ports import free_port
from tests.parts.processes import end_of, running, wait_until_answers

_ADDRESS = "127.0.0.1"
_DAY_SECONDS = 24 * 3600
_NEWEST = ROOT / ".go/bin"
# No pause before a validation, no good nonce refused, and no renewal without a challenge of its own.
_BEHAVIOUR = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
_DNS_QUESTION = b"\x07\xe3\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06exodus\x07example\x00\x00\x01\x00\x01"


@dataclass(frozen=True)
class RealPebble:
    """A certificate authority that really validates, by HTTP on the port it was started with."""

    directory_url: str
    ca_bundle: Path
    log: Path

    @property
    def requests(self) -> int:
        """Count what it was asked since it started."""
        return self.log.read_text().count("calling handler()")

    def last_words(self) -> str:
        """Give the end of its log, for whoever wants to know what went wrong."""
        return f"Pebble's log ends with:\n{end_of(self.log)}"


@contextmanager
def running_pebble(
    folder: Path, http_port: int, *, newest: bool = False, lifetime_days: int = 90
) -> Iterator[RealPebble]:
    """Run a Pebble that validates HTTP-01 challenges on `http_port` of 127.0.0.1, for the time of a block.

    Debian 12's signs for five years whatever it is told; the `newest` one, which packaging/provision builds, signs for
    `lifetime_days`, and offers renewal information.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = _settings(folder, http_port, lifetime_days, newest=newest)
    program = str(_NEWEST / "pebble") if newest else "pebble"
    with _running_dns(folder) as dns_port, _running_authority(program, folder, settings, dns_port) as pebble:
        try:
            yield pebble
        except Exception as failure:
            failure.add_note(pebble.last_words())
            raise


@contextmanager
def _running_dns(folder: Path) -> Iterator[int]:
    port, log = free_port(), folder / "dns.log"
    with running(_dns_argv(port), env=os.environ, log=log) as process:
        wait_until_answers(process, lambda: _ask_dns(port), log)
        yield port


def _dns_argv(port: int) -> list[str]:
    """Switch off every server but the DNS; which there are, and how the DNS is called, differs between versions."""
    usage = subprocess.run(["pebble-challtestsrv", "--help"], capture_output=True, text=True, check=False)
    known = re.findall(r"^ +-(\S+)", usage.stdout + usage.stderr, re.MULTILINE)
    dns = "dns01" if "dns01" in known else "dnsserver"
    chosen = {name: "" for name in ("http01", "https01", "tlsalpn01", "doh", "defaultIPv6") if name in known}
    chosen |= {dns: f"{_ADDRESS}:{port}", "management": f"{_ADDRESS}:{free_port()}", "defaultIPv4": _ADDRESS}
    return ["pebble-challtestsrv", *(f"-{name}={value}" for name, value in chosen.items())]


def _ask_dns(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1)
        asking.connect((_ADDRESS, port))
        asking.send(_DNS_QUESTION)
        asking.recv(512)


def _settings(folder: Path, http_port: int, lifetime_days: int, *, newest: bool) -> dict[str, Any]:
    certificate, key = _write_listener_certificate(folder)
    seconds = lifetime_days * _DAY_SECONDS
    of_lifetime = (
        {"profiles": {"default": {"description": "the only one", "validityPeriod": seconds}}, "keyAlgorithm": "ecdsa"}
        if newest
        else {"certificateValidityPeriod": seconds}
    )
    return of_lifetime | {
        "listenAddress": f"{_ADDRESS}:{free_port()}",
        "managementListenAddress": f"{_ADDRESS}:{free_port()}",
        "certificate": str(certificate),
        "privateKey": str(key),
        "httpPort": http_port,
        "tlsPort": free_port(),
    }


@contextmanager
def _running_authority(program: str, folder: Path, settings: dict[str, Any], dns_port: int) -> Iterator[RealPebble]:
    config, log = folder / "pebble.json", folder / "pebble.log"
    config.write_text(json.dumps({"pebble": settings}))
    argv = [program, "-config", str(config), "-dnsserver", f"{_ADDRESS}:{dns_port}"]
    pebble = RealPebble(f"https://{settings['listenAddress']}/dir", Path(settings["certificate"]), log)
    with running(argv, env=os.environ | _BEHAVIOUR, log=log) as process:
        wait_until_answers(process, lambda: _ask_directory(settings["listenAddress"], pebble.ca_bundle), log)
        yield pebble


def _ask_directory(address: str, ca_bundle: Path) -> None:
    trusting = ssl.create_default_context(cafile=ca_bundle)
    connection = http.client.HTTPSConnection(address, timeout=5, context=trusting)
    try:
        connection.request("GET", "/dir", headers={"User-Agent": "exodus-certbot tests"})
        assert "newOrder" in json.load(connection.getresponse())
    finally:
        connection.close()


def _write_listener_certificate(folder: Path) -> tuple[Path, Path]:
    """Write what Pebble's own HTTPS is served with; it is at the same time what its clients trust."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Pebble")])
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(_ADDRESS))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "listener.pem", folder / "listener.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key_pem(key))
    return paths

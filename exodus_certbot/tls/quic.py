"""The door to QUIC listeners: the system's openssl asks, from 3.2 on, since Python cannot."""

import re
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress

from exodus_certbot.model import KeyType
from exodus_common.clock import Deadline, SystemClock
from exodus_common.errors import ExodusError
from exodus_common.process import CommandMissing, CommandTimedOut, Finished, run

_LOOK_SECONDS = 10.0
_FIRST_ATTEMPT_SECONDS = 1.0
_MOST_OUTPUT_BYTES = 1024 * 1024
# On TLS 1.3, which QUIC is made of, these alone decide which of its certificates a server shows.
_SIGNATURES = {
    KeyType.RSA: "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512",
    KeyType.ECDSA: "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512",
    KeyType.ED25519: "ed25519",
}
_VERSION = re.compile(r"OpenSSL \d\S*|LibreSSL \S+")
_CERTIFICATE = re.compile(r"^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+^-----END CERTIFICATE-----$", re.MULTILINE)
_ERROR = re.compile(r"^[0-9A-F]+:error:[^:]*:[^:]*:[^:]*:([^:\n]+)", re.MULTILINE)


def why_not() -> str:
    """Say why the system's openssl cannot ask a QUIC listener, or nothing."""
    try:
        # By what it can do, and not by its version: QUIC may have been left out when it was built.
        can = run(["openssl", "s_client", "-help"], timeout_seconds=_LOOK_SECONDS)
        if is_capable((can.stdout + can.stderr).decode("utf-8", "replace")):
            return ""
        said = run(["openssl", "version"], timeout_seconds=_LOOK_SECONDS).stdout.decode("utf-8", "replace")
        return _needs(f"here is {version_of(said)}")
    except CommandMissing:
        return _needs("here is none")
    except ExodusError as error:
        return _needs(str(error))


def is_capable(help_text: str) -> bool:
    """Tell from what `openssl s_client -help` prints whether it speaks QUIC."""
    return re.search(r"^ *-quic\b", help_text, re.MULTILINE) is not None


def version_of(text: str) -> str:
    """Give the version in what `openssl version` prints."""
    found = _VERSION.match(text)
    return found[0].removeprefix("OpenSSL ") if found else "another one"


def _needs(why: str) -> str:
    return (
        f"asking needs the program openssl, 3.2 or newer and with QUIC; {why}; "
        "it shows what the TLS listener of the same server shows"
    )


def leaf(address: str, port: int, sni: str | None, key_type: KeyType | None, timeout_seconds: float) -> bytes:
    """Give the leaf in DER form that a QUIC listener shows; raise OSError, and ExodusError with openssl's words."""
    _knock(address, port)
    host = f"[{address}]" if ":" in address else address
    argv = ["openssl", "s_client", "-quic", "-alpn", "h3", "-connect", f"{host}:{port}", "-showcerts"]
    argv += ["-servername", sni] if sni else ["-noservername"]
    argv += ["-sigalgs", _SIGNATURES[key_type]] if key_type else []
    done = _answered(argv, Deadline.after(timeout_seconds, SystemClock()))
    return leaf_in(done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def _answered(argv: Sequence[str], deadline: Deadline) -> Finished:
    """Ask anew after one, two, four seconds: without `reuseport` nginx's workers take each other's packets away."""
    attempt_seconds = _FIRST_ATTEMPT_SECONDS
    while not deadline.is_past():
        seconds = min(attempt_seconds, deadline.remaining_seconds())
        with suppress(CommandTimedOut):
            return run(argv, timeout_seconds=seconds, most_output_bytes=_MOST_OUTPUT_BYTES)
        attempt_seconds *= 2
    raise TimeoutError


def leaf_in(stdout: str, stderr: str) -> bytes:
    """Read the leaf from what `openssl s_client -showcerts` prints; raise ExodusError with its reason otherwise."""
    found = _CERTIFICATE.search(stdout)
    if found is not None:
        return ssl.PEM_cert_to_DER_cert(found[0])
    errors = _ERROR.findall(stderr)
    raise ExodusError(errors[0] if errors else "openssl showed no certificate")


def _knock(address: str, port: int) -> None:
    """Raise ConnectionRefusedError where nobody listens: openssl would wait for its whole time.

    What is sent is no QUIC packet, and dropped (RFC 9000, section 17.2: the fixed bit). Of an address of this machine
    the kernel knows at once.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        probe.connect((address, port))
        probe.send(b"\0")
        with suppress(BlockingIOError):
            probe.recv(1)

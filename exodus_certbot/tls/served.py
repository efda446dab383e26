"""The door to what nginx serves: fresh TLS handshakes, never resumed, never trusted, only looked at."""

import os
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path

from exodus_certbot.model import Expectation, KeyType, Observation
from exodus_certbot.tls import handshake, x509
from exodus_common.errors import ExodusError
from exodus_common.process import run

_HERE = Path(__file__).parent
_CIPHERS = {None: "", KeyType.RSA: "aRSA", KeyType.ECDSA: "aECDSA"}
# What servers answer, or OpenSSL itself says, when the other side does not speak TLS 1.2.
_SPEAKS_ONLY_TLS_1_3 = {"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "SSLV3_ALERT_HANDSHAKE_FAILURE"}


@dataclass(frozen=True, slots=True)
class Question:
    """Say whom to ask for what: an address (or `unix:/path`), a name, and a key type where the server has several."""

    address: str
    port: int | None
    sni: str | None
    proxy_protocol: bool
    key_type: KeyType | None

    @classmethod
    def of(cls, expectation: Expectation) -> "Question":
        """Turn an expectation into a question."""
        service, listener = expectation.service, expectation.service.listener
        address = listener.ask_address or listener.address
        return cls(address, listener.port, service.sni, listener.proxy_protocol, expectation.force_key_type)


def ask(question: Question, timeout_seconds: float) -> Observation:
    """Make one handshake and report the leaf that was served, or what went wrong."""
    try:
        return Observation(x509.certificate_of_der(_leaf(question, timeout_seconds)))
    except ExodusError as error:
        return Observation(None, f"the handshake failed: {error}")
    except (ConnectionRefusedError, FileNotFoundError):
        return Observation(None, "connection refused: nginx has not opened this listener")
    except TimeoutError:
        return Observation(None, f"no answer within {timeout_seconds:.1f} s")
    except ssl.SSLError as error:
        return Observation(None, f"the handshake failed: {error.reason or error}")
    except OSError as error:
        return Observation(None, f"cannot connect: {error.strerror or error}")


def _leaf(question: Question, timeout_seconds: float) -> bytes:
    """Choose the key type by cipher suite where the server speaks TLS 1.2, else by signature algorithm."""
    if question.key_type is KeyType.ED25519:
        return _leaf_by_signature_algorithm(question, timeout_seconds)
    try:
        return handshake.handshake(
            question.address,
            question.port,
            question.sni,
            proxy_protocol=question.proxy_protocol,
            ciphers=_CIPHERS[question.key_type],
            timeout_seconds=timeout_seconds,
        )
    except ssl.SSLError as error:
        if question.key_type is None or error.reason not in _SPEAKS_ONLY_TLS_1_3:
            raise
        return _leaf_by_signature_algorithm(question, timeout_seconds)


def _leaf_by_signature_algorithm(question: Question, timeout_seconds: float) -> bytes:
    port = "" if question.port is None else str(question.port)
    proxied = "1" if question.proxy_protocol else ""
    finished = run(
        [
            sys.executable,
            "-I",
            handshake.__file__,
            question.address,
            port,
            question.sni or "",
            proxied,
            str(timeout_seconds),
        ],
        timeout_seconds=timeout_seconds + 1,
        env=os.environ | {"OPENSSL_CONF": str(_HERE / "openssl" / f"{question.key_type}.cnf")},
    )
    if finished.exit_code != 0:
        raise ExodusError(finished.stderr.decode("utf-8", "replace").strip()[-200:])
    return bytes.fromhex(finished.stdout.decode("ascii"))

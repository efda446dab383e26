"""The door to what nginx serves: fresh TLS handshakes, never resumed, never trusted, only looked at."""

import os
import ssl
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exodus_certbot.model import Expectation, KeyType, Observation
from exodus_certbot.tls import handshake, quic, starttls, x509
from exodus_common.errors import ExodusError
from exodus_common.process import run

_HERE = Path(__file__).parent
_CIPHERS = {None: "", KeyType.RSA: "aRSA", KeyType.ECDSA: "aECDSA"}
# What servers answer, or OpenSSL itself says, when the other side does not speak TLS 1.2.
_SPEAKS_ONLY_TLS_1_3 = {"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "SSLV3_ALERT_HANDSHAKE_FAILURE"}


@dataclass(frozen=True, slots=True)
class Question:
    """Say whom to ask for what: an address (or `unix:/path`), a name, and a key type where the server has several.

    `starttls` is the protocol that is spoken before TLS begins, or empty; `quic` takes TCP's place.
    """

    address: str
    port: int | None
    sni: str | None
    proxy_protocol: bool
    key_type: KeyType | None
    starttls: str = ""
    quic: bool = False

    @classmethod
    def of(cls, expectation: Expectation) -> "Question":
        """Turn an expectation into a question."""
        service, listener = expectation.service, expectation.service.listener
        address = listener.ask_address or listener.address
        return cls(
            address,
            listener.port,
            service.sni,
            listener.proxy_protocol,
            expectation.force_key_type,
            listener.starttls,
            listener.quic,
        )

    @property
    def before_tls(self) -> handshake.BeforeTls | None:
        """Give what has to be said in clear text first."""
        return partial(starttls.begin, protocol=self.starttls) if self.starttls else None


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
    except starttls.Refused as error:
        return Observation(None, f"STARTTLS failed: {error}")
    except ssl.SSLError as error:
        return Observation(None, f"the handshake failed: {error.reason or error}")
    except OSError as error:
        return Observation(None, f"cannot connect: {error.strerror or error}")


def _leaf(question: Question, timeout_seconds: float) -> bytes:
    """Choose the key type by cipher suite where the server speaks TLS 1.2, else by signature algorithm."""
    if question.quic:
        assert question.port is not None
        return quic.leaf(question.address, question.port, question.sni, question.key_type, timeout_seconds)
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
            before_tls=question.before_tls,
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
            question.starttls,
        ],
        timeout_seconds=timeout_seconds + 1,
        env=os.environ | {"OPENSSL_CONF": str(_HERE / "openssl" / f"{question.key_type}.cnf")},
    )
    if finished.exit_code != 0:
        raise ExodusError(finished.stderr.decode("utf-8", "replace").strip()[-200:])
    return bytes.fromhex(finished.stdout.decode("ascii"))

"""The door to what nginx serves: fresh TLS handshakes, never resumed, never trusted, only looked at."""

import os
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exodus_certbot.model import Expectation, KeyType, Observation
from exodus_certbot.tls import handshake, quic, starttls, x509
from exodus_common.clock import Deadline, SystemClock
from exodus_common.errors import ExodusError
from exodus_common.process import CommandTimedOut, run

_HERE = Path(__file__).parent
_CIPHERS = {None: "", KeyType.RSA: "aRSA", KeyType.ECDSA: "aECDSA", KeyType.ED25519: ""}
# What servers answer, or OpenSSL itself says, when the other side does not speak TLS 1.2.
_REFUSED = "SSLV3_ALERT_HANDSHAKE_FAILURE"
_SPEAKS_ONLY_TLS_1_3 = {"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", _REFUSED}


class _HandshakeFailed(ExodusError):
    """Say, in OpenSSL's words, why the process with a configuration of its own made no handshake."""


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


def ask_again(question: Question, times: int, timeout_seconds: float) -> list[Observation]:
    """Make so many handshakes, none after one that fails, all within the timeout; report each."""
    deadline, seen = Deadline.after(timeout_seconds, SystemClock()), list[Observation]()
    try:
        for leaf in _leaves(question, times, deadline):
            seen.append(Observation(x509.certificate_of_der(leaf)))
    except OSError as error:
        seen.append(_failure(error, timeout_seconds))
    except ExodusError as error:
        refused = isinstance(error, _HandshakeFailed) and str(error) == _REFUSED
        seen.append(Observation(None, f"the handshake failed: {error}", refused))
    return seen


def _failure(error: OSError, timeout_seconds: float) -> Observation:
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
        return Observation(None, "connection refused: nginx has not opened this listener")
    if isinstance(error, TimeoutError):
        return Observation(None, f"no answer within {timeout_seconds:.1f} s")
    if isinstance(error, starttls.Refused):
        return Observation(None, f"STARTTLS failed: {error}")
    if isinstance(error, ssl.SSLError):
        return Observation(None, f"the handshake failed: {error.reason or error}")
    return Observation(None, f"cannot connect: {error.strerror or error}")


def _leaves(question: Question, times: int, deadline: Deadline) -> Iterator[bytes]:
    """Choose the key type by cipher suite where the server speaks TLS 1.2, else by signature algorithm."""
    if question.quic:
        assert question.port is not None
        for _ in range(times):
            seconds = deadline.remaining_seconds()
            yield quic.leaf(question.address, question.port, question.sni, question.key_type, seconds)
        return
    if question.key_type is KeyType.ED25519:
        yield from _leaves_by_signature_algorithm(question, times, deadline)
        return
    for made in range(times):
        try:
            yield handshake.shown_leaf(shaken(question, deadline))
        except ssl.SSLError as error:
            if question.key_type is None or error.reason not in _SPEAKS_ONLY_TLS_1_3:
                raise
            yield from _leaves_by_signature_algorithm(question, times - made, deadline)
            return


def shaken(question: Question, deadline: Deadline) -> ssl.SSLObject:
    """Make one handshake, with a key type chosen by cipher suite where the server speaks TLS 1.2."""
    return handshake.handshake(
        question.address,
        question.port,
        question.sni,
        proxy_protocol=question.proxy_protocol,
        ciphers=_CIPHERS[question.key_type],
        timeout_seconds=deadline.remaining_seconds(),
        before_tls=question.before_tls,
    )


def _leaves_by_signature_algorithm(question: Question, times: int, deadline: Deadline) -> Iterator[bytes]:
    seconds = deadline.remaining_seconds()
    where = [question.address, "" if question.port is None else str(question.port), question.sni or ""]
    how = ["1" if question.proxy_protocol else "", question.starttls, str(times), str(seconds)]
    openssl_conf = str(_HERE / "openssl" / f"{question.key_type}.cnf")
    try:
        finished = run(
            [sys.executable, "-I", handshake.__file__, *where, *how],
            timeout_seconds=seconds,
            env=os.environ | {"OPENSSL_CONF": openssl_conf},
        )
    except CommandTimedOut as error:
        raise TimeoutError from error
    yield from map(bytes.fromhex, finished.stdout.decode("ascii").split())
    if finished.exit_code == handshake.TIMED_OUT:
        raise TimeoutError
    if finished.exit_code != 0:
        raise _HandshakeFailed(finished.stderr.decode("utf-8", "replace").strip()[-200:])

"""Ask a listener for the whole chain that it sends, not only for its leaf."""

import ssl
from collections.abc import Sequence

from exodus_certbot.model import KeyType
from exodus_certbot.tls import handshake
from exodus_certbot.tls.served import Question

_CIPHERS = {None: "", KeyType.RSA: "aRSA", KeyType.ECDSA: "aECDSA", KeyType.ED25519: ""}
_DER = 2  # _ssl.ENCODING_DER


def ask(question: Question, timeout_seconds: float) -> tuple[bytes, ...]:
    """Give what is sent, in DER form and the leaf first; nothing where the handshake or Python does not show it."""
    try:
        with handshake._connect(question.address, question.port, timeout_seconds) as plain:
            if question.proxy_protocol:
                plain.sendall(handshake.PROXY_HEADER)
            context = handshake._context(_CIPHERS[question.key_type])
            with context.wrap_socket(plain, server_hostname=question.sni) as tls:
                return tuple(unverified(tls))
    except (OSError, AttributeError):
        return ()


def unverified(tls: ssl.SSLSocket | ssl.SSLObject) -> Sequence[bytes]:
    """Give the chain of a handshake that was made, in DER form; nobody has verified it."""
    if hasattr(tls, "get_unverified_chain"):
        shown: Sequence[bytes] = tls.get_unverified_chain()
        return shown
    # Python before 3.13 has it for the standard library's own use (github.com/sethmlarson/truststore relies on it).
    return [one.public_bytes(_DER) for one in tls._sslobj.get_unverified_chain() or ()]  # type: ignore[union-attr]

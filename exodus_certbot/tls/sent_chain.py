"""Ask a listener for the whole chain that it sends, not only for its leaf."""

import ssl
from collections.abc import Sequence

from exodus_certbot.tls import served
from exodus_certbot.tls.served import Question
from exodus_common.clock import Deadline, SystemClock

_DER = 2  # _ssl.ENCODING_DER


def ask(question: Question, timeout_seconds: float) -> tuple[bytes, ...]:
    """Give what is sent, in DER form and the leaf first; nothing where the handshake or Python does not show it."""
    if question.quic:
        return ()
    try:
        return tuple(unverified(served.shaken(question, Deadline.after(timeout_seconds, SystemClock()))))
    except (OSError, AttributeError):
        return ()


def unverified(tls: ssl.SSLSocket | ssl.SSLObject) -> Sequence[bytes]:
    """Give the chain of a handshake that was made, in DER form; nobody has verified it."""
    if hasattr(tls, "get_unverified_chain"):
        shown: Sequence[bytes] = tls.get_unverified_chain()
        return shown
    # Python before 3.13 has it for the standard library's own use (github.com/sethmlarson/truststore relies on it).
    return [one.public_bytes(_DER) for one in tls._sslobj.get_unverified_chain() or ()]  # type: ignore[union-attr]

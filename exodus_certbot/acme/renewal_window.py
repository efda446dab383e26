"""Decide when a CA wants a certificate to be renewed: ACME Renewal Information, RFC 9773."""

import base64
from collections.abc import Mapping
from datetime import datetime

from cryptography import x509

from exodus_certbot.model import RenewalWindow


def certificate_id(certificate: x509.Certificate) -> str:
    """Name a certificate to its CA (RFC 9773, section 4.1); raise `ValueError` where it does not say who signed it."""
    try:
        authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        authority = None
    if authority is None:
        raise ValueError("the certificate has no authority key identifier")
    serial = certificate.serial_number
    # DER: a leading zero byte where the first bit is set, since serial numbers are not negative.
    return f"{_base64url(authority)}.{_base64url(serial.to_bytes(serial.bit_length() // 8 + 1))}"


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def parse(lineage: str, answer: object) -> RenewalWindow:
    """Read a CA's answer (RFC 9773, section 4.2); raise `ValueError` where it is none."""
    window = answer.get("suggestedWindow") if isinstance(answer, Mapping) else None
    if not isinstance(window, Mapping):
        raise ValueError("the CA's answer has no suggestedWindow")
    start, end = (datetime.fromisoformat(str(window.get(name))) for name in ("start", "end"))
    if start.tzinfo is None or end.tzinfo is None or end < start:
        raise ValueError("the CA's suggestedWindow makes no sense")
    return RenewalWindow(lineage, start, end)

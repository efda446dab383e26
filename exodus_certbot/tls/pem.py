"""Read PEM files as nginx does, that is as OpenSSL does (PEM_read_bio_X509_AUX, then PEM_read_bio_X509)."""

import binascii
import re

# A block begins at the start of a line; OpenSSL skips a byte order mark, and whatever else stands between blocks.
_BLOCK = re.compile(
    rb"(?:\A\xef\xbb\xbf|^)-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[ \t\r]*\n(.*?)^-----END \1-----",
    re.DOTALL | re.MULTILINE,
)
_TRUSTED = b"TRUSTED CERTIFICATE"


def certificates_in(pem: bytes) -> tuple[bytes, ...]:
    """Give the DER forms of what nginx sends, the leaf first; raise ValueError for what is not base64.

    A trusted certificate counts as the leaf only: nginx looks for no such thing behind it.
    """
    blocks = _BLOCK.findall(pem)
    sent = [block for position, block in enumerate(blocks) if position == 0 or block[0] != _TRUSTED]
    return tuple(_der(label, body) for label, body in sent)


def _der(label: bytes, body: bytes) -> bytes:
    der = binascii.a2b_base64(body)
    return first_value(der) if label == _TRUSTED else der


def first_value(der: bytes) -> bytes:
    """Leave out what OpenSSL keeps behind a trusted certificate: for which purposes it is trusted."""
    if len(der) < 2 or der[1] < 0x80:
        return der[: 2 + der[1]] if len(der) >= 2 else der
    length_bytes = der[1] & 0x7F
    return der[: 2 + length_bytes + int.from_bytes(der[2 : 2 + length_bytes], "big")]

"""The door to X.509: turn PEM and DER into our values, with `cryptography` (38 and newer, as in Debian 12)."""

import functools
import hashlib
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from exodus_certbot.model import Certificate, KeyType
from exodus_certbot.tls.pem import certificates_in
from exodus_common.errors import ExodusError

# What `cryptography` raises for a certificate that it cannot read; not all of them are ValueErrors.
UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_KEY_TYPES = {rsa.RSAPublicKey: KeyType.RSA, ec.EllipticCurvePublicKey: KeyType.ECDSA}


class CertificateUnreadable(ExodusError):
    """Say that bytes are not the certificate they should be."""


def leaf_of_pem(pem: bytes) -> Certificate:
    """Describe the first certificate of a PEM file, which is the one nginx serves as the leaf."""
    try:
        found = certificates_in(pem)
    except ValueError as error:
        raise CertificateUnreadable(f"holds a certificate that cannot be read: {error}") from error
    if not found:
        raise CertificateUnreadable("holds no certificate in PEM form")
    return certificate_of_der(found[0])


@functools.lru_cache(maxsize=4096)
def certificate_of_der(der: bytes) -> Certificate:
    """Describe a certificate in DER form, as a handshake delivers it."""
    try:
        parsed = x509.load_der_x509_certificate(der)
        not_before, not_after = validity(parsed)
        return Certificate(
            sha256=hashlib.sha256(der).hexdigest(),
            key_type=_key_type(parsed),
            names=_names(parsed),
            not_before=not_before,
            not_after=not_after,
        )
    except UNREADABLE as error:
        raise CertificateUnreadable(f"is a certificate that cannot be read: {error}") from error


def validity(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    """Say from when to when a certificate is valid."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    # cryptography before 42, which Debian 12 has, knows naive times in UTC only.
    return certificate.not_valid_before.replace(tzinfo=UTC), certificate.not_valid_after.replace(tzinfo=UTC)


def _key_type(certificate: x509.Certificate) -> KeyType:
    public_key = certificate.public_key()
    for kind, key_type in _KEY_TYPES.items():
        if isinstance(public_key, kind):
            return key_type
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return KeyType.ED25519
    raise CertificateUnreadable(f"has a key of a kind that is not known here: {type(public_key).__name__}")


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts = alternative.get_values_for_type(x509.DNSName)
    addresses = alternative.get_values_for_type(x509.IPAddress)
    return (*hosts, *(str(address) for address in addresses))

"""The door to X.509: turn PEM and DER into our values, with `cryptography` (38 and newer, as in Debian 12)."""

import functools
import hashlib
import re
import ssl
from datetime import UTC, datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from exodus_certbot.model import Certificate, KeyType
from exodus_common.errors import ExodusError

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY_TYPES = {rsa.RSAPublicKey: KeyType.RSA, ec.EllipticCurvePublicKey: KeyType.ECDSA}


class CertificateUnreadable(ExodusError):
    """Say that bytes are not the certificate they should be."""


def leaf_of_pem(pem: bytes) -> Certificate:
    """Describe the first certificate of a PEM file, which is the one nginx serves as the leaf."""
    found = _PEM.search(pem)
    if not found:
        raise CertificateUnreadable("holds no certificate in PEM form")
    try:
        return certificate_of_der(ssl.PEM_cert_to_DER_cert(found[0].decode("ascii")))
    except ValueError as error:
        raise CertificateUnreadable(f"holds a certificate that cannot be read: {error}") from error


@functools.lru_cache(maxsize=4096)
def certificate_of_der(der: bytes) -> Certificate:
    """Describe a certificate in DER form, as a handshake delivers it."""
    try:
        parsed = x509.load_der_x509_certificate(der)
        not_before, not_after = _validity(parsed)
        return Certificate(
            sha256=hashlib.sha256(der).hexdigest(),
            key_type=_key_type(parsed),
            names=_names(parsed),
            not_before=not_before,
            not_after=not_after,
        )
    except ValueError as error:
        raise CertificateUnreadable(f"is a certificate that cannot be read: {error}") from error


def chain_fault(pem: bytes) -> str:
    """Say what is wrong with the order of a PEM chain (RFC 5246, section 7.4.2), or nothing."""
    try:
        chain = [x509.load_pem_x509_certificate(block) for block in _PEM.findall(pem)]
    except ValueError as error:
        return f"holds a certificate that cannot be read: {error}"
    for position, (certificate, issuer) in enumerate(pairwise(chain), start=1):
        if not _is_issued_by(certificate, issuer):
            return (
                f"is out of order: certificate {position} ({_common_name(certificate)}) was not issued by "
                f"certificate {position + 1} ({_common_name(issuer)})"
            )
    return ""


def certificates_in(pem: bytes) -> tuple[bytes, ...]:
    """List the DER forms of all certificates of a PEM file."""
    return tuple(ssl.PEM_cert_to_DER_cert(block.decode("ascii", "replace")) for block in _PEM.findall(pem))


def _validity(certificate: x509.Certificate) -> tuple[datetime, datetime]:
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


def _common_name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "no subject"


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if certificate.issuer != issuer.subject:
        return False
    key, digest = issuer.public_key(), certificate.signature_hash_algorithm
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    try:
        if isinstance(key, rsa.RSAPublicKey) and digest is not None:
            key.verify(signature, signed, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and digest is not None:
            key.verify(signature, signed, ec.ECDSA(digest))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True

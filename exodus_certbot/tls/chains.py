"""The door to chains: who has issued whom, and until when each certificate is valid."""

import functools
import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa

from exodus_certbot.chain import Chain, Link, Order
from exodus_certbot.tls.x509 import UNREADABLE, CertificateUnreadable, validity

_PSS = x509.ObjectIdentifier("1.2.840.113549.1.1.10")
# Those that public CAs may use, each with the same hash in MGF1 (CA/Browser Forum, Baseline Requirements, 7.1.3.2.1).
_PSS_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def chain_of(ders: Sequence[bytes]) -> Chain:
    """Describe a chain whose certificates are in DER form, the leaf first; raise `CertificateUnreadable`."""
    try:
        links = tuple(_link(der) for der in ders)
        order, disorder = _order(ders)
    except UNREADABLE as error:
        raise CertificateUnreadable(f"holds a certificate that cannot be read: {error}") from error
    return Chain(links, order, disorder)


def sha256(der: bytes) -> str:
    """Give the fingerprint by which certificates are compared."""
    return hashlib.sha256(der).hexdigest()


@functools.lru_cache(maxsize=1024)
def _parsed(der: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(der)


def _link(der: bytes) -> Link:
    certificate = _parsed(der)
    return Link(_shown(certificate), *validity(certificate), self_issued=certificate.issuer == certificate.subject)


def _shown(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "no subject"


def _order(ders: Sequence[bytes]) -> tuple[Order, str]:
    for position, (der, following) in enumerate(pairwise(ders), start=1):
        if is_issued_by(der, following) is not False:
            continue
        is_joined = any(is_issued_by(ders[0], other) is not False for other in ders[1:])
        return Order.MIXED if is_joined else Order.BROKEN, (
            f"is out of order: certificate {position} ({_shown(_parsed(der))}) was not issued by "
            f"certificate {position + 1} ({_shown(_parsed(following))})"
        )
    return Order.IN_ORDER, ""


@functools.lru_cache(maxsize=1024)
def is_issued_by(der: bytes, issuer_der: bytes) -> bool | None:
    """Tell whether one certificate was signed by the key of another; None where that cannot be judged here."""
    certificate, issuer = _parsed(der), _parsed(issuer_der)
    if _folded(certificate.issuer) != _folded(issuer.subject):
        return False
    try:
        found = [_verifies(certificate, issuer, way) for way in _ways(certificate, issuer)]
    except (UnsupportedAlgorithm, ValueError, TypeError):
        return None
    # What was tried for PSS is not all that there is.
    return True if any(found) else None if certificate.signature_algorithm_oid == _PSS or not found else False


def _folded(name: x509.Name) -> str:
    """Spell a name so that two that OpenSSL takes for the same are the same (X509_NAME_cmp)."""
    return " ".join(name.rfc4514_string().split()).casefold()


_Way = tuple[object, ...]


def _ways(certificate: x509.Certificate, issuer: x509.Certificate) -> Iterator[_Way]:
    """Give what `verify` of the issuer's key may need beside signature and text; nothing for a kind not known here."""
    key = issuer.public_key()
    if certificate.signature_algorithm_oid == _PSS:
        # cryptography before 41 cannot say which hash it is.
        yield from ((padding.PSS(padding.MGF1(one()), padding.PSS.AUTO), one()) for one in _PSS_HASHES)
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        yield ()
    elif (digest := certificate.signature_hash_algorithm) is not None:
        if isinstance(key, rsa.RSAPublicKey):
            yield padding.PKCS1v15(), digest
        elif isinstance(key, ec.EllipticCurvePublicKey):
            yield (ec.ECDSA(digest),)
        elif isinstance(key, dsa.DSAPublicKey):
            yield (digest,)


def _verifies(certificate: x509.Certificate, issuer: x509.Certificate, way: _Way) -> bool:
    try:
        issuer.public_key().verify(certificate.signature, certificate.tbs_certificate_bytes, *way)  # type: ignore[union-attr, arg-type]
    except InvalidSignature:
        return False
    return True

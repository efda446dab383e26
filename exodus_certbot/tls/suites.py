"""The door to OpenSSL's cipher strings: with which versions of TLS a server could show which kind of key."""

import functools
import ssl
from dataclasses import replace

from exodus_certbot.model import KeyType, Suites
from exodus_certbot.tls import signatures

_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
# A suite knows its oldest version: OpenSSL has none that began with TLS 1.1.
_SINCE = {"SSLv3": "TLSv1", "TLSv1.0": "TLSv1"}
_SHOWS = {
    "auth-rsa": (KeyType.RSA,),
    "auth-ecdsa": (KeyType.ECDSA, KeyType.ED25519),
    "auth-any": tuple(KeyType),  # TLS 1.3 chooses the signature apart from the suite
}


@functools.lru_cache(maxsize=256)
def usable(suites: Suites) -> frozenset[tuple[str, KeyType]] | None:
    """List the pairs of version and key type that a server allows; None where that is not known here."""
    signing = {version: signatures.kinds(suites.signatures, version) for version in suites.protocols}
    if not suites.is_clear or None in signing.values():
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.set_ciphers(suites.ciphers)
    except (ssl.SSLError, ValueError):
        return None
    found: set[tuple[str, KeyType]] = set()
    for suite in context.get_ciphers():
        if suite["kea"] == "kx-dhe" and not suites.has_dhparam:
            continue
        since = _SINCE.get(suite["protocol"], suite["protocol"])
        # TLS 1.3 has suites of its own, which no older version has.
        versions = _VERSIONS[3:] if since == "TLSv1.3" else _VERSIONS[_VERSIONS.index(since) : 3]
        found |= {(version, kind) for version in versions for kind in _SHOWS.get(suite["auth"], ())}
    return frozenset((version, kind) for version, kind in found if _can_sign(kind, signing.get(version)))


def _can_sign(kind: KeyType, signing: frozenset[KeyType] | None) -> bool:
    return signing is None or kind in signing


def key_types(suites: Suites) -> frozenset[KeyType]:
    """Give the key types that some client can be shown; what is not known for certain is taken for possible.

    Whether the usual protocols have TLS 1.3, which has no suites for keys, a handshake tells.
    """
    found = usable(replace(suites, ciphers=f"{suites.ciphers}:@SECLEVEL=0"))
    if found is None:
        return frozenset(KeyType)
    if suites.are_usual:
        return frozenset(kind for version, kind in found if version != "TLSv1.3")
    return frozenset(kind for version, kind in found if version in suites.protocols)

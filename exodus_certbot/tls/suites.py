"""The door to OpenSSL's list of cipher suites: which key types a server can show with its protocols and suites."""

import ssl
from functools import cache

from exodus_certbot.model import KeyType

_NGINX_DEFAULT = "HIGH:!aNULL:!MD5"
_OF_AUTHENTICATION = {"auth-rsa": (KeyType.RSA,), "auth-ecdsa": (KeyType.ECDSA, KeyType.ED25519)}


@cache
def key_types(protocols: tuple[str, ...], ciphers: str) -> frozenset[KeyType]:
    """Give the key types that some client can be shown; all where TLS 1.3 is named, which has no suites for keys.

    Without protocols nginx's default holds, which has TLS 1.3 or not: that a handshake tells.
    """
    if any(protocol.lower() == "tlsv1.3" for protocol in protocols):  # nginx ignores their case
        return frozenset(KeyType)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.set_ciphers(f"{ciphers or _NGINX_DEFAULT}:@SECLEVEL=0")
    except ssl.SSLError:  # another OpenSSL than nginx's: what cannot be known is taken for possible
        return frozenset(KeyType)
    suites = [suite for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3"]
    return frozenset(kind for suite in suites for kind in _OF_AUTHENTICATION.get(str(suite.get("auth")), ()))

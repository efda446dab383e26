"""Decide which kinds of key can sign with a list of signature algorithms (SSL_CTX_set1_sigalgs_list(3))."""

import re

from exodus_certbot.model import KeyType

# Of TLS 1.3 each is for one curve (RFC 8446, section 4.2.3), and PKCS #1 v1.5 is none of its.
_P256 = re.compile(r"ecdsa_secp256r1_sha256|ecdsa\+sha-?256")
_P384 = re.compile(r"ecdsa_secp384r1_sha384|ecdsa\+sha-?384")
_ECDSA = re.compile(r"ecdsa_\w+|ecdsa\+[\w-]+")
_PSS = re.compile(r"rsa_pss_rsae_\w+|(?:rsa-)?pss\+[\w-]+")
_PKCS1 = re.compile(r"rsa_pkcs1_\w+|rsa\+[\w-]+")
_OF_OTHER_KEYS = re.compile(r"ed448|rsa_pss_pss_\w+|dsa_\w+|dsa\+[\w-]+")


def kinds(listed: str, version: str) -> frozenset[KeyType] | None:
    """Give the key types that can sign with a version of TLS; None where that is not known for certain."""
    if not listed or version in ("TLSv1", "TLSv1.1"):  # these have no such choice
        return frozenset(KeyType)
    words = [word.lstrip("?") for word in listed.lower().split(":")]
    if not all(_is_known(word) for word in words):
        return None
    if version == "TLSv1.3":
        return _of_tls_1_3(words)
    rsa = {KeyType.RSA} if _has(words, _PSS) or _has(words, _PKCS1) else set()
    ecdsa = {KeyType.ECDSA} if _has(words, _ECDSA) else set()
    return frozenset(rsa | ecdsa | _ed25519(words))


def _of_tls_1_3(words: list[str]) -> frozenset[KeyType] | None:
    curves = _has(words, _P256), _has(words, _P384)
    if any(curves) and not all(curves):
        return None  # it depends on the curve
    ecdsa = {KeyType.ECDSA} if all(curves) else set()
    rsa = {KeyType.RSA} if _has(words, _PSS) else set()
    return frozenset(rsa | ecdsa | _ed25519(words))


def _ed25519(words: list[str]) -> set[KeyType]:
    return {KeyType.ED25519} if "ed25519" in words else set()


def _has(words: list[str], algorithm: re.Pattern[str]) -> bool:
    return any(algorithm.fullmatch(word) for word in words)


def _is_known(word: str) -> bool:
    return word == "ed25519" or any(one.fullmatch(word) for one in (_ECDSA, _PSS, _PKCS1, _OF_OTHER_KEYS))

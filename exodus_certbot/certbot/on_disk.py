"""The door to what a reload would load: does the key fit, which chain would be sent, and which was before."""

import os
import re
import ssl
from collections.abc import Iterator
from datetime import datetime

from exodus_certbot.certbot.lineage import read_bytes
from exodus_certbot.chain import Chain
from exodus_certbot.model import KeyType, Pair
from exodus_certbot.tls import chains, pem, x509
from exodus_common.errors import ExodusError
from exodus_common.render import printable

_NO_FILE = ("data:", "engine:", "store:")
_VERSIONED = re.compile(r"(fullchain|cert)(\d+)\.pem")


def chain(pair: Pair) -> Chain | None:
    """Describe the chain that nginx would send; None where it cannot be judged."""
    try:
        return chains.chain_of(pem.certificates_in(read_bytes(pair.source.certificate)))
    except (ExodusError, ValueError):
        return None


def lacks(pair: Pair) -> str:
    """Say whether fullchain.pem is less than leaf and chain; a server that was given cert.pem never had more."""
    certificate, lineage = pair.source.certificate, pair.lineage
    if pair.problem or lineage is None or os.path.basename(certificate) != "fullchain.pem":  # noqa: PTH119 - text
        return ""
    try:
        whole, rest = (pem.certificates_in(read_bytes(file)) for file in (certificate, lineage / "chain.pem"))
    except (ExodusError, ValueError):
        return ""  # a lineage without chain.pem is not certbot's, and says nothing of what is missing
    return f"lacks certificates that {lineage.name}'s chain.pem has" if set(rest) - set(whole) else ""


def earlier_chain(pair: Pair, served_sha256: str | None) -> Chain | None:
    """Describe the chain of the version that is served, or where no answer is known of the one before the present."""
    for file in _earlier_versions(pair):
        try:
            content = read_bytes(file)
            if served_sha256 in (None, x509.leaf_of_pem(content).sha256):
                return chains.chain_of(pem.certificates_in(content))
        except (ExodusError, ValueError):
            continue
    return None


def earlier_key_types(pair: Pair, now: datetime) -> frozenset[KeyType]:
    """Give the kinds of key that a lineage's earlier versions have, back to the first one that has ended."""
    found = set()
    for file in _earlier_versions(pair):
        try:
            leaf = x509.leaf_of_pem(read_bytes(file))
        except ExodusError:
            continue
        if leaf.not_after <= now:
            break
        found.add(leaf.key_type)
    return frozenset(found)


def _earlier_versions(pair: Pair) -> Iterator[str]:
    """Name the versions in certbot's archive before the present one, the latest first."""
    folder, present = os.path.split(os.path.realpath(pair.source.certificate)) if pair.lineage else ("", "")
    number = _VERSIONED.fullmatch(present)
    if number is None:
        return
    try:
        found = [_VERSIONED.fullmatch(name) for name in os.listdir(folder)]  # noqa: PTH208 - text, as in nginx
    except OSError:
        return
    versions = sorted((int(match[2]) for match in found if match and match[1] == number[1]), reverse=True)
    yield from (f"{folder}/{number[1]}{version}.pem" for version in versions if version < int(number[2]))


def key_fault(pair: Pair) -> str:
    """Say in a full phrase why nginx could not use the key for the certificate, or nothing."""
    certificate, key = pair.source.certificate, pair.source.key
    if pair.problem or any(path.startswith(_NO_FILE) or "$" in path for path in (certificate, key)):
        return pair.problem
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")  # how weak a key may be is for nginx's own test to say
    try:
        # An encrypted key stays closed to us (ssl_password_file): nginx's own test opens it.
        context.load_cert_chain(certificate, key, password=_no_password)
    except _KeyIsEncrypted:
        return ""
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"the key {printable(key)} does not belong to the certificate {printable(certificate)}"
        return f"{printable(key)} and {printable(certificate)} cannot be used: {error.reason or error}"
    except (OSError, ValueError) as error:
        return f"{printable(key)} cannot be read: {getattr(error, 'strerror', error)}"
    return ""


class _KeyIsEncrypted(Exception):
    pass


def _no_password() -> str:
    raise _KeyIsEncrypted

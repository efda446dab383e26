"""Decide what `ssl_conf_command` leaves a handshake to choose from: OpenSSL's own settings, which outdo nginx's.

Its names and values: SSL_CONF_cmd(3), "supported configuration file commands". nginx runs them last, in their order
(ngx_ssl_conf_commands() in ngx_event_openssl.c).
"""

from collections.abc import Sequence
from dataclasses import replace

from exodus_certbot.model import Suites

VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_OLDER = ("SSLv3",)
_NO_LIMIT = "None"
# They change neither which versions and suites there are nor which kinds of key can sign.
_NO_MATTER = frozenset(
    (
        *("clientsignaturealgorithms", "groups", "curves", "ecdhparameters", "options", "verifymode", "chaincapath"),
        *("chaincafile", "verifycapath", "verifycafile", "requestcafile", "requestcapath", "clientcafile"),
        *("clientcapath", "recordpadding", "numtickets", "serverinfofile"),
    )
)


def applied(usual: Suites, words: Sequence[str]) -> Suites:
    """Give what is left after commands, each a name and a value; `is_clear` is lost with one that is not known here."""
    found, lowest, highest = usual, VERSIONS[0], VERSIONS[-1]
    for name, value in zip(words[::2], words[1::2], strict=False):
        match name.lower():
            case "minprotocol" if _is_version(value):
                lowest = VERSIONS[0] if value in (_NO_LIMIT, *_OLDER) else value
                found = replace(found, are_usual=False)
            case "maxprotocol" if _is_version(value) and value not in _OLDER:
                highest = VERSIONS[-1] if value == _NO_LIMIT else value
            case "protocol":
                found = _with_protocols(found, value)
            case "cipherstring":
                found = replace(found, ciphers=value)
            case "signaturealgorithms":
                found = replace(found, signatures=value)
            case "dhparameters":
                found = replace(found, has_dhparam=True)
            case "ciphersuites" if value:
                pass  # of TLS 1.3, and they say nothing of keys
            case other if other not in _NO_MATTER:
                found = replace(found, is_clear=False)
    allowed = VERSIONS[VERSIONS.index(lowest) : VERSIONS.index(highest) + 1]
    left = tuple(version for version in found.protocols if version in allowed)
    return replace(found, protocols=left, by_commands=bool(words))


def _is_version(value: str) -> bool:
    return value in (_NO_LIMIT, *_OLDER, *VERSIONS)


def _with_protocols(usual: Suites, listed: str) -> Suites:
    """Add and take away versions, in their order, as `Protocol` does: `ALL,-TLSv1.3`."""
    by_name = {version.lower(): {version} for version in VERSIONS} | {"all": set(VERSIONS)}
    by_name |= {other: set() for other in ("sslv2", "sslv3", "dtlsv1", "dtlsv1.2")}
    have = set(usual.protocols)
    for word in (word.strip().lower() for word in listed.split(",")):
        named = by_name.get(word.lstrip("+-"))
        if named is None:
            return replace(usual, is_clear=False)
        have = have - named if word.startswith("-") else have | named
    return replace(usual, protocols=tuple(one for one in VERSIONS if one in have), are_usual=False)

"""Decide what to ask for, given what stands after `server_name`, and which names a certificate covers.

The forms of a name: <https://nginx.org/en/docs/http/server_names.html>.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

INVENTED_LABEL = "exodus-certbot-probe"
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Probe:
    """Say what to ask for (`sni`; None: no name) to reach the server that has `pattern`, or why that cannot be."""

    pattern: str
    sni: str | None
    not_probed: str = ""


def probes_for(written: str, *, is_default: bool) -> Iterator[Probe]:
    """Give the probes for one word after `server_name`; `.example.org` stands for two names."""
    name = written.lower()
    if name.startswith("~"):
        yield Probe(written, None, "a regular expression: which names it means cannot be known")
    elif name.startswith(".") and len(name) > 1:
        yield _hostname(name[1:], name[1:], is_default)
        yield _hostname("*" + name, INVENTED_LABEL + name, is_default)
    elif name.startswith("*."):
        yield _hostname(name, INVENTED_LABEL + name[1:], is_default)
    elif name.endswith(".*"):
        yield _hostname(name, name[:-1] + INVENTED_LABEL, is_default)
    else:
        yield _hostname(name, name, is_default)


def _hostname(pattern: str, sni: str, is_default: bool) -> Probe:
    if is_host_name(sni):
        return Probe(pattern, sni)
    if is_default:
        return Probe(pattern, None)
    return Probe(pattern, None, "no handshake can ask for it (RFC 6066, section 3), and another server is the default")


def is_host_name(name: str) -> bool:
    """Tell whether a handshake can ask for a name (RFC 6066, section 3)."""
    return bool(_HOST_NAME.fullmatch(name)) and name != "_" and not is_address(name)


def is_address(name: str) -> bool:
    """Tell whether a name is an IP address, which a handshake never carries (RFC 6066, section 3)."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def is_covered(pattern: str, certificate_names: Iterable[str]) -> bool:
    """Tell whether a client that asked for a server name would accept a certificate (RFC 9525, section 6.3).

    What no client asks for by itself (`_`, an empty name, a regular expression, `www.*`) counts as covered.
    """
    if pattern in ("", "_") or pattern.startswith("~") or pattern.endswith(".*"):
        return True
    names = {name.lower() for name in certificate_names}
    if is_address(pattern):
        return str(ipaddress.ip_address(pattern.strip("[]"))) in names
    return pattern in names or "*." + pattern.partition(".")[2] in names

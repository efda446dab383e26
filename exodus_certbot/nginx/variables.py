"""Decide what is known of a text with variables in it: whether it depends on the name that a handshake asks for."""

import re
from collections.abc import Iterable, Mapping

from exodus_certbot.nginx.config import Directive

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII | re.IGNORECASE)
_NAME_ASKED_FOR = re.compile(r"\$(?:ssl_server_name\b|\{ssl_server_name\})", re.ASCII | re.IGNORECASE)
_SERVER_NAME = re.compile(r"\$(?:server_name\b|\{server_name\})", re.ASCII | re.IGNORECASE)
# What nginx knows before any name was asked for, or from the server block alone.
_SAME_FOR_ALL_NAMES = {
    *("acme_certificate", "acme_certificate_key", "binary_remote_addr", "connection", "date_gmt", "date_local"),
    *("hostname", "msec", "nginx_version", "pid", "proxy_protocol_addr", "proxy_protocol_port"),
    *("proxy_protocol_server_addr", "proxy_protocol_server_port", "remote_addr", "remote_port", "server_addr"),
    *("server_name", "server_port", "time_iso8601", "time_local"),
}


def made_of(block: Iterable[Directive]) -> dict[str, str]:
    """Say of each variable that `map`, `geo` and `split_clients` define what text its value is made of."""
    found = {}
    for one in block:
        if one.block is not None and one.args and one.args[-1].startswith("$"):
            values = [word for entry in one.block for word in entry.args]
            if one.name in ("map", "split_clients"):
                found[one.args[-1][1:].lower()] = " ".join([*one.args[:-1], *values])
            elif one.name == "geo":
                found[one.args[-1][1:].lower()] = " ".join(one.args[:-1])
    return found


def depend_on_name(text: str, made_of: Mapping[str, str]) -> bool:
    """Tell whether a text may have another value for another name; what is not known may."""
    wanted, seen = [text], set[str]()
    while wanted:
        for short, braced in _VARIABLE.findall(wanted.pop()):
            name = (short or braced).lower()
            if name in made_of and name not in seen:
                wanted.append(made_of[name])
            elif name not in made_of and name not in _SAME_FOR_ALL_NAMES:
                return True
            seen.add(name)
    return False


def with_name(text: str, name: str) -> str:
    """Fill in the name that a handshake asks for."""
    return _NAME_ASKED_FOR.sub(lambda _: name, text)


def with_server_name(text: str, names: tuple[str, ...]) -> str:
    """Fill in the first name of the server, as nginx has it (ngx_http_core_merge_srv_conf())."""
    first = names[0] if names[0].startswith("~") else names[0].lower().removeprefix(".")
    return _SERVER_NAME.sub(lambda _: first, text)


def pieces_around_name(text: str) -> list[str] | None:
    """Split a text at the name that a handshake asks for; None where it is not in it, or another variable is."""
    pieces = _NAME_ASKED_FOR.split(text)
    return None if len(pieces) == 1 or any("$" in piece for piece in pieces) else pieces

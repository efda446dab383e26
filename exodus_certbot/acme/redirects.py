"""Know what a CA asks for: the first URL of an HTTP-01 challenge, and the redirects that Let's Encrypt's follows.

The rules are those of Boulder, in its va/http.go.
"""

import string
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, urljoin, urlsplit

from exodus_certbot.nginx.http_listener import CA_PORT

CA_SECURE_PORT = 443
MOST_REDIRECTS = 10
_STATUSES = (301, 302, 303, 307, 308)
_PORTS = {"http": CA_PORT, "https": CA_SECURE_PORT}
_MOST_PATH_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Url:
    """Say what is asked for where; `target` is the path with its query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Give host and port as a URL and the header `Host` have them: an IPv6 address in brackets (RFC 3986)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def text(self) -> str:
        """Give the whole."""
        return f"{self.scheme}://{self.authority}{self.target}"


def first(name: str, path: str) -> Url:
    """Give what a CA asks for at first (RFC 8555, section 8.3)."""
    return Url("http", name, CA_PORT, path)


def is_redirect(status: int, location: str) -> bool:
    """Tell whether an answer leads elsewhere."""
    return status in _STATUSES and bool(location)


def followed(here: Url, location: str) -> Url:
    """Give where a redirect leads; raise `ValueError` with what keeps a CA from following it."""
    parts = urlsplit(urljoin(here.text, location))
    host, path = parts.hostname or "", parts.path or "/"
    if parts.scheme not in _PORTS:
        raise ValueError(f"redirects to {parts.scheme or 'nothing'}:, and CAs follow http: and https: only")
    if not host:
        raise ValueError("redirects to a URL without a host")
    if host.endswith(".well-known"):
        raise ValueError(f"redirects to {host}: a / is missing behind the host in nginx's return or rewrite")
    port = parts.port or _PORTS[parts.scheme]
    if port not in _PORTS.values():
        raise ValueError(f"redirects to port {port}, and CAs follow to {CA_PORT} and {CA_SECURE_PORT} only")
    if len(path) > _MOST_PATH_CHARACTERS:
        raise ValueError(f"redirects to a path of more than {_MOST_PATH_CHARACTERS} characters")
    return Url(parts.scheme, host, port, quote(f"{path}?{parts.query}" if parts.query else path, string.punctuation))


def is_address(name: str) -> bool:
    """Tell whether a name is an IP address (RFC 8738)."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

"""Read what `except_listeners` may hold: an address with a port, a Unix socket, or a name, `*` allowed."""

import re
from dataclasses import dataclass
from ipaddress import ip_address

ALLOWED = (
    'allowed: "ADDRESS:PORT" such as "192.0.2.10:443" or "[2001:db8::1]:443", "*:PORT", "unix:/PATH", or a name '
    'such as "mail.example.org" or "*.internal.example", in which * stands for whole labels'
)
_ENDPOINT = re.compile(r"(\*|[0-9.]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", re.ASCII)
_LABEL = re.compile(r"\*|(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_LABELS = r"[^.]+(?:\.[^.]+)*"


@dataclass(frozen=True, slots=True)
class ListenerPattern:
    """Hold one pattern as it was written: of an address and port (`*`: any address), or of a name."""

    written: str
    address: str = ""
    port: int | None = None
    name: re.Pattern[str] | None = None

    @classmethod
    def parse(cls, written: str) -> "ListenerPattern":
        """Read one pattern; raise ValueError with what is allowed."""
        if written.startswith("unix:/"):
            return cls(written, address=written)
        endpoint = _ENDPOINT.fullmatch(written)
        if endpoint is not None:
            return cls(written, _address(endpoint[1], written), _port(endpoint[2], written))
        labels = ascii_name(written).split(".")
        if _is_number(labels[-1]) or labels == ["*"] or not all(map(_LABEL.fullmatch, labels)):
            raise ValueError(f"found {written!r}; {ALLOWED}")
        name = r"\.".join(_LABELS if label == "*" else re.escape(label) for label in labels)
        return cls(written, name=re.compile(name))

    def fits_endpoint(self, address: str, port: int | None) -> bool:
        """Tell whether an endpoint is meant."""
        return self.name is None and self.port == port and self.address in ("*", address)

    def fits_name(self, name: str) -> bool:
        """Tell whether a server name, as nginx has it, is meant."""
        return self.name is not None and self.name.fullmatch(ascii_name(name)) is not None


def ascii_name(name: str) -> str:
    """Give a name as it is asked for: in small letters, and in ASCII where it can be said so (RFC 5891)."""
    try:
        return name.lower() if name.isascii() else name.lower().encode("idna").decode("ascii")
    except UnicodeError:
        return name.lower()


def _address(text: str, written: str) -> str:
    if text == "*":
        return text
    try:
        return str(ip_address(text.strip("[]")))
    except ValueError:
        raise ValueError(f"found {written!r}; {ALLOWED}") from None


def _port(text: str, written: str) -> int:
    if not 1 <= int(text) <= 65535:
        raise ValueError(f"found {written!r}, whose port is none; allowed: 1 to 65535")
    return int(text)


def _is_number(label: str) -> bool:
    return label.isdigit()

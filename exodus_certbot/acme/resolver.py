"""The door to the DNS, as this machine sees it: where a name leads, and whether that is here."""

import re
import socket
from ipaddress import ip_address
from pathlib import Path


def addresses_of(name: str) -> tuple[str, ...] | None:
    """Ask this machine's resolver for a name's addresses: none where it has none, None where nobody could be asked."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError:
        return ()
    except socket.gaierror as error:
        return None if error.errno == socket.EAI_AGAIN else ()
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def is_ours(address: str) -> bool:
    """Tell whether an address is this machine's own now: no other can be bound, unless the kernel allows it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return not _binds_any(family) or is_listed(address, _text("/proc/net/fib_trie"), _text("/proc/net/if_inet6"))


def is_listed(address: str, fib_trie: str, if_inet6: str) -> bool:
    """Tell whether the kernel lists an address as the machine's own, in these files of /proc/net."""
    ip = ip_address(address)
    if ip.is_loopback:
        return True
    if ip.version == 6:
        return any(line.startswith(f"{int(ip):032x} ") for line in if_inet6.splitlines())
    return re.search(rf"\|-- {re.escape(str(ip))}\n +/32 host LOCAL", fib_trie) is not None


def _binds_any(family: socket.AddressFamily) -> bool:
    """Tell whether addresses may be bound that are elsewhere: where keepalived moves them between machines."""
    return _text(f"/proc/sys/net/{'ipv6' if family == socket.AF_INET6 else 'ipv4'}/ip_nonlocal_bind").strip() == "1"


def _text(path: str) -> str:
    try:
        return Path(path).read_text("ascii")
    except OSError:
        return ""

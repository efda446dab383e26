"""The door to the DNS, as this machine sees it: where a name leads, and whether that is here."""

import socket


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
    """Tell whether an address is this machine's own: no other can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True

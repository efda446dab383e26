"""Find ports that nobody uses."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

# Below the kernel's ephemeral range, so that no outgoing connection takes one between finding and using it.
_candidates = count(20000 + (hash(str(id(object()))) % 900) * 10)


def free_port(address: str = "127.0.0.1") -> int:
    """Give a TCP port that nothing listens on at `address` nor at any other, and that is given only once."""
    for candidate in _candidates:
        port = 20000 + candidate % 12000
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            try:
                probe.bind(("::" if ":" in address else "", port))
            except OSError:
                continue
        return port
    raise RuntimeError("no free port")


@contextmanager
def held_port() -> Iterator[socket.socket]:
    """Hold a port without listening on it: nobody else may bind it, and who asks is refused at once."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", free_port()))
        yield holder

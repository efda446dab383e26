"""Find ports that nobody uses."""

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

# Below the kernel's ephemeral range, so that no outgoing connection takes one between finding and using it. Of pytest's
# processes each has a share of its own.
_PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_SHARE = 12000 // _PROCESSES
_FIRST = 20000 + _NUMBER * _SHARE
_candidates = count(random.randrange(_SHARE))  # noqa: S311 - no secret


def free_port(address: str = "127.0.0.1") -> int:
    """Give a TCP port that nothing listens on at `address` nor at any other, and that is given only once."""
    for candidate in _candidates:
        port = _FIRST + candidate % _SHARE
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

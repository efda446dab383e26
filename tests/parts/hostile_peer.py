"""A peer that speaks TLS badly on purpose."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

# A whole handshake message that a client has to skip, as often as it comes (RFC 5246, section 7.4.1.1).
HELLO_REQUESTS = b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" * 1000


@contextmanager
def hostile_peer(treat: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """Treat each client like this until the block ends; give the port on 127.0.0.1."""
    over = threading.Event()

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            treat(client, over)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)


def send_messages_without_end(client: socket.socket, over: threading.Event) -> None:
    """Send as fast as the client reads."""
    while not over.is_set():
        client.sendall(HELLO_REQUESTS)


def send_byte_by_byte(client: socket.socket, over: threading.Event) -> None:
    """Send a record that is never whole, a byte at a time."""
    client.sendall(b"\x16\x03\x03\x40\x00")
    while not over.wait(0.02):
        client.sendall(b"\x02")

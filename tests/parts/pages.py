"""A server whose every byte the test says: it answers with what no real one does on demand."""

import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Pages:
    """A server on a loopback port that gives one answer, and keeps what it was asked."""

    port: int
    asked: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/metrics"


def page(content: str, status: str = "200 OK", **headers: str) -> bytes:
    """Give a whole answer; `content_length` says another length than it has."""
    body = content.encode()
    usual = {"content-length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in usual.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


@contextmanager
def running_pages(answer: bytes | Iterable[bytes], context: ssl.SSLContext | None = None) -> Iterator[Pages]:
    """Give the same answer to everybody for the time of a block: in one piece, or piece by piece until they hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pages = Pages(listener.getsockname()[1])
        pieces = (answer,) if isinstance(answer, bytes) else answer
        thread = threading.Thread(target=_serve, args=(listener, pages, pieces, context))
        thread.start()
        try:
            yield pages
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # has accept() come back
            thread.join()


def _serve(listener: socket.socket, pages: Pages, pieces: Iterable[bytes], context: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            accepted, _ = listener.accept()
            with suppress(OSError):
                _answer(accepted, pages, pieces, context)
            accepted.close()


def _answer(accepted: socket.socket, pages: Pages, pieces: Iterable[bytes], context: ssl.SSLContext | None) -> None:
    accepted.settimeout(20)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(accepted, server_side=True) if context else accepted as asked:
        head = b""
        while b"\r\n\r\n" not in head and (more := asked.recv(65536)):
            head += more
        pages.asked.append(head)
        for piece in pieces:
            asked.sendall(piece)

"""A proxy between a client and a real server that misbehaves on demand."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_ERROR = """<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>made up by the proxy</Message>
<Resource>/</Resource><RequestId>1</RequestId></Error>"""
_STATUS = {
    "503": ("503 Slow Down", "SlowDown"),
    "507": ("507 Insufficient Storage", "XMinioStorageFull"),
    "301": ("301 Moved Permanently", "PermanentRedirect"),
}
_HALF_BYTES = 100_000
MODES = ("503", "garbage", "silent", "stall", "truncate", "reset")


@dataclass
class Proxy:
    """Pass everything on until `mode` is one of `MODES`, or 507, or 301: then it sends everybody to `elsewhere`."""

    port: int
    target: int
    mode: str = "pass"
    elsewhere: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, listener: socket.socket) -> None:
        while not self.over.is_set():
            with suppress(TimeoutError):
                client, _ = listener.accept()
                threading.Thread(target=self._connection, args=(client,), daemon=True).start()

    def _connection(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self.target))
        back = threading.Thread(target=self._answers, args=(server, client), daemon=True)
        back.start()
        with suppress(OSError), client, server:
            while request := client.recv(65536):
                if self.mode in _STATUS or self.mode == "garbage":
                    self._answer_itself(client)
                    return
                if self.mode != "silent":
                    server.sendall(request)
            server.shutdown(socket.SHUT_WR)
            back.join()

    def _answer_itself(self, client: socket.socket) -> None:
        if self.mode == "garbage":
            client.sendall(b"\x00\xff this is no HTTP\r\n\r\n")
            return
        status, code = _STATUS[self.mode]
        body = _ERROR.format(code=code).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        head += f"Location: {self.elsewhere}\r\n" if self.elsewhere else ""
        client.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)
        with suppress(OSError):  # what is still coming would have the kernel reset the connection
            client.settimeout(0.3)
            while client.recv(65536):
                pass

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while answer := server.recv(65536):
                passed += len(answer)
                if passed > _HALF_BYTES and self.mode in ("stall", "truncate", "reset"):
                    self._break_off(client)
                    return
                client.sendall(answer)
            client.shutdown(socket.SHUT_WR)

    def _break_off(self, client: socket.socket) -> None:
        if self.mode == "stall":
            self.over.wait()
            return
        if self.mode == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.shutdown(socket.SHUT_RDWR) if self.mode == "truncate" else client.close()


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """Run a proxy for the time of a block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        proxy = Proxy(listener.getsockname()[1], port)
        thread = threading.Thread(target=proxy.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.over.set()
            thread.join()

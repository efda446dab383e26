"""Make one TLS handshake and give the certificate that was shown; the standard library only.

This file is also run by itself, as a process with an OPENSSL_CONF of its own: which signature algorithms a client
offers can be said to OpenSSL in no other way from Python, and on TLS 1.3 they alone decide which of its certificates
a server shows (RFC 8446, section 4.2.3).
"""

import os
import runpy
import socket
import ssl
import sys
import time
from collections.abc import Callable
from functools import cache, partial

BeforeTls = Callable[[socket.socket, float], None]
"""Bring a connection to where TLS begins, before it is that time of the monotonic clock."""

# "UNKNOWN" claims no address, so it cannot be mistaken for a client (PROXY protocol, section 2.1).
PROXY_HEADER = b"PROXY UNKNOWN\r\n"
_CHUNK_BYTES = 16 * 1024


def handshake(
    address: str,
    port: int | None,
    sni: str | None,
    *,
    proxy_protocol: bool,
    ciphers: str,
    timeout_seconds: float,
    before_tls: BeforeTls | None = None,
) -> ssl.SSLObject:
    """Give the handshake that `address` (or `unix:/path`) makes for `sni`; raises OSError and ssl.SSLError.

    `ciphers` other than "" restrict the handshake to TLS 1.2 and these suites. All of it ends within the timeout,
    whatever the other side sends.
    """
    ends_at = time.monotonic() + timeout_seconds
    with _connect(address, port, ends_at) as plain:
        if proxy_protocol:
            _send(plain, PROXY_HEADER, ends_at)
        if before_tls is not None:
            before_tls(plain, ends_at)
        return shaken(plain, sni, ciphers, ends_at)


def shown_leaf(tls: ssl.SSLObject) -> bytes:
    """Give the leaf that was shown, in DER form."""
    return tls.getpeercert(binary_form=True) or b""


def shaken(plain: socket.socket, sni: str | None, ciphers: str, ends_at: float) -> ssl.SSLObject:
    """Shake hands on an open connection until a moment of the monotonic clock."""
    # OpenSSL on a socket goes on as long as messages come; on bytes in memory it returns when these are used up.
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = _context(ciphers).wrap_bio(incoming, outgoing, server_hostname=sni)
    while not _is_done(tls):
        _send(plain, outgoing.read(), ends_at)
        plain.settimeout(_left_seconds(ends_at))
        received = plain.recv(_CHUNK_BYTES)
        if received:
            incoming.write(received)
        else:
            incoming.write_eof()
    # Without our last words the server would log that the client went away in the handshake.
    _send(plain, outgoing.read(), ends_at)
    return tls


def _is_done(tls: ssl.SSLObject) -> bool:
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _send(plain: socket.socket, content: bytes, ends_at: float) -> None:
    if content:
        plain.settimeout(_left_seconds(ends_at))
        plain.sendall(content)


def _left_seconds(ends_at: float) -> float:
    left_seconds = ends_at - time.monotonic()
    if left_seconds <= 0:  # to a socket, zero would mean not to wait at all
        raise TimeoutError("timed out")
    return left_seconds


def _connect(address: str, port: int | None, ends_at: float) -> socket.socket:
    family = socket.AF_UNIX if port is None else socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family)
    try:
        connection.settimeout(_left_seconds(ends_at))
        connection.connect(address.removeprefix("unix:") if port is None else (address, port))
    except OSError:
        connection.close()
        raise
    return connection


@cache
def _context(ciphers: str) -> ssl.SSLContext:
    """Make a context that accepts whatever is shown: the certificate is compared, not believed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.options |= ssl.OP_NO_TICKET  # nothing is ever resumed: the server need not make what would be thrown away
    context.set_ciphers((ciphers or "ALL") + ":@SECLEVEL=0")
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def _main(
    address: str, port: str, sni: str, proxy_protocol: str, starttls: str, times: str, timeout_seconds: str
) -> int:
    """Print the leaf of so many handshakes, each in hexadecimal, or on standard error what went wrong with one."""
    ends_at = time.monotonic() + float(timeout_seconds)
    before_tls = None
    if starttls:  # run by itself this file has no package to import it from
        begin = runpy.run_path(os.path.join(os.path.dirname(__file__), "starttls.py"))["begin"]  # noqa: PTH118, PTH120
        before_tls = partial(begin, protocol=starttls)
    try:
        for _ in range(int(times)):
            tls = handshake(
                address,
                int(port) if port else None,
                sni or None,
                proxy_protocol=bool(proxy_protocol),
                ciphers="",
                timeout_seconds=_left_seconds(ends_at),
                before_tls=before_tls,
            )
            print(shown_leaf(tls).hex(), flush=True)
    except TimeoutError:
        return TIMED_OUT
    except ssl.SSLError as error:
        print(error.reason or error, file=sys.stderr)
        return 1
    except OSError as error:
        print(error.strerror or error, file=sys.stderr)
        return 1
    return 0


TIMED_OUT = 124
"""The exit code of this file where time was up, as that of timeout(1)."""


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))

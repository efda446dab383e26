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


def handshake(
    address: str,
    port: int | None,
    sni: str | None,
    *,
    proxy_protocol: bool,
    ciphers: str,
    timeout_seconds: float,
    before_tls: BeforeTls | None = None,
) -> bytes:
    """Give the leaf in DER form that `address` (or `unix:/path`) shows for `sni`; raises OSError and ssl.SSLError.

    `ciphers` other than "" restrict the handshake to TLS 1.2 and these suites.
    """
    ends_at = time.monotonic() + timeout_seconds
    with _connect(address, port, timeout_seconds) as plain:
        if proxy_protocol:
            plain.sendall(PROXY_HEADER)
        if before_tls is not None:
            before_tls(plain, ends_at)
        with _context(ciphers).wrap_socket(plain, server_hostname=sni) as tls:
            return tls.getpeercert(binary_form=True) or b""


def _connect(address: str, port: int | None, timeout_seconds: float) -> socket.socket:
    family = socket.AF_UNIX if port is None else socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family)
    try:
        connection.settimeout(timeout_seconds)
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
    context.set_ciphers((ciphers or "ALL") + ":@SECLEVEL=0")
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def _main(address: str, port: str, sni: str, proxy_protocol: str, timeout_seconds: str, starttls: str) -> int:
    """Print the leaf in hexadecimal, or on standard error what went wrong."""
    before_tls = None
    if starttls:  # run by itself this file has no package to import it from
        begin = runpy.run_path(os.path.join(os.path.dirname(__file__), "starttls.py"))["begin"]  # noqa: PTH118, PTH120
        before_tls = partial(begin, protocol=starttls)
    try:
        der = handshake(
            address,
            int(port) if port else None,
            sni or None,
            proxy_protocol=bool(proxy_protocol),
            ciphers="",
            timeout_seconds=float(timeout_seconds),
            before_tls=before_tls,
        )
    except ssl.SSLError as error:
        print(error.reason or error, file=sys.stderr)
        return 1
    except OSError as error:
        print(error.strerror or error, file=sys.stderr)
        return 1
    print(der.hex())
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))

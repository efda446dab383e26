"""A web server is asked as Let's Encrypt's validation server asks, whatever answers: slowly, for ever, in circles."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from exodus_certbot.acme import fetching, redirects, resolver, routing
from exodus_certbot.acme.fetching import Fetched, Unanswered, fetch
from exodus_certbot.acme.redirects import Url
from exodus_certbot.nginx.http_listener import HttpListener
from exodus_common.clock import Deadline, SystemClock
from tests.parts.waiting import wait_until

URL = redirects.first("exodus.example", "/.well-known/acme-challenge/token")
HERE = HttpListener("127.0.0.1", 8080)


@contextmanager
def answering(answer: Callable[[socket.socket], None], heard: list[bytes] | None = None) -> Iterator[int]:
    """Accept one connection, read once, and answer."""

    def serve() -> None:
        with suppress(OSError), listening.accept()[0] as connection:
            connection.settimeout(10)
            (heard if heard is not None else []).append(connection.recv(4096))
            answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
    thread.join()


def fetched(answer: Callable[[socket.socket], None], url: Url = URL, seconds: float = 5) -> Fetched:
    with answering(answer) as port:
        return fetch(url, "127.0.0.1", port, Deadline.after(seconds, SystemClock()))


def for_ever(connection: socket.socket, chunk: bytes, pause_seconds: float = 0) -> int:
    """Send until the other side has had enough; give how many bytes it took."""
    sent, pause = 0, threading.Event()
    with suppress(OSError):
        while True:
            sent += connection.send(chunk)
            pause.wait(pause_seconds) if pause_seconds else None
    return sent


def test_the_request_is_the_one_of_lets_encrypt() -> None:
    heard: list[bytes] = []
    with answering(lambda connection: connection.sendall(b"HTTP/1.1 404 no\r\n\r\n"), heard) as port:
        fetch(URL, "127.0.0.1", port, Deadline.after(5, SystemClock()))

    assert heard[0].decode().split("\r\n") == [
        "GET /.well-known/acme-challenge/token HTTP/1.1",
        "Host: exodus.example",
        "User-Agent: Mozilla/5.0 (compatible; Let's Encrypt validation server; +https://www.letsencrypt.org)",
        "Accept: */*",
        "Connection: close",
        "",
        "",
    ]


def test_no_more_is_read_than_a_ca_reads() -> None:
    taken: list[int] = []

    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        taken.append(for_ever(connection, b"x" * 65536))

    found = fetched(endless)

    assert (found.status, len(found.body)) == (200, fetching.MOST_BODY_BYTES)
    wait_until(lambda: bool(taken), "the server did not end")
    assert taken[0] < 16 * 1024 * 1024  # what fits into the sockets' buffers


@pytest.mark.parametrize(
    "begin",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"],
    ids=["status", "head", "body"],
)
def test_a_byte_at_a_time_ends_at_the_deadline(begin: bytes) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(begin)
        for_ever(connection, b"x", pause_seconds=0.05)

    began = SystemClock().monotonic()
    with pytest.raises(Unanswered, match="no answer in time"):
        fetched(drip, seconds=0.4)
    assert SystemClock().monotonic() - began < 3


@pytest.mark.parametrize(
    ("url", "chunk"),
    [
        (URL, b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (URL, b"x" * 65536),
        (Url("https", "exodus.example", 443, "/"), b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" * 1000),  # HelloRequest
    ],
    ids=["continue", "no-end-of-line", "tls"],
)
def test_an_endless_stream_that_is_no_answer_ends(url: Url, chunk: bytes) -> None:
    def stream(connection: socket.socket) -> None:
        for_ever(connection, chunk)

    with pytest.raises(Unanswered):
        fetched(stream, url)


@pytest.mark.parametrize("said", [b"", b"\x00", b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_is_no_answer_is_said_in_words(said: bytes, scheme: str) -> None:
    with pytest.raises(Unanswered) as told:
        fetched(lambda connection: connection.sendall(said), Url(scheme, "exodus.example", 80, "/"))

    assert len(str(told.value)) > 5


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("https://www.exodus.example/x?y=1", "https://www.exodus.example/x?y=1"),
        ("https://www.exodus.example:443/x", "https://www.exodus.example/x"),
        ("http://www.exodus.example:443/x", "http://www.exodus.example:443/x"),
        ("/other", "http://exodus.example/other"),
        ("//other.example", "http://other.example/"),
        ("?a b", f"{URL.text}?a%20b"),
        ("http://[2001:db8::1]/x", "http://[2001:db8::1]/x"),
    ],
)
def test_a_redirect_is_followed_where_a_ca_follows(location: str, leads_to: str) -> None:
    assert redirects.followed(URL, location).text == leads_to


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("https://exodus.example:8443/", "redirects to port 8443, and CAs follow to 80 and 443 only"),
        ("ftp://exodus.example/", "redirects to ftp:, and CAs follow http: and https: only"),
        ("https://exodus.example.well-known/acme-challenge/x", "a / is missing behind the host"),
        ("http://:80/", "without a host"),
        ("/" + "x" * 2000, "more than 2000 characters"),
        ("http://exodus.example:99999/", "[Pp]ort out of range"),
        ("http://[::1/", "IPv6"),
    ],
)
def test_a_redirect_that_no_ca_follows_says_why(location: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        redirects.followed(URL, location)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_needs_a_location(status: int) -> None:
    assert redirects.is_redirect(status, "/x")
    assert not redirects.is_redirect(status, "")
    assert not redirects.is_redirect(300, "/x")


def test_an_ipv6_address_has_its_brackets() -> None:
    heard: list[bytes] = []
    with answering(lambda connection: connection.sendall(b"HTTP/1.1 404 no\r\n\r\n"), heard) as port:
        fetch(redirects.first("2001:db8::1", "/x"), "127.0.0.1", port, Deadline.after(5, SystemClock()))

    assert b"\r\nHost: [2001:db8::1]\r\n" in heard[0]
    assert routing.written("[2001:0DB8::1]") == "2001:db8::1"
    assert routing.written("Exodus.Example") == "exodus.example"


def test_an_address_of_this_machine_is_asked_at_itself_and_another_at_nginx() -> None:
    assert routing.of_the_address("127.1.2.3", HERE, None).ask_address == "127.1.2.3"
    assert routing.of_the_address("127.1.2.3", HERE, "127.0.0.1") == HERE
    assert routing.of_the_address("203.0.113.1", HERE, None) == HERE
    assert routing.of_the_address("exodus.example", HERE, None) == HERE


def test_a_redirect_arrives_where_its_host_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    dns = {
        "exodus.example": ("203.0.113.1",),
        "www.exodus.example": ("203.0.113.1",),
        "other.example": ("203.0.113.2",),
    }
    monkeypatch.setattr(resolver, "addresses_of", lambda name: dns.get(name, ()))
    route = routing.route_of("exodus.example", HERE, 8443, None)

    assert route("exodus.example", 80) == ("127.0.0.1", 8080)
    assert route("www.exodus.example", 443) == ("127.0.0.1", 8443)  # behind the same NAT
    assert route("other.example", 443) == ("203.0.113.2", 443)
    assert route("nowhere.example", 80) is None
    assert routing.route_of("exodus.example", HERE, 8443, "127.0.0.1")("nowhere.example", 80) == ("127.0.0.1", 8080)


FIB_TRIE = """\
Local:
  +-- 0.0.0.0/0 3 0 4
        |-- 203.0.113.1
           /32 host LOCAL
        |-- 203.0.113.255
           /32 link BROADCAST
"""
IF_INET6 = "20010db8000000000000000000000001 02 40 00 80     eth0\n"


@pytest.mark.parametrize(
    ("address", "is_ours"),
    [
        ("203.0.113.1", True),
        ("203.0.113.255", False),
        ("203.0.113.11", False),
        ("3.0.113.1", False),
        ("127.1.2.3", True),
        ("2001:db8::1", True),
        ("2001:db8::2", False),
        ("::1", True),
    ],
)
def test_an_address_that_may_be_bound_and_is_elsewhere_is_not_ours(
    address: str, is_ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolver.is_listed(address, FIB_TRIE, IF_INET6) is is_ours

    monkeypatch.setattr(socket.socket, "bind", lambda *_arguments: None)
    files = {"/proc/net/fib_trie": FIB_TRIE, "/proc/net/if_inet6": IF_INET6}
    monkeypatch.setattr(resolver, "_text", lambda path: files.get(path, "1\n"))
    assert resolver.is_ours(address) is is_ours

"""Metrics are fetched from the very server that was named: bounded, with the token for nobody else."""

import ssl
import threading
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from exodus_common.clock import Deadline, SystemClock
from exodus_storage_guard.capacity.page import MOST_BYTES, Address, fetch
from exodus_storage_guard.errors import StoreFailed
from tests.parts.authority import Authority, key_pem, new_key
from tests.parts.guard import Guarded
from tests.parts.pages import page, running_pages

METRICS = 't{disk="1"} 1e9\nt{disk="2"} 1e9\nu 5e8\n'
TOKEN = "s3cret-of-the-metrics"  # noqa: S105 - the test's own
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Ticking(SystemClock):
    """A clock by which each look takes a second."""

    seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += 1
        return self.seconds


def fetched(url: str, deadline: Deadline | None = None, **address: Any) -> str:
    return fetch(Address(url, **address), deadline or Deadline.after(20, SystemClock()))


def asking(guarded: Guarded, url: str, **capacity: Any) -> Guarded:
    """Measure by metrics that are not MinIO's, with a token."""
    (guarded.folder / "token").write_text(f"{TOKEN}\n")
    named = {"total_metric": 't{disk="1"}', "used_metric": "u", "token_file": str(guarded.folder / "token"), "url": url}
    return guarded.write(capacity={"source": "prometheus", "total_bytes": None, **named, **capacity})


def test_a_store_is_measured_by_the_metrics_that_are_named(guarded: Guarded) -> None:
    with running_pages(page(METRICS)) as server:
        done = asking(guarded, server.url)("init")
        assert done.exit_code == 0, done.all_output
        one = guarded("status", "--json").json["capacity"]
        asking(guarded, server.url, total_metric="t")("sweep")
        both = guarded("status", "--json").json["capacity"]

    assert (one["source"], one["total_bytes"], one["used_bytes"]) == ("prometheus", 10**9, 5 * 10**8)
    assert (both["total_bytes"], both["used_bytes"], both["free_bytes"]) == (2 * 10**9, 5 * 10**8, 15 * 10**8)
    assert f"Authorization: Bearer {TOKEN}\r\n".encode() in server.asked[0]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (page("t 1e999\nu 1\n"), "a sample of inf, which is no size"),
        (page("t NaN\nu 1\n"), "a sample cannot be read"),
        (page("t 1\nu 2\n"), "which cannot be"),
        (page("v 1\n"), "none of these metrics is there: t; are they the cluster's?"),
        (page("\x1b[31mt 1\nt \x1b[31m\n"), r"cannot be read: 't \x1b[31m'"),
        (page("no\n", "403 Forbidden"), "HTTP 403; is token_file right?"),
        (page("no\n", "500 Internal Server Error"), "HTTP 500"),
        (page("t 1\nu 1\n", "204 No Content"), "HTTP 204"),
        (page("t 1\nu 1\n", "302 Found"), "HTTP 302, to nowhere; no redirect is followed"),
        (page("t 1\nu 1\n", content_encoding="gzip"), "compressed (gzip)"),
        (page("t 123\nu 1", content_length="9"), "the answer is cut short"),
        (page("t 123\nu 1\n", content_length="99"), "the answer is cut short"),
        (HEAD + b"t 1000\nu 1", "the answer is cut short"),
        (HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nt 1\nu"), "IncompleteRead"),
        (HEAD + b"x 1\n" * (MOST_BYTES // 4 + 1), f"longer than {MOST_BYTES} bytes"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "SSH-2.0-OpenSSH_9.2"),
        (b"\x15\x03\x01\x00\x02\x02\x50", r"\x15"),
        (b"", "without response"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200, "more than 100 headers"),
        (b"HTTP/1.1 200 " + b"x" * 100_000, "status line"),
    ],
)
def test_an_answer_that_is_no_measurement_is_refused_with_a_sentence(
    answer: bytes, told: str, guarded: Guarded
) -> None:
    with running_pages(answer) as server:
        tried = asking(guarded, server.url, total_metric="t")("init")

    assert tried.exit_code == 1
    assert told in tried.stderr
    assert server.url in tried.stderr
    assert "Traceback" not in tried.stderr
    assert TOKEN not in tried.all_output
    assert tried.stderr.replace("\n", "").isprintable()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_and_whoever_it_leads_to_is_neither_asked_nor_believed(
    status: int, guarded: Guarded
) -> None:
    with running_pages(page(METRICS)) as other, running_pages(page("", f"{status} x", Location=other.url)) as server:
        tried = asking(guarded, server.url)("init")
        assert other.asked == []
        assert asking(guarded, other.url)("init").exit_code == 0  # it is good enough where it is what was named

    assert tried.exit_code == 1
    assert f"HTTP {status}, to {other.url}; no redirect is followed: set url" in tried.stderr


def test_no_proxy_gets_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_pages(page("t 1\n")) as proxy, running_pages(page("t 2\n")) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)

        assert fetched(server.url, token=TOKEN) == "t 2\n"

    assert proxy.asked == []


def drops(content: bytes) -> Iterator[bytes]:
    """Give one byte after the other."""
    return (content[at : at + 1] for at in range(len(content)))


@pytest.mark.parametrize(
    "answer",
    [
        repeat(b"H"),
        chain([b"HTTP/1.1 200 OK\r\n"], repeat(b"x")),
        repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
        chain([HEAD], repeat(b"x")),
        chain([HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")], repeat(b"1\r\nx\r\n")),
        chain([page("", content_length="100000000")], repeat(b"x")),
    ],
)
def test_an_answer_that_never_ends_ends_with_the_deadline(answer: Iterator[bytes]) -> None:
    with running_pages(answer) as server, pytest.raises(StoreFailed, match="no whole answer in time"):
        fetched(server.url, Deadline.after(30, Ticking()))


def test_an_answer_that_comes_in_drops_is_whole_where_there_is_time() -> None:
    with running_pages(drops(page(METRICS))) as server:
        assert fetched(server.url) == METRICS


def test_a_server_that_says_nothing_is_left_at_the_deadline() -> None:
    left = threading.Event()

    def silent() -> Iterator[bytes]:
        yield HEAD
        left.wait(20)

    with running_pages(silent()) as server:
        with pytest.raises(StoreFailed, match="timed out"):
            fetched(server.url, Deadline.after(0.2, SystemClock()))
        left.set()


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    """Give a server's side of TLS, with a certificate for 127.0.0.1."""
    key = new_key()
    pem = tmp_path / "server.pem"
    pem.write_bytes(key_pem(key) + authority.leaf_pem(key, ("127.0.0.1",)) + authority.chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def test_over_tls_the_authority_that_the_settings_name_is_believed(
    authority: Authority, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.root_pem)
    with running_pages(drops(page(METRICS)), tls) as server:
        url = server.url.replace("http:", "https:")
        assert fetched(url, token=TOKEN, ca_file=tmp_path / "ca.pem") == METRICS
    assert f"Bearer {TOKEN}".encode() in server.asked[0]
    assert f"\r\nHost: 127.0.0.1:{server.port}\r\n".encode() in server.asked[0]


def test_over_tls_another_server_gets_no_token(tls: ssl.SSLContext, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(Authority().root_pem)
    with running_pages(page(METRICS), tls) as server:
        url = server.url.replace("http:", "https:")
        with pytest.raises(StoreFailed, match="CERTIFICATE_VERIFY_FAILED"):
            fetched(url, token=TOKEN, ca_file=tmp_path / "ca.pem")
        with pytest.raises(StoreFailed, match="No such file"):
            fetched(url, token=TOKEN, ca_file=tmp_path / "none.pem")
    assert server.asked == []


def test_a_token_that_no_header_can_carry_is_named_by_its_file_and_not_shown(guarded: Guarded) -> None:
    with running_pages(page(METRICS)) as server:
        asking(guarded, server.url)
        (guarded.folder / "token").write_text("s3cret-\u0161")
        tried = guarded("init")

    assert tried.exit_code == 78
    assert "token: allowed: one line of ASCII, the token" in tried.stderr
    assert "s3cret" not in tried.all_output
    assert server.asked == []

"""What is said to a mail server before TLS, and what no server may do to us meanwhile."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exodus_certbot.tls import starttls

GOOD = {
    "smtp": ([b"220-a\r\n220 ready\r\n", b"250-a\r\n250 STARTTLS\r\n", b"220 go\r\n"], [b"EHLO", b"STARTTLS"]),
    "imap": ([b"* OK ready\r\n", b"* a remark\r\na1 OK go\r\n"], [b"a1 STARTTLS"]),
    "pop3": ([b"+OK ready\r\n", b"+OK go\r\n"], [b"STLS"]),
}


@contextmanager
def server(answers: list[bytes]) -> Iterator[tuple[socket.socket, list[bytes]]]:
    """Give a connection to a server that greets, answers each command once, and then closes."""
    ours, theirs = socket.socketpair()
    heard: list[bytes] = []

    def speak() -> None:
        with theirs:
            theirs.sendall(answers[0])
            for answer in answers[1:]:
                if not (command := theirs.recv(1024)):
                    return
                heard.append(command)
                theirs.sendall(answer)

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        with ours:
            yield ours, heard
    finally:
        speaker.join(5)


def begun(protocol: str, answers: list[bytes]) -> list[bytes]:
    with server(answers) as (connection, heard):
        starttls.begin(connection, 100.0, protocol, lambda: 90.0)
        return heard


@pytest.mark.parametrize("protocol", GOOD)
def test_each_protocol_is_brought_to_where_tls_begins(protocol: str) -> None:
    answers, commands = GOOD[protocol]

    heard = begun(protocol, answers)

    assert [line.startswith(command) for line, command in zip(heard, commands, strict=True)] == [True] * len(commands)
    assert all(line.endswith(b"\r\n") for line in heard)


@pytest.mark.parametrize("protocol", GOOD)
def test_what_a_server_adds_in_clear_text_to_its_answer_is_refused(protocol: str) -> None:
    answers, _ = GOOD[protocol]

    with pytest.raises(starttls.Refused, match="more in clear text"):
        begun(protocol, [*answers[:-1], answers[-1] + b"250 injected\r\n"])


@pytest.mark.parametrize(
    ("protocol", "answers", "said"),
    [
        ("smtp", [b"554 go away\r\n"], "554 go away"),
        ("smtp", [b"220 ready\r\n", b"250 ok\r\n", b"502 no\r\n"], "502 no' to STARTTLS"),
        ("imap", [b"* BYE\r\n"], "BYE"),
        ("imap", [b"* PREAUTH\r\n"], "PREAUTH"),
        ("imap", [b"* OK\r\n", b"a1 BAD no\r\n"], "a1 BAD no"),
        ("pop3", [b"-ERR\r\n"], "-ERR"),
        ("smtp", [b"\x16\x03\x01 garbage\r\n"], "garbage"),
        ("pop3", [b""], "closed the connection"),
        ("imap", [b"* OK ready"], "closed the connection"),
        ("smtp", [b"x" * 4096], "a line of more than"),
        ("smtp", [b"220-more\r\n" * 200], "more than 100 lines"),
        ("imap", [b"* OK\r\n", b"* more\r\n" * 200], "more than 100 lines"),
    ],
)
def test_a_server_that_does_not_agree_or_does_not_end_is_refused(
    protocol: str, answers: list[bytes], said: str
) -> None:
    with pytest.raises(starttls.Refused, match=said):
        begun(protocol, answers)


def test_a_greeting_that_comes_byte_by_byte_ends_with_the_time_and_not_with_the_line() -> None:
    seconds = itertools.count()
    with server([b"220 slow"]) as (connection, _), pytest.raises(TimeoutError):
        starttls.begin(_ByteByByte(connection), 5.0, "smtp", lambda: float(next(seconds)))


class _ByteByByte(socket.socket):
    """A connection on which each byte comes alone, one a second of the clock that is given."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(fileno=connection.detach())

    def recv(self, size: int, flags: int = 0) -> bytes:
        return super().recv(min(size, 1), flags)


def test_a_silent_server_is_left_when_the_time_is_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(TimeoutError):
        starttls.begin(ours, 100.05, "pop3", lambda: 100.0)


LINES = st.sampled_from([b"220 a\r\n", b"220-a\r\n", b"250 a\r\n", b"* OK\r\n", b"* x\n", b"a1 OK\r\n", b"+OK\r\n"])


@settings(deadline=None)  # sockets have no other deadline than the one that is given
@given(st.sampled_from(sorted(GOOD)), st.lists(LINES | st.binary(max_size=600), max_size=6))
def test_whatever_a_server_says_it_is_agreement_or_a_refusal(protocol: str, said: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"".join(said))
        theirs.shutdown(socket.SHUT_WR)

        with contextlib.suppress(starttls.Refused):
            starttls.begin(ours, 100.0, protocol, lambda: 90.0)
            assert b"".join(said).endswith(b"\n")

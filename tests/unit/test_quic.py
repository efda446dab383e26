"""What the system's openssl says of QUIC, as it really said it, and what is made of it."""

import hashlib
import socket
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_certbot.model import KeyType
from exodus_certbot.tls import quic, served
from exodus_certbot.tls.served import Question
from exodus_common.errors import ExodusError
from tests.parts.certbot import write_program
from tests.parts.ports import free_port

SAID = Path(__file__).parent / "openssl_output"


def said(name: str) -> str:
    return (SAID / f"{name}.txt").read_text()


def test_the_leaf_is_read_from_what_openssl_shows_whatever_the_certificate_calls_itself() -> None:
    shown = said("shown")
    last = shown[shown.rindex("\n-----BEGIN CERTIFICATE-----\n") + 1 :]

    leaf = quic.leaf_in(shown, said("shown_beside"))

    assert "s:O=-----BEGIN CERTIFICATE-----" in shown
    assert leaf == ssl.PEM_cert_to_DER_cert(last[: last.index("-----END CERTIFICATE-----") + 25])


def test_a_handshake_that_was_refused_is_told_in_the_words_of_openssl() -> None:
    with pytest.raises(ExodusError, match="protocol is shutdown"):
        quic.leaf_in(said("rejected"), said("rejected_beside"))
    with pytest.raises(ExodusError, match="showed no certificate"):
        quic.leaf_in("", "")


@given(st.text(max_size=400))
def test_nothing_that_openssl_prints_is_taken_for_a_certificate_that_is_none(text: str) -> None:
    with pytest.raises(ExodusError):
        quic.leaf_in(text, text)


@pytest.mark.parametrize(("release", "can"), [("3_0", False), ("3_5", True)])
def test_what_openssl_can_do_is_read_from_its_own_help(release: str, can: bool) -> None:
    assert quic.is_capable(said(f"help_of_{release}")) is can


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("OpenSSL 3.0.19 27 Jan 2026 (Library: OpenSSL 3.0.19 27 Jan 2026)\n", "3.0.19"),
        ("OpenSSL 3.5.9 29 Sep 2026 (Library: OpenSSL 3.5.9 29 Sep 2026)\n", "3.5.9"),
        ("OpenSSL 1.1.1w  11 Sep 2023\n", "1.1.1w"),
        ("LibreSSL 3.8.2\n", "LibreSSL 3.8.2"),
        ("", "another one"),
    ],
)
def test_the_version_is_the_one_that_openssl_names(text: str, version: str) -> None:
    assert quic.version_of(text) == version


def test_an_openssl_that_cannot_or_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = quic.why_not()
    write_program(tmp_path / "openssl", "/bin/echo", "OpenSSL 3.1.4 24 Oct 2023")
    too_old = quic.why_not()
    write_program(tmp_path / "openssl", "/bin/echo", " -quic   Use QUIC")

    assert "3.2 or newer and with QUIC; here is none" in missing
    assert "here is 3.1.4" in too_old
    assert quic.why_not() == ""


def test_openssl_is_asked_for_the_name_and_the_key_type_at_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openssl = tmp_path / "openssl"
    openssl.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\nexec /bin/cat {SAID}/shown.txt\n')
    openssl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as listener:
        listener.bind(("::1", 0))
        port = listener.getsockname()[1]

        found = served.ask_again(Question("::1", port, "a.example", False, KeyType.ED25519, quic=True), 1, 30)[0]
        served.ask_again(Question("::1", port, None, False, None, quic=True), 1, 30)

    shared = f"s_client -quic -alpn h3 -connect [::1]:{port} -showcerts"
    assert (tmp_path / "asked").read_text().splitlines() == [
        f"{shared} -servername a.example -sigalgs ed25519",
        f"{shared} -noservername",
    ]
    assert found.certificate is not None
    leaf = quic.leaf_in(said("shown"), "")
    assert found.certificate.sha256 == hashlib.sha256(leaf).hexdigest()


def test_a_port_that_nobody_listens_on_is_refused_at_once_and_openssl_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    found = served.ask_again(Question("127.0.0.1", free_port(), "a.example", False, None, quic=True), 1, 30)[0]

    assert found.certificate is None
    assert found.failure == "connection refused: nginx has not opened this listener"


def test_a_handshake_that_got_lost_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openssl = tmp_path / "openssl"
    openssl.write_text(
        f"#!/bin/sh\n/bin/mkdir {tmp_path}/asked && exec /bin/sleep 600\nexec /bin/cat {SAID}/shown.txt\n"
    )
    openssl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(quic, "_FIRST_ATTEMPT_SECONDS", 0.5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))

        question = Question("127.0.0.1", listener.getsockname()[1], None, False, None, quic=True)
        found = served.ask_again(question, 1, 60)[0]

    assert found.certificate is not None, found.failure


def test_an_openssl_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(tmp_path / "openssl", "/bin/sh", "-c", "exec /bin/sleep 600")
    monkeypatch.setenv("PATH", str(tmp_path))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        question = Question("127.0.0.1", listener.getsockname()[1], "a.example", False, None, quic=True)

        found = served.ask_again(question, 1, 0.2)[0]

    assert found.failure == "no answer within 0.2 s"

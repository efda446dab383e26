"""PEM files are read as nginx reads them: OpenSSL itself, which serves them here, is the judge."""

import ssl
import subprocess
from pathlib import Path

import pytest

from exodus_certbot.tls import pem, sent_chain
from tests.parts.authority import Authority, key_pem, new_key

KEY = new_key()
AUTHORITY = Authority()
LEAF = AUTHORITY.leaf_pem(KEY, ("exodus.example",))
CHAIN, ROOT = AUTHORITY.chain_pem, AUTHORITY.root_pem
WHOLE = LEAF + CHAIN
BEGIN = b"-----BEGIN CERTIFICATE-----\n"


def _trusted(certificate: bytes) -> bytes:
    command = ["openssl", "x509", "-trustout", "-addtrust", "serverAuth", "-setalias", "ours"]
    return subprocess.run(command, input=certificate, capture_output=True, check=True, timeout=20).stdout


def _sent_by_openssl(pem_text: bytes, folder: Path) -> tuple[bytes, ...]:
    """Serve a file, within this process, and give what a client is sent."""
    (folder / "fullchain.pem").write_bytes(pem_text)
    (folder / "privkey.pem").write_bytes(key_pem(KEY))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "fullchain.pem", folder / "privkey.pem")
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [asking.wrap_bio(back, there), serving.wrap_bio(there, back, server_side=True)]
    for _ in range(4):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return tuple(sent_chain.unverified(sides[0]))


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(WHOLE, id="as certbot writes it"),
        pytest.param(LEAF, id="a leaf alone"),
        pytest.param(_trusted(LEAF) + CHAIN, id="a trusted leaf"),
        pytest.param(LEAF + _trusted(CHAIN) + ROOT, id="a trusted certificate behind the leaf, which is not sent"),
        pytest.param(WHOLE.replace(b"CERTIFICATE", b"X509 CERTIFICATE"), id="the old name"),
        pytest.param(WHOLE.replace(b"\n", b"\r\n"), id="lines of Windows"),
        pytest.param(WHOLE.replace(b"-----\n", b"-----  \n"), id="blanks at the end of a line"),
        pytest.param(b"\xef\xbb\xbf" + WHOLE, id="a byte order mark"),
        pytest.param(b"Bag Attributes\n    friendlyName: ours\n" + WHOLE + b"and more\n", id="text around it"),
        pytest.param(key_pem(KEY) + WHOLE, id="the key before it"),
        pytest.param(LEAF.replace(BEGIN, BEGIN + b"\n") + CHAIN, id="an empty line in it"),
        pytest.param(WHOLE.rstrip(b"\n"), id="no newline at the end"),
    ],
)
def test_what_is_read_is_what_openssl_sends(written: bytes, tmp_path: Path) -> None:
    assert pem.certificates_in(written) == _sent_by_openssl(written, tmp_path)


def test_what_begins_within_a_line_is_not_read(tmp_path: Path) -> None:
    assert pem.certificates_in(b"  " + LEAF) == ()
    with pytest.raises(ssl.SSLError):
        _sent_by_openssl(b"  " + LEAF, tmp_path)


@pytest.mark.parametrize("cut", [b"", b"\x30", b"\x30\x84\xff\xff", b"\x30\x03\x01"])
def test_a_trusted_certificate_that_was_cut_is_given_as_it_is(cut: bytes) -> None:
    assert pem.first_value(cut) == cut

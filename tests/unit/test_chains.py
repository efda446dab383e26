"""Who has issued whom: with every kind of signature, and without a word where that cannot be known."""

import subprocess
from pathlib import Path

import pytest

from exodus_certbot.chain import Order
from exodus_certbot.tls import chains, pem
from exodus_certbot.tls.x509 import CertificateUnreadable
from tests.parts.authority import Authority, new_key
from tests.parts.certbot import certbots

NAME = "exodus.example"


def chain_of(written: bytes) -> tuple[Order, str]:
    found = chains.chain_of(pem.certificates_in(written))
    return found.order, found.disorder


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_a_chain_is_in_order_when_each_was_signed_by_the_next(kind: str) -> None:
    authority = Authority(intermediate_key=new_key(kind))
    leaf = authority.leaf_pem(new_key(), (NAME,))

    for written in (leaf, leaf + authority.chain_pem, leaf + authority.chain_pem + authority.root_pem):
        assert chain_of(written) == (Order.IN_ORDER, "")


def test_a_chain_whose_issuers_are_there_in_another_order_is_mixed() -> None:
    authority = Authority()
    order, disorder = chain_of(authority.leaf_pem(new_key(), (NAME,)) + authority.root_pem + authority.chain_pem)
    assert order is Order.MIXED
    assert "certificate 1 (CN=exodus.example) was not issued by certificate 2 (CN=Test Root)" in disorder


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_a_chain_without_the_issuer_is_broken_also_where_another_has_its_name(kind: str) -> None:
    authority, other = Authority(intermediate_key=new_key(kind)), Authority(intermediate_key=new_key(kind))
    leaf = authority.leaf_pem(new_key(), (NAME,))

    assert chain_of(leaf + authority.root_pem)[0] is Order.BROKEN
    assert chain_of(leaf + other.chain_pem)[0] is Order.BROKEN


def test_a_leaf_that_was_signed_with_pss_is_in_order() -> None:
    authority = Authority(intermediate_key=new_key("rsa"), pss=True)
    leaf = authority.leaf_pem(new_key(), (NAME,))

    assert chain_of(leaf + authority.chain_pem) == (Order.IN_ORDER, "")
    assert chain_of(leaf + authority.root_pem)[0] is Order.BROKEN


@pytest.mark.parametrize("version", [name for name in certbots() if name.startswith("2.")])
@pytest.mark.parametrize("pss", [True, False], ids=["PSS", "PKCS 1"])
def test_the_oldest_cryptography_that_we_promise_says_the_same(version: str, pss: bool, tmp_path: Path) -> None:
    authority = Authority(intermediate_key=new_key("rsa"), pss=pss)
    written = authority.leaf_pem(new_key(), (NAME,)) + authority.chain_pem
    (tmp_path / "fullchain.pem").write_bytes(written)
    root = Path(__file__).parents[2]
    asked = (
        "import sys; from pathlib import Path; from exodus_certbot.tls import chains, pem\n"
        "found = chains.chain_of(pem.certificates_in(Path(sys.argv[1]).read_bytes()))\n"
        "print(found.order, found.disorder, len(found.links))"
    )

    said = subprocess.run(
        [Path(certbots()[version]).parent / "python", "-c", asked, tmp_path / "fullchain.pem"],
        env={"PYTHONPATH": f"{root}:{root / 'hooks'}"}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    assert said.stdout.split() == ["0", "2"]


def test_a_signature_of_an_unknown_kind_cannot_be_judged_and_is_no_disorder() -> None:
    authority = Authority()
    leaf, issuer = pem.certificates_in(authority.leaf_pem(new_key(), (NAME,)) + authority.chain_pem)
    # ecdsa-with-SHA256 becomes an algorithm that nobody has given out.
    unknown = leaf.replace(bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d04037f"))

    assert chains.is_issued_by(leaf, issuer) is True
    assert chains.is_issued_by(unknown, issuer) is None
    assert chains.chain_of([unknown, issuer]).order is Order.IN_ORDER


def test_what_is_no_certificate_is_said_to_be_none() -> None:
    with pytest.raises(CertificateUnreadable):
        chains.chain_of([b"\x30\x00"])

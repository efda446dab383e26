"""What a reload would load: whether the key fits, what the chain lacks, and what was there before."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from exodus_certbot.certbot import lineage, on_disk
from exodus_certbot.model import CertificateSource, KeyType, Pair
from tests.parts.authority import CertbotTree, key_pem, new_key
from tests.parts.witness import disk_sha256

NAME = "exodus.example"
EC_PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


@pytest.fixture
def tree(tmp_path: Path) -> CertbotTree:
    return CertbotTree(tmp_path / "letsencrypt")


def pair_of(tree: CertbotTree, live: Path, file: str = "fullchain.pem", key: Path | None = None) -> Pair:
    source = CertificateSource(str(live / file), str(key or live / "privkey.pem"))
    return lineage.CertificateFiles(tree.folder).pair(source)


@pytest.mark.parametrize("file", ["fullchain.pem", "cert.pem"])
def test_a_lineage_as_certbot_writes_it_has_no_fault(file: str, tree: CertbotTree) -> None:
    pair = pair_of(tree, tree.issue(NAME), file)
    assert (on_disk.key_fault(pair), on_disk.lacks(pair)) == ("", "")


def test_a_key_of_another_certificate_is_a_fault(tree: CertbotTree) -> None:
    live, other = tree.issue(NAME), tree.issue("other.example")
    said = f"the key {other}/privkey.pem does not belong to the certificate {live}/fullchain.pem"
    assert on_disk.key_fault(pair_of(tree, live, key=other / "privkey.pem")) == said


def test_a_missing_key_is_a_fault(tree: CertbotTree) -> None:
    live = tree.issue(NAME)
    (live / "privkey.pem").unlink()
    assert on_disk.key_fault(pair_of(tree, live)) == f"{live}/privkey.pem cannot be read: No such file or directory"


def _key_as(form: serialization.PrivateFormat, secret: bytes = b"") -> tuple[bytes, bytes]:
    """Give an ECDSA key in some form, and one more as certbot writes it, for the certificate."""
    key = new_key()
    closed = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, closed), key_pem(key)


@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("secret", [b"", b"correct horse"], ids=["open", "encrypted"])
@pytest.mark.parametrize("lines", ["\n", "\r\n"], ids=["Unix", "Windows"])
@pytest.mark.parametrize("before", ["", "some text\n", EC_PARAMETERS])
def test_every_form_of_key_that_nginx_reads_has_no_fault(
    form: serialization.PrivateFormat, secret: bytes, lines: str, before: str, tree: CertbotTree
) -> None:
    written, plain = _key_as(form, secret)
    key = serialization.load_pem_private_key(plain, None)
    leaf = tree.authority.leaf_pem(key, (NAME,))  # type: ignore[arg-type]
    text = (before + written.decode()).replace("\n", lines)
    live = tree.write(NAME, leaf=leaf, chain=tree.authority.chain_pem, key=text.encode())

    assert on_disk.key_fault(pair_of(tree, live)) == ""


def test_of_several_keys_in_a_file_the_first_counts(tree: CertbotTree) -> None:
    live, other = tree.issue(NAME), key_pem(new_key())
    own = (live / "privkey.pem").read_bytes()

    (live / "privkey.pem").write_bytes(own + other)
    assert on_disk.key_fault(pair_of(tree, live)) == ""
    (live / "privkey.pem").write_bytes(other + own)
    assert "does not belong" in on_disk.key_fault(pair_of(tree, live))


def test_a_trusted_certificate_is_read_as_nginx_does(tree: CertbotTree) -> None:
    live = tree.issue(NAME)
    served, whole = disk_sha256(live), (live / "fullchain.pem").read_bytes()
    command = ["openssl", "x509", "-trustout", "-addtrust", "serverAuth"]
    trusted = subprocess.run(command, input=whole, capture_output=True, check=True, timeout=20).stdout
    (live / "fullchain.pem").write_bytes(trusted + (live / "chain.pem").read_bytes())

    pair = pair_of(tree, live)

    assert pair.certificate is not None
    assert (pair.certificate.sha256, on_disk.key_fault(pair), on_disk.lacks(pair)) == (served, "", "")


def test_a_fullchain_that_lost_its_chain_is_a_fault_and_a_leaf_by_choice_is_not(tree: CertbotTree) -> None:
    live = tree.issue(NAME)
    (live / "fullchain.pem").write_bytes((live / "cert.pem").read_bytes())

    assert on_disk.lacks(pair_of(tree, live)) == f"lacks certificates that {NAME}'s chain.pem has"
    assert on_disk.lacks(pair_of(tree, live, "cert.pem")) == ""


def test_a_chain_that_cannot_be_read_is_not_judged(tree: CertbotTree) -> None:
    live = tree.issue(NAME)
    broken = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    (live / "fullchain.pem").write_bytes((live / "cert.pem").read_bytes() + broken)
    assert on_disk.chain(pair_of(tree, live)) is None


def test_the_earlier_chain_is_that_of_the_version_that_is_served(tree: CertbotTree) -> None:
    live = tree.issue(NAME)
    first = disk_sha256(live)
    key = new_key()
    two = tree.authority.chain_pem + tree.authority.root_pem
    tree.write(NAME, leaf=tree.authority.leaf_pem(key, (NAME,)), chain=two, key=key_pem(key))
    second = disk_sha256(live)
    pair = pair_of(tree, tree.issue(NAME))

    def sent(served: str | None) -> int | None:
        found = on_disk.earlier_chain(pair, served)
        return None if found is None else len(found.links)

    assert (sent(first), sent(second), sent(None), sent("ff")) == (2, 3, 3, None)


@pytest.mark.parametrize("file", ["fullchain.pem", "cert.pem"])
def test_the_kinds_of_key_of_earlier_versions_are_known_back_to_the_first_that_ended(
    file: str, tree: CertbotTree
) -> None:
    now, ended = datetime.now(UTC), timedelta(days=91)
    for key_type, age in [("rsa", timedelta()), ("ed25519", ended), ("ecdsa", timedelta())]:
        tree.issue(NAME, key_type=key_type, age=age)
    live = tree.issue(NAME, key_type="rsa")

    assert on_disk.earlier_key_types(pair_of(tree, live, file), now) == {KeyType.ECDSA}
    assert on_disk.earlier_key_types(pair_of(tree, tree.issue("first.example"), file), now) == set()


def test_files_that_are_not_certbots_have_no_earlier_version(tree: CertbotTree, tmp_path: Path) -> None:
    live = tree.issue(NAME)
    (tmp_path / "fullchain2.pem").write_bytes((live / "fullchain.pem").read_bytes())
    assert on_disk.earlier_chain(pair_of(tree, tmp_path, "fullchain2.pem", live / "privkey.pem"), None) is None

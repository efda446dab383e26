"""What files on disk hold, to whom they belong, and what is wrong with them."""

import hashlib
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from exodus_certbot.certbot import lineage
from exodus_certbot.model import CertificateSource, KeyType, Pair
from exodus_certbot.tls import x509
from tests.parts.authority import Authority, CertbotTree, key_pem, new_key

NAME = "exodus.example"


@pytest.fixture
def tree(tmp_path: Path) -> CertbotTree:
    return CertbotTree(tmp_path / "letsencrypt")


def pair_of(tree: CertbotTree, certificate: Path, key: Path) -> Pair:
    return lineage.CertificateFiles(tree.folder).pair(CertificateSource(str(certificate), str(key)))


def faults_of(tree: CertbotTree, live: Path, file: str = "fullchain.pem") -> tuple[str, ...]:
    return lineage.faults(pair_of(tree, live / file, live / "privkey.pem"))


@pytest.mark.parametrize("kind", list(KeyType))
def test_a_leaf_is_described_by_the_hash_of_its_der_its_key_and_its_names(kind: KeyType, tree: CertbotTree) -> None:
    names = (NAME, "*.exodus.example", "192.0.2.1")
    pem = (tree.issue(NAME, names, key_type=kind) / "fullchain.pem").read_bytes()

    leaf = x509.leaf_of_pem(pem)

    der = ssl.PEM_cert_to_DER_cert(pem.decode().split("-----END")[0] + "-----END CERTIFICATE-----\n")
    assert leaf.sha256 == hashlib.sha256(der).hexdigest()
    assert (leaf.key_type, leaf.names) == (kind, names)
    assert (leaf.not_after - leaf.not_before).days == 90
    assert x509.certificate_of_der(der) == leaf


@pytest.mark.parametrize(
    "pem", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff\xfe"]
)
def test_what_is_no_certificate_is_said_to_be_none(pem: bytes) -> None:
    with pytest.raises(x509.CertificateUnreadable):
        x509.leaf_of_pem(pem)


def test_a_chain_is_in_order_when_each_was_signed_by_the_next() -> None:
    authority, other = Authority(), Authority()
    leaf = authority.leaf_pem(new_key(), (NAME,))

    assert x509.chain_fault(leaf) == ""
    assert x509.chain_fault(leaf + authority.chain_pem) == ""
    assert x509.chain_fault(leaf + authority.chain_pem + authority.root_pem) == ""
    assert "certificate 1 (CN=exodus.example) was not issued by" in x509.chain_fault(leaf + authority.root_pem)
    assert "out of order" in x509.chain_fault(authority.chain_pem + leaf)
    # The same names, and yet another key.
    assert "out of order" in x509.chain_fault(leaf + other.chain_pem)


def test_a_lineage_as_certbot_writes_it_has_no_fault(tree: CertbotTree) -> None:
    live = tree.issue(NAME)
    assert faults_of(tree, live) == faults_of(tree, live, "cert.pem") == ()


def test_a_key_of_another_certificate_is_a_fault(tree: CertbotTree) -> None:
    live, other = tree.issue(NAME), tree.issue("other.example")
    (fault,) = lineage.faults(pair_of(tree, live / "fullchain.pem", other / "privkey.pem"))
    assert fault == f"the key {other}/privkey.pem does not belong to the certificate {live}/fullchain.pem"


def test_a_missing_key_is_a_fault(tree: CertbotTree) -> None:
    live = tree.issue(NAME)
    (live / "privkey.pem").unlink()
    assert faults_of(tree, live) == (f"{live}/privkey.pem cannot be read: No such file or directory",)


def test_an_encrypted_key_is_for_nginx_to_open(tree: CertbotTree) -> None:
    key = new_key()
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"correct horse"),
    )
    authority = tree.authority
    live = tree.write(NAME, leaf=authority.leaf_pem(key, (NAME,)), chain=authority.chain_pem, key=locked)
    assert faults_of(tree, live) == ()


def test_a_fullchain_that_lost_its_chain_is_a_fault_and_a_leaf_by_choice_is_not(tree: CertbotTree) -> None:
    live = tree.issue(NAME)
    (live / "fullchain.pem").write_bytes((live / "cert.pem").read_bytes())

    assert faults_of(tree, live) == (f"{live}/fullchain.pem lacks certificates that {NAME}'s chain.pem has",)
    assert faults_of(tree, live, "cert.pem") == ()


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_a_certificate_that_cannot_be_read_is_a_fault_that_names_the_file(
    content: bytes | None, tree: CertbotTree
) -> None:
    live = tree.issue(NAME)
    (live / "fullchain.pem").unlink()
    if content is not None:
        (live / "fullchain.pem").write_bytes(content)

    (fault,) = faults_of(tree, live)

    assert fault.startswith(f"{live}/fullchain.pem ")


def test_the_lineage_is_found_through_links_of_the_operator(tree: CertbotTree, tmp_path: Path) -> None:
    live = tree.issue(NAME)
    linked, folder = tmp_path / "site.pem", tmp_path / "certificates"
    linked.symlink_to(live / "fullchain.pem")
    folder.symlink_to(live)
    (tmp_path / "through.pem").symlink_to("certificates/fullchain.pem")
    files = lineage.CertificateFiles(tree.folder)

    assert files.lineage_of(str(live / "fullchain.pem")) == live
    assert files.lineage_of(str(linked)) == live
    assert files.lineage_of(str(folder / "fullchain.pem")) == live
    assert files.lineage_of(str(tmp_path / "through.pem")) == live
    assert files.lineage_of(f"{tree.folder}/live/../live/{NAME}/fullchain.pem") == live


def test_a_copy_and_an_archive_file_are_no_lineage(tree: CertbotTree, tmp_path: Path) -> None:
    live, copy, loop = tree.issue(NAME), tmp_path / "copy.pem", tmp_path / "loop.pem"
    copy.write_bytes((live / "fullchain.pem").read_bytes())
    loop.symlink_to(loop)
    files = lineage.CertificateFiles(tree.folder)

    assert files.lineage_of(str(copy)) is None
    assert files.lineage_of(str((live / "fullchain.pem").resolve())) is None
    assert files.lineage_of(str(loop)) is None


def test_pem_text_in_the_configuration_is_read_and_never_shown(tree: CertbotTree) -> None:
    key = new_key()
    text = tree.authority.leaf_pem(key, (NAME,)).decode()
    source = CertificateSource(f"data:{text}", f"data:{key_pem(key).decode()}")

    pair = lineage.CertificateFiles(tree.folder).pair(source)

    assert pair.certificate is not None
    assert (pair.certificate.names, pair.lineage, lineage.faults(pair)) == ((NAME,), None, ())
    assert "BEGIN" not in source.shown


def test_a_lineage_is_opened_by_its_folder_in_live(tree: CertbotTree) -> None:
    live = tree.issue(NAME, (NAME, "www.exodus.example"))
    assert lineage.open_lineage(live, tree.folder) == lineage.Lineage(live, (NAME, "www.exodus.example"))


@pytest.mark.parametrize("folder", ["archive/exodus.example", "live", "live/../archive/exodus.example", "live/gone"])
def test_what_is_no_lineage_of_this_certbot_is_refused(folder: str, tree: CertbotTree) -> None:
    tree.issue(NAME)
    with pytest.raises(lineage.LineageUnusable, match="nothing was changed"):
        lineage.open_lineage(Path(f"{tree.folder}/{folder}"), tree.folder)


def test_a_file_that_no_certificate_is_as_large_as_is_not_read(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x" * 1024 * 1024)
    large.write_bytes(b"x" * (1024 * 1024 + 1))

    assert len(lineage.read_bytes(small)) == 1024 * 1024
    with pytest.raises(lineage.LineageUnusable, match="larger than"):
        lineage.read_bytes(large)

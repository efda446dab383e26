"""What files on disk hold, to whom they belong, and what is wrong with them."""

import hashlib
import ssl
from pathlib import Path

import pytest

from exodus_certbot.certbot import lineage, on_disk
from exodus_certbot.model import CertificateSource, KeyType, Pair
from exodus_certbot.tls import x509
from tests.parts.authority import CertbotTree, key_pem, new_key

NAME = "exodus.example"


@pytest.fixture
def tree(tmp_path: Path) -> CertbotTree:
    return CertbotTree(tmp_path / "letsencrypt")


def pair_of(tree: CertbotTree, certificate: Path, key: Path) -> Pair:
    return lineage.CertificateFiles(tree.folder).pair(CertificateSource(str(certificate), str(key)))


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


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_a_certificate_that_cannot_be_read_is_a_problem_that_names_the_file(
    content: bytes | None, tree: CertbotTree
) -> None:
    live = tree.issue(NAME)
    (live / "fullchain.pem").unlink()
    if content is not None:
        (live / "fullchain.pem").write_bytes(content)

    assert pair_of(tree, live / "fullchain.pem", live / "privkey.pem").problem.startswith(f"{live}/fullchain.pem ")


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
    assert files.lineage_of(f"{live}/full\0chain.pem") is None
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
    assert (pair.certificate.names, pair.lineage) == ((NAME,), None)
    assert (on_disk.key_fault(pair), on_disk.lacks(pair)) == ("", "")
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

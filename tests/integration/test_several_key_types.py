"""A server with certificates of two key types: each is asked for by itself, and only the old one is called stale."""

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.ports import free_port
from tests.parts.witness import disk_sha256

NAME = "exodus.example"
ONLY_TLS_1_3 = "ssl_protocols TLSv1.3;"


def _assert_only_the_renewed_is_stale(
    tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, listen: str, kinds: str, more: str = ""
) -> None:
    """Serve one lineage of each kind, renew the first one, and see what check says before and after a repair."""
    renewed, kept = kinds.split()
    lineages = [tree.issue(f"{kind}.{NAME}", (NAME,), key_type=kind) for kind in sorted((renewed, kept))]
    old = {kind: disk_sha256(tree.folder / "live" / f"{kind}.{NAME}") for kind in (renewed, kept)}
    start_nginx(server(listen, NAME, *lineages, more=more))
    new = disk_sha256(tree.issue(f"{renewed}.{NAME}", (NAME,), key_type=renewed))
    fields = ("key_type", "verdict", "served_sha256", "expected_sha256")

    found = exodus_certbot("check", "--json")
    repaired = exodus_certbot("reconcile", "--json")

    stale = [(kept, "ok", old[kept], old[kept]), (renewed, "stale", old[renewed], new)]
    assert found.listed(*fields) == sorted(stale, key=repr)
    assert found.exit_code == 1
    assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True)
    mended = [(kept, "ok", old[kept], old[kept]), (renewed, "ok", new, new)]
    assert repaired.listed(*fields) == sorted(mended, key=repr)


@pytest.mark.parametrize("kinds", ["rsa ecdsa", "ecdsa rsa", "ed25519 ecdsa"])
@pytest.mark.parametrize("more", ["", ONLY_TLS_1_3], ids=["TLS", "TLS 1.3"])
def test_only_the_certificate_that_was_renewed_is_stale(
    kinds: str, more: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    listen = f"127.0.0.1:{free_port()} ssl"
    _assert_only_the_renewed_is_stale(certbot_tree, start_nginx, exodus_certbot, listen, kinds, more)


def test_only_the_certificate_that_was_renewed_is_stale_with_tls_1_2_alone(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    listen, more = f"127.0.0.1:{free_port()} ssl", "ssl_protocols TLSv1.2;"
    _assert_only_the_renewed_is_stale(certbot_tree, start_nginx, exodus_certbot, listen, "ed25519 ecdsa", more)


@pytest.mark.parametrize("kinds", ["rsa ecdsa", "ed25519 ecdsa"])
def test_only_the_renewed_one_is_stale_behind_proxy_protocol_with_tls_1_3_alone(
    kinds: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    listen = f"127.0.0.1:{free_port()} ssl proxy_protocol"
    _assert_only_the_renewed_is_stale(certbot_tree, start_nginx, exodus_certbot, listen, kinds, ONLY_TLS_1_3)


@pytest.mark.parametrize(("kinds", "flags"), [("rsa ecdsa", "ssl"), ("ecdsa rsa", "ssl proxy_protocol")])
def test_only_the_renewed_one_is_stale_on_a_unix_socket_with_tls_1_3_alone(
    kinds: str, flags: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    listen = f"unix:{certbot_tree.folder.parent}/tls.sock {flags}"
    _assert_only_the_renewed_is_stale(certbot_tree, start_nginx, exodus_certbot, listen, kinds, ONLY_TLS_1_3)


def test_of_two_certificates_of_one_key_type_the_later_one_counts(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    first, second = (certbot_tree.issue(name, (NAME,)) for name in ("first.example", "second.example"))
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, first, second))

    found = exodus_certbot("check", "--json")

    assert found.exit_code == 0
    served = disk_sha256(second)
    expected = [("not-probed", str(first), None), ("ok", str(second), served)]
    assert found.listed("verdict", "lineage", "served_sha256") == expected


def test_three_key_types_at_once_are_all_seen(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    kinds = ("ecdsa", "ed25519", "rsa")
    lineages = [certbot_tree.issue(f"{kind}.{NAME}", (NAME,), key_type=kind) for kind in kinds]
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, *lineages))

    found = exodus_certbot("check", "--json")

    assert found.listed("key_type", "verdict") == [(kind, "ok") for kind in kinds]

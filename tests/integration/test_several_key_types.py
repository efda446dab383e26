"""A server with certificates of two key types: each is asked for by itself, and only the old one is called stale."""

from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.nginx import version
from tests.parts.ports import free_port
from tests.parts.waiting import wait_until
from tests.parts.witness import disk_sha256, worker_pids

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


USUALLY_TLS_1_3_SINCE = (1, 23, 4)  # TLS 1.3 has no suites for keys
ONLY_ECDSA = "ssl_protocols TLSv1.2; ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256;"
ONLY_ECDSA_BY_COMMAND = "ssl_protocols TLSv1.2; ssl_conf_command CipherString ECDHE-ECDSA-AES128-GCM-SHA256;"
ONLY_ECDSA_SIGNS = "ssl_protocols TLSv1.2 TLSv1.3; ssl_conf_command SignatureAlgorithms ECDSA+SHA256:ECDSA+SHA384;"


def _both(tree: CertbotTree) -> list[Path]:
    return [tree.issue(f"{kind}.{NAME}", (NAME,), key_type=kind) for kind in ("ecdsa", "rsa")]


@pytest.mark.parametrize(
    "more",
    [
        ONLY_ECDSA,
        ONLY_ECDSA_BY_COMMAND,
        ONLY_ECDSA_SIGNS,
        *([ONLY_ECDSA.partition("; ")[2]] if version() < USUALLY_TLS_1_3_SINCE else []),
    ],
)
def test_a_key_type_that_the_suites_keep_from_every_client_is_not_probed(
    more: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineages = _both(certbot_tree)
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, *lineages, more=more))
    certbot_tree.issue(f"ecdsa.{NAME}", (NAME,), key_type="ecdsa")

    repaired = exodus_certbot("reconcile", "--json")
    found = exodus_certbot("check", "--json")
    deployed = exodus_certbot("deploy", "--lineage", str(lineages[1]), "--json")

    assert (repaired.exit_code, found.exit_code, deployed.exit_code) == (0, 0, 0)
    assert found.listed("key_type", "verdict") == [("ecdsa", "ok"), ("rsa", "not-probed")]
    assert deployed.listed("key_type", "verdict") == [("rsa", "not-probed")]
    assert "no client can be shown it" in deployed.json["listeners"][0]["reason"]


def test_a_key_type_that_is_shown_only_after_a_reload_is_unreachable_until_then(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineages, listen = _both(certbot_tree), f"127.0.0.1:{free_port()} ssl"
    nginx = start_nginx(server(listen, NAME, *lineages, more=ONLY_ECDSA))
    nginx.write(server(listen, NAME, *lineages, more="ssl_protocols TLSv1.2;"))

    found = exodus_certbot("check", "--json")
    deployed = exodus_certbot("deploy", "--lineage", str(lineages[1]), "--json")

    assert found.listed("key_type", "verdict") == [("ecdsa", "ok"), ("rsa", "unreachable")]
    assert (deployed.exit_code, deployed.json["reloaded"]) == (0, True)
    assert deployed.listed("key_type", "verdict") == [("rsa", "ok")]


# --- one of the pair is renewed with the other's kind of key ---


@pytest.mark.parametrize("more", ["ssl_protocols TLSv1.2;", ONLY_TLS_1_3], ids=["TLS 1.2", "TLS 1.3"])
@pytest.mark.parametrize("place", [0, 1], ids=["rsa first", "rsa last"])
def test_an_rsa_certificate_that_is_in_no_file_any_more_is_stale_and_not_given_up(
    place: int, more: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    ecdsa, rsa = _both(certbot_tree)
    lineages = [rsa, ecdsa] if place == 0 else [ecdsa, rsa]
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, *lineages, more=more))
    served = disk_sha256(rsa)
    certbot_tree.issue(rsa.name, (NAME,), key_type="ecdsa")

    looked = exodus_certbot("check", "--json")
    deployed = exodus_certbot("deploy", "--lineage", str(rsa), "--json")
    reconciled = exodus_certbot("reconcile", "--json")

    for found in (looked, deployed, reconciled):
        assert (found.exit_code, found.json["verdict"], found.json["reloaded"]) == (1, "critical", False)
        kept = ("rsa", "stale", str(rsa), served, None)
        assert kept in found.listed("key_type", "verdict", "lineage", "served_sha256", "expected_sha256")
    for found in (deployed, reconciled):
        assert f"certbot renew --cert-name {rsa.name} --key-type rsa --force-renewal" in found.json["reason"]
    assert nginx.reloads == 0


def test_after_what_the_remedy_says_both_kinds_are_right_again(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    ecdsa, rsa = _both(certbot_tree)
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, ecdsa, rsa))
    for key_type in ("ecdsa", "rsa"):
        certbot_tree.issue(rsa.name, (NAME,), key_type=key_type)

    repaired = exodus_certbot("reconcile", "--json")

    assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True)
    assert repaired.listed("key_type", "verdict") == [("ecdsa", "ok"), ("rsa", "ok")]


def test_who_gives_up_a_kind_of_key_by_hand_is_told_nothing_of_it_any_more(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    ecdsa, rsa = _both(certbot_tree)
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, ecdsa, rsa)).at_rest()
    new = disk_sha256(certbot_tree.issue(rsa.name, (NAME,), key_type="ecdsa"))
    wait_until(lambda: len(worker_pids(nginx.pid)) == nginx.workers)  # a worker has its title later than it is logged
    old = worker_pids(nginx.pid)
    nginx.reload()
    wait_until(lambda: len(worker_pids(nginx.pid) - old) == nginx.workers and not worker_pids(nginx.pid) & old)

    found = exodus_certbot("check", "--json")

    assert found.exit_code == 0
    assert found.listed("verdict", "served_sha256") == [("not-probed", None), ("ok", new)]

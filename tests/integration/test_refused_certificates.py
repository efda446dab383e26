"""What is on disk is worse than what is served: it is refused before the reload, and the old one stays."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree, key_pem, new_key
from tests.parts.command import ExodusCertbot, Ran
from tests.parts.configuration import server
from tests.parts.nginx import RealNginx
from tests.parts.ports import free_port
from tests.parts.witness import all_served_sha256, disk_sha256, served_sha256, worker_pids

NAME, OTHER = "exodus.example", "other.example"


@dataclass(frozen=True)
class Site:
    """An nginx that serves the first version of a lineage, and what it looked like then."""

    nginx: RealNginx
    lineage: Path
    port: int
    served: str
    workers: set[int]

    def assert_untouched(self) -> None:
        assert all_served_sha256(self.port, NAME) == {self.served}
        assert worker_pids(self.nginx.pid) == self.workers


@pytest.fixture
def site(certbot_tree: CertbotTree, start_nginx: StartNginx) -> Site:
    """Serve one lineage under the one name that it covers, and under one that it never covered."""
    lineage, port = certbot_tree.issue(NAME), free_port()
    nginx = start_nginx(server(f"127.0.0.1:{port} ssl", f"{NAME} {OTHER}", lineage), workers=1)
    served = served_sha256(port, NAME)  # whoever has answered is fully up: from now on its process id counts
    return Site(nginx, lineage, port, served, worker_pids(nginx.pid))


def _deploy(exodus_certbot: ExodusCertbot, site: Site) -> Ran:
    return exodus_certbot("deploy", "--lineage", str(site.lineage), "--json")


def _assert_refused(deployed: Ran, *reasons: str) -> None:
    assert deployed.exit_code == 1
    assert (deployed.json["verdict"], deployed.json["reloaded"]) == ("critical", False)
    assert [reason for reason in reasons if reason not in deployed.json["reason"]] == [], deployed.json["reason"]
    assert deployed.listed("name", "verdict") == [(NAME, "stale"), (OTHER, "stale")]


def _root_pem(tree: CertbotTree) -> bytes:
    return tree.authority.root.public_bytes(serialization.Encoding.PEM)


def test_a_name_that_neither_the_old_nor_the_new_certificate_covers_blocks_nothing(
    certbot_tree: CertbotTree, site: Site, exodus_certbot: ExodusCertbot
) -> None:
    new = disk_sha256(certbot_tree.issue(NAME))

    deployed = _deploy(exodus_certbot, site)

    assert (deployed.exit_code, deployed.json["reloaded"]) == (0, True)
    assert deployed.listed("name", "verdict") == [(NAME, "ok"), (OTHER, "ok")]
    assert all_served_sha256(site.port, NAME) == {new}


def test_a_key_of_another_certificate_is_refused_and_named(
    certbot_tree: CertbotTree, site: Site, exodus_certbot: ExodusCertbot
) -> None:
    leaf, chain = certbot_tree.authority.leaf_pem(new_key(), (NAME,)), certbot_tree.authority.chain_pem
    certbot_tree.write(NAME, leaf=leaf, chain=chain, key=key_pem(new_key()))

    deployed = _deploy(exodus_certbot, site)

    said = f"the key {site.lineage}/privkey.pem does not belong to the certificate {site.lineage}/fullchain.pem"
    _assert_refused(deployed, said)
    site.assert_untouched()


def test_a_key_that_is_no_key_is_refused_and_named(
    certbot_tree: CertbotTree, site: Site, exodus_certbot: ExodusCertbot
) -> None:
    leaf, chain = certbot_tree.authority.leaf_pem(new_key(), (NAME,)), certbot_tree.authority.chain_pem
    certbot_tree.write(NAME, leaf=leaf, chain=chain, key=b"")

    deployed = _deploy(exodus_certbot, site)

    _assert_refused(deployed, f"{site.lineage}/privkey.pem")
    site.assert_untouched()


def test_a_chain_out_of_order_is_refused(certbot_tree: CertbotTree, site: Site, exodus_certbot: ExodusCertbot) -> None:
    key = new_key()
    leaf, chain = certbot_tree.authority.leaf_pem(key, (NAME,)), certbot_tree.authority.chain_pem
    certbot_tree.write(NAME, leaf=leaf, chain=_root_pem(certbot_tree) + chain, key=key_pem(key))

    deployed = _deploy(exodus_certbot, site)

    _assert_refused(deployed, f"{site.lineage}/fullchain.pem is out of order")
    site.assert_untouched()


def test_a_longer_chain_in_order_is_not_refused(
    certbot_tree: CertbotTree, site: Site, exodus_certbot: ExodusCertbot
) -> None:
    key = new_key()
    leaf, chain = certbot_tree.authority.leaf_pem(key, (NAME,)), certbot_tree.authority.chain_pem
    certbot_tree.write(NAME, leaf=leaf, chain=chain + _root_pem(certbot_tree), key=key_pem(key))

    assert _deploy(exodus_certbot, site).exit_code == 0


def test_a_fullchain_that_ends_after_the_leaf_is_refused(
    certbot_tree: CertbotTree, site: Site, exodus_certbot: ExodusCertbot
) -> None:
    certbot_tree.issue(NAME)
    (site.lineage / "fullchain.pem").write_bytes((site.lineage / "cert.pem").read_bytes())

    deployed = _deploy(exodus_certbot, site)

    _assert_refused(deployed, f"{site.lineage}/fullchain.pem lacks certificates that {NAME}'s chain.pem has")
    site.assert_untouched()


def test_a_fullchain_that_ends_in_the_middle_of_the_intermediate_is_refused(
    certbot_tree: CertbotTree, site: Site, exodus_certbot: ExodusCertbot
) -> None:
    certbot_tree.issue(NAME)
    whole = (site.lineage / "fullchain.pem").read_bytes()
    (site.lineage / "fullchain.pem").write_bytes(whole[:-200])

    deployed = _deploy(exodus_certbot, site)

    _assert_refused(deployed, f"{site.lineage}/fullchain.pem")
    site.assert_untouched()


def test_a_certificate_without_a_chain_is_not_refused_where_the_lineage_has_none(
    certbot_tree: CertbotTree, site: Site, exodus_certbot: ExodusCertbot
) -> None:
    key = new_key()
    certbot_tree.write(NAME, leaf=certbot_tree.authority.leaf_pem(key, (NAME,)), chain=b"", key=key_pem(key))

    assert _deploy(exodus_certbot, site).exit_code == 0


def test_a_new_certificate_that_has_expired_is_refused(
    certbot_tree: CertbotTree, site: Site, exodus_certbot: ExodusCertbot
) -> None:
    certbot_tree.issue(NAME, age=timedelta(days=91))

    deployed = _deploy(exodus_certbot, site)

    _assert_refused(deployed, f"the certificate in {site.lineage}/fullchain.pem expired on ")
    site.assert_untouched()


def test_a_new_certificate_that_is_not_valid_yet_is_refused(
    certbot_tree: CertbotTree, site: Site, exodus_certbot: ExodusCertbot
) -> None:
    certbot_tree.issue(NAME, age=timedelta(hours=-3))

    deployed = _deploy(exodus_certbot, site)

    _assert_refused(deployed, f"the certificate in {site.lineage}/fullchain.pem is not valid before ")
    site.assert_untouched()


def test_a_new_certificate_that_ends_soon_is_still_better_than_none(
    certbot_tree: CertbotTree, site: Site, exodus_certbot: ExodusCertbot
) -> None:
    certbot_tree.issue(NAME, age=timedelta(days=89, hours=23))

    deployed = _deploy(exodus_certbot, site)

    assert (deployed.exit_code, deployed.json["verdict"], deployed.json["reloaded"]) == (0, "warning", True)
    assert deployed.listed("verdict") == [("expiring",), ("expiring",)]


def test_a_new_certificate_that_lacks_a_name_that_is_served_is_refused(
    certbot_tree: CertbotTree, site: Site, exodus_certbot: ExodusCertbot
) -> None:
    certbot_tree.issue(NAME, ("third.example",))

    deployed = _deploy(exodus_certbot, site)

    said = f"the certificate in {site.lineage}/fullchain.pem does not cover {NAME}, which nginx serves with it"
    _assert_refused(deployed, said)
    assert OTHER not in deployed.json["reason"]
    site.assert_untouched()


@pytest.mark.parametrize("names", [(NAME, "third.example"), (f"*.{NAME}", NAME), ("*.example",)])
def test_a_new_certificate_with_other_names_that_covers_what_is_served_is_not_refused(
    names: tuple[str, ...], certbot_tree: CertbotTree, site: Site, exodus_certbot: ExodusCertbot
) -> None:
    certbot_tree.issue(NAME, names)

    assert _deploy(exodus_certbot, site).exit_code == 0


def test_reconcile_refuses_as_deploy_does_and_takes_the_next_renewal(
    certbot_tree: CertbotTree, site: Site, exodus_certbot: ExodusCertbot
) -> None:
    certbot_tree.issue(NAME, age=timedelta(days=91))
    _assert_refused(exodus_certbot("reconcile", "--json"), "expired on ")
    site.assert_untouched()

    new = disk_sha256(certbot_tree.issue(NAME))
    assert exodus_certbot("reconcile").exit_code == 0
    assert all_served_sha256(site.port, NAME) == {new}


@pytest.mark.parametrize("age", [timedelta(days=91), timedelta(hours=-3)], ids=["expired", "not yet valid"])
def test_a_deployment_does_not_load_what_is_worse_in_another_lineage(
    age: timedelta, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, other, port = certbot_tree.issue(NAME), certbot_tree.issue(OTHER), free_port()
    listen, served = f"127.0.0.1:{port} ssl", disk_sha256(other)
    start_nginx(server(listen, NAME, lineage) + server(listen, OTHER, other))
    certbot_tree.issue(NAME)
    certbot_tree.issue(OTHER, age=age)

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    assert all_served_sha256(port, OTHER) == {served}, "a reload loads every lineage, not only the one it is for"
    assert (deployed.exit_code, deployed.json["reloaded"]) == (1, False)
    assert f"{other}/fullchain.pem" in deployed.json["reason"]


def test_a_deployment_loads_what_is_better_in_another_lineage(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, other, port = certbot_tree.issue(NAME), certbot_tree.issue(OTHER), free_port()
    listen = f"127.0.0.1:{port} ssl"
    start_nginx(server(listen, NAME, lineage) + server(listen, OTHER, other))
    new = disk_sha256(certbot_tree.issue(NAME)), disk_sha256(certbot_tree.issue(OTHER))

    deployed = exodus_certbot("deploy", "--lineage", str(lineage))

    assert deployed.exit_code == 0
    assert (all_served_sha256(port, NAME), all_served_sha256(port, OTHER)) == ({new[0]}, {new[1]})

"""`ssl_certificate` with a variable: nginx reads the file at each handshake, as a worker, and its test says nothing."""

import os
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server, workers_as_myself
from tests.parts.nginx import NGINX
from tests.parts.ports import free_port
from tests.parts.processes import run
from tests.parts.witness import all_served_sha256, disk_sha256, served_sha256

NAME = "exodus.example"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start workers that are somebody else")


def _by_name(tree: CertbotTree) -> str:
    live = tree.folder / "live/$ssl_server_name"
    return f"ssl_certificate {live}/fullchain.pem; ssl_certificate_key {live}/privkey.pem;"


def _by_map(lineage: Path) -> tuple[str, str]:
    maps = "".join(
        f"map $ssl_server_name ${kind} {{ default {lineage}/{kind}.pem; }}\n" for kind in ("fullchain", "privkey")
    )
    return maps, "ssl_certificate $fullchain; ssl_certificate_key $privkey;"


def test_the_name_asked_for_in_a_path_leads_to_the_lineage(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue(NAME)
    http = server(f"127.0.0.1:{free_port()} ssl", NAME, more=_by_name(certbot_tree))
    start_nginx(http, main=workers_as_myself())

    found = exodus_certbot("check", "--json")

    assert found.exit_code == 0
    disk = disk_sha256(lineage)
    assert found.listed("verdict", "lineage", "served_sha256", "expected_sha256") == [("ok", str(lineage), disk, disk)]


def test_a_renewal_that_nginx_takes_up_by_itself_needs_no_reload(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    http = server(f"127.0.0.1:{port} ssl", NAME, more=_by_name(certbot_tree))
    start_nginx(http, main=workers_as_myself())
    new = disk_sha256(certbot_tree.issue(NAME))

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    assert (deployed.exit_code, deployed.json["reloaded"]) == (0, False)
    assert deployed.listed("verdict", "served_sha256") == [("ok", new)]
    assert all_served_sha256(port, NAME) == {new}


@as_root
def test_files_that_workers_may_not_read_are_found_though_nginx_test_is_happy(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue(NAME)
    certbot_tree.folder.chmod(0o700)
    http = server(f"127.0.0.1:{free_port()} ssl", NAME, more=_by_name(certbot_tree))
    nginx = start_nginx(http, main="user www-data;")
    assert run([NGINX, "-t", "-c", str(nginx.conf)], env=os.environ).exit_code == 0

    found = exodus_certbot("check", "--json")

    assert (found.exit_code, found.json["verdict"]) == (1, "critical")
    assert found.listed("verdict", "lineage", "served_sha256") == [("unreachable", str(lineage), None)]


@as_root
def test_files_that_workers_may_not_read_are_no_reason_to_reload_which_would_change_nothing(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue(NAME)
    certbot_tree.folder.chmod(0o700)
    http = server(f"127.0.0.1:{free_port()} ssl", NAME, more=_by_name(certbot_tree))
    start_nginx(http, main="user www-data;")

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--timeout", "2", "--json")

    assert (deployed.exit_code, deployed.json["verdict"], deployed.json["reloaded"]) == (1, "critical", False)
    assert deployed.listed("verdict") == [("unreachable",)]
    assert "reloaded" not in deployed.json["reason"]


@as_root
def test_a_plain_path_that_workers_may_not_read_is_no_problem_since_the_master_reads_it(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue(NAME)
    certbot_tree.folder.chmod(0o700)
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, lineage), main="user www-data;")

    found = exodus_certbot("check", "--json")

    assert (found.exit_code, found.listed("verdict")) == (0, [("ok",)])


def test_a_variable_of_a_map_is_not_probed_and_says_so(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue(NAME)
    maps, directives = _by_map(lineage)
    http = maps + server(f"127.0.0.1:{free_port()} ssl", NAME, more=directives)
    start_nginx(http, main=workers_as_myself())

    found = exodus_certbot("check", "--json")

    assert (found.exit_code, found.json["verdict"]) == (0, "ok")
    expected = [("not-probed", None, None, disk_sha256(lineage))]
    assert found.listed("verdict", "lineage", "expected_sha256", "served_sha256") == expected
    assert "variable" in found.json["listeners"][0]["reason"]


@as_root
def test_a_variable_of_a_map_that_leads_to_nothing_readable_is_unreachable(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue(NAME)
    certbot_tree.folder.chmod(0o700)
    maps, directives = _by_map(lineage)
    http = maps + server(f"127.0.0.1:{free_port()} ssl", NAME, more=directives)
    start_nginx(http, main="user www-data;")

    found = exodus_certbot("check", "--json")

    assert (found.exit_code, found.listed("verdict")) == (1, [("unreachable",)])


@pytest.mark.parametrize("names", ["_", f"*.{NAME}", f".{NAME}", ""], ids=["catch-all", "wildcard", "dot", "nameless"])
def test_where_the_file_depends_on_a_name_that_we_would_invent_nothing_is_claimed(
    names: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    http = server(f"127.0.0.1:{port} ssl", names or '""', more=_by_name(certbot_tree))
    start_nginx(http, main=workers_as_myself())

    found = exodus_certbot("check", "--json")

    assert served_sha256(port, NAME) == disk_sha256(lineage)
    assert {row["verdict"] for row in found.json["listeners"]} <= {"ok", "not-probed"}, found.stdout
    assert found.exit_code == 0

"""Two nginx answer at one port, one of them with an older certificate: never called right, and never by chance."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.nginx import RealNginx, running_nginx
from tests.parts.ports import free_port
from tests.parts.waiting import wait_until
from tests.parts.witness import all_served_sha256, disk_sha256, worker_pids

NAME = "exodus.example"


@pytest.fixture
def reloaded_alone(certbot_tree: CertbotTree, start_nginx: StartNginx, tmp_path: Path) -> Iterator[None]:
    """Run two nginx whose listeners share a port, and reload one of them with a renewed certificate."""
    port = free_port()
    http = server(f"127.0.0.1:{port} ssl reuseport", NAME, certbot_tree.issue(NAME))
    nginx = start_nginx(http)
    with running_nginx(tmp_path / "other", http):
        renewed = disk_sha256(certbot_tree.issue(NAME))
        nginx.reload()
        wait_until(lambda: renewed in all_served_sha256(port, NAME))
        yield


@pytest.mark.usefixtures("reloaded_alone")
def test_a_port_of_two_masters_is_never_called_right(exodus_certbot: ExodusCertbot) -> None:
    looks = [exodus_certbot("check", "--json") for _ in range(3)]
    reconciled = exodus_certbot("reconcile", "--json", "--timeout", "3")

    for found in (*looks, reconciled):
        assert (found.exit_code, found.json["verdict"]) == (1, "critical")
        assert found.listed("verdict") == [("stale",)]
    assert all(found.json["listeners"][0]["reason"].startswith("answers differ: ") for found in looks)


def test_the_reload_is_proven_where_one_master_alone_has_the_port(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl reuseport", NAME, lineage))
    certbot_tree.issue(NAME)

    reloaded = exodus_certbot("reconcile", "--json")

    assert (reloaded.exit_code, reloaded.json["reloaded"]) == (0, True)
    assert all_served_sha256(port, NAME) == {disk_sha256(lineage)}


def test_workers_of_an_upgraded_master_that_still_accept_are_seen(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME))).at_rest()
    certbot_tree.issue(NAME)
    old = nginx.pid
    os.kill(old, signal.SIGUSR2)
    try:
        wait_until(lambda: _runs_another_master(nginx, old))
        looks = [exodus_certbot("check", "--json") for _ in range(2)]
    finally:
        os.kill(old, signal.SIGQUIT)

    assert [found.listed("verdict") for found in looks] == [[("stale",)]] * 2


def _runs_another_master(nginx: RealNginx, old: int) -> bool:
    try:
        return nginx.pid != old and bool(worker_pids(nginx.pid))
    except (OSError, ValueError):
        return False

"""Another process took a port that nginx is configured to listen on: it then keeps its whole old configuration."""

import os
import socket
from collections.abc import Iterator

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.nginx import NGINX
from tests.parts.ports import free_port, held_port
from tests.parts.processes import run
from tests.parts.witness import all_served_sha256, disk_sha256

NAME = "exodus.example"


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """Hold a port that nginx will want."""
    with held_port() as holder:
        yield holder


def test_a_reload_that_cannot_bind_is_a_failure_with_nginx_own_last_word(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, taken: socket.socket
) -> None:
    lineage, port, busy = certbot_tree.issue(NAME), free_port(), taken.getsockname()[1]
    old = disk_sha256(lineage)
    nginx = start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    nginx.write(server(f"127.0.0.1:{port} ssl, 127.0.0.1:{busy} ssl", NAME, lineage))
    new = disk_sha256(certbot_tree.issue(NAME))
    assert run([NGINX, "-t", "-c", str(nginx.conf)], env=os.environ).exit_code == 0

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--timeout", "20", "--json")

    assert (deployed.exit_code, deployed.json["reloaded"]) == (1, False)
    assert deployed.json["verdict"] == "critical"
    assert "still could not bind()" in deployed.json["reason"]
    expected = sorted([(port, "stale", old), (busy, "unreachable", None)], key=repr)
    assert deployed.listed("port", "verdict", "served_sha256") == expected
    assert all_served_sha256(port, NAME) == {old}

    taken.close()
    repaired = exodus_certbot("reconcile", "--json")
    assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True)
    assert all_served_sha256(port, NAME) == all_served_sha256(busy, NAME) == {new}


def test_a_renewal_opens_a_listener_that_is_new_in_the_configuration(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port, fresh = certbot_tree.issue(NAME), free_port(), free_port()
    nginx = start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    nginx.write(server(f"127.0.0.1:{port} ssl, 127.0.0.1:{fresh} ssl", NAME, lineage))
    new = disk_sha256(certbot_tree.issue(NAME))

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--timeout", "20", "--json")

    assert (deployed.exit_code, deployed.json["reloaded"]) == (0, True)
    assert all_served_sha256(port, NAME) == all_served_sha256(fresh, NAME) == {new}


def test_a_rejected_reload_that_nobody_can_read_about_shows_what_is_served_still(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, taken: socket.socket
) -> None:
    lineage, port, busy = certbot_tree.issue(NAME), free_port(), taken.getsockname()[1]
    old = disk_sha256(lineage)
    nginx = start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    nginx.write(server(f"127.0.0.1:{port} ssl, 127.0.0.1:{busy} ssl", NAME, lineage))
    nginx.conf.write_text(nginx.conf.read_text().replace(str(nginx.error_log), "stderr"))
    certbot_tree.issue(NAME)

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--timeout", "3", "--json")

    assert (deployed.exit_code, deployed.json["verdict"]) == (1, "critical")
    seen = {row["port"]: row for row in deployed.json["listeners"]}
    assert (seen[port]["verdict"], seen[port]["served_sha256"]) == ("stale", old)

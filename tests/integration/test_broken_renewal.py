"""What is on disk, or nginx.conf, is not fit to be served: the old certificate stays, and the reason is told."""

import socket
from datetime import timedelta

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree, key_pem, new_key
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.nginx import RealNginx
from tests.parts.ports import free_port
from tests.parts.witness import served_sha256, worker_pids

NAME = "exodus.example"


def test_keeps_the_old_certificate_while_nginx_conf_is_broken_and_repairs_once_it_is_mended(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    nginx = start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    old, good = served_sha256(port, NAME), nginx.conf.read_text()
    certbot_tree.issue(NAME)
    nginx.conf.write_text(good + "servre { }\n")

    told = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    assert told.exit_code == 1
    assert told.json["verdict"] == "critical"
    assert told.json["reloaded"] is False
    assert f'unknown directive "servre" in {nginx.conf}:' in told.json["reason"]
    assert [row["verdict"] for row in told.json["listeners"]] == ["stale"]
    assert exodus_certbot("reconcile").exit_code == 1
    assert served_sha256(port, NAME) == old

    nginx.conf.write_text(good)
    repaired = exodus_certbot("reconcile", "--json")
    assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True)
    assert served_sha256(port, NAME) == repaired.json["listeners"][0]["expected_sha256"] != old


def test_tells_nginx_s_last_word_when_a_taken_port_makes_it_reject_the_reload_in_silence(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port, taken = certbot_tree.issue(NAME), free_port(), free_port()
    servers = server(f"127.0.0.1:{port} ssl", NAME, lineage)
    nginx = start_nginx(servers)
    old = served_sha256(port, NAME)
    certbot_tree.issue(NAME)
    with socket.create_server(("127.0.0.1", taken)):
        nginx.write(servers + f"server {{ listen 127.0.0.1:{taken}; }}")

        told = exodus_certbot("deploy", "--lineage", str(lineage), "--json", "--timeout", "30")

        assert told.exit_code == 1
        assert told.json["verdict"] == "critical"
        assert told.json["reloaded"] is False
        assert "still could not bind()" in told.json["reason"]
        assert [row["verdict"] for row in told.json["listeners"]] == ["stale"]
        assert served_sha256(port, NAME) == old

    repaired = exodus_certbot("reconcile", "--json")
    assert (repaired.exit_code, repaired.json["reloaded"]) == (0, True)
    assert served_sha256(port, NAME) != old


def _deploys_nothing(
    exodus_certbot: ExodusCertbot, nginx: RealNginx, port: int, because: str, old: str, lineage: str
) -> None:
    workers = worker_pids(nginx.pid)
    told = exodus_certbot("deploy", "--lineage", lineage, "--json")
    assert told.exit_code == 1
    assert told.json["verdict"] == "critical"
    assert told.json["reloaded"] is False
    assert because in told.json["reason"]
    assert worker_pids(nginx.pid) == workers
    assert served_sha256(port, NAME) == old
    assert exodus_certbot("reconcile").exit_code == 1
    assert worker_pids(nginx.pid) == workers


def test_refuses_a_key_that_does_not_belong_to_the_certificate(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    nginx = start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    old = served_sha256(port, NAME)
    leaf = certbot_tree.authority.leaf_pem(new_key(), (NAME,))

    certbot_tree.write(NAME, leaf=leaf, chain=certbot_tree.authority.chain_pem, key=key_pem(new_key()))

    because = f"the key {lineage}/privkey.pem does not belong to the certificate {lineage}/fullchain.pem"
    _deploys_nothing(exodus_certbot, nginx, port, because, old, str(lineage))


@pytest.mark.parametrize(
    ("lifetime", "age", "because"),
    [
        pytest.param(timedelta(days=90), timedelta(days=91), "expired on", id="expired"),
        pytest.param(timedelta(days=90), timedelta(days=-1), "is not valid before", id="not yet valid"),
    ],
)
def test_refuses_a_certificate_that_is_not_valid_today(
    certbot_tree: CertbotTree,
    start_nginx: StartNginx,
    exodus_certbot: ExodusCertbot,
    lifetime: timedelta,
    age: timedelta,
    because: str,
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    nginx = start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    old = served_sha256(port, NAME)

    certbot_tree.issue(NAME, lifetime=lifetime, age=age)

    _deploys_nothing(exodus_certbot, nginx, port, because, old, str(lineage))


@pytest.mark.parametrize(
    ("broken", "because"),
    [
        pytest.param("reversed", "is out of order", id="out of order"),
        pytest.param("missing", "lacks certificates that exodus.example's chain.pem has", id="cut short"),
    ],
)
def test_refuses_a_chain_that_clients_could_not_follow(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, broken: str, because: str
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    nginx = start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    old = served_sha256(port, NAME)
    certbot_tree.issue(NAME)
    authority, fullchain = certbot_tree.authority, lineage / "fullchain.pem"
    leaf = (lineage / "cert.pem").read_bytes()

    fullchain.write_bytes(leaf + (authority.root_pem + authority.chain_pem if broken == "reversed" else b""))

    _deploys_nothing(exodus_certbot, nginx, port, because, old, str(lineage))


def test_refuses_to_lose_a_name_that_is_served_today(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME, (NAME, "www.exodus.example")), free_port()
    nginx = start_nginx(server(f"127.0.0.1:{port} ssl", f"{NAME} www.exodus.example", lineage))
    old = served_sha256(port, NAME)

    certbot_tree.issue(NAME, (NAME,))

    because = "does not cover www.exodus.example, which nginx serves with it"
    _deploys_nothing(exodus_certbot, nginx, port, because, old, str(lineage))


def test_does_not_mind_a_name_that_no_certificate_ever_covered(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", f"{NAME} localhost", lineage))
    certbot_tree.issue(NAME)

    done = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    assert (done.exit_code, done.json["reloaded"]) == (0, True)
    notes = {row["name"]: row["reason"] for row in done.json["listeners"]}
    assert "does not have this name" in notes["localhost"]
    assert "does not have this name" not in notes[NAME]

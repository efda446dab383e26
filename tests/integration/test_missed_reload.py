"""The outage of January 2019: the certificate was renewed and nginx never reloaded."""

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.ports import free_port


def test_finds_nothing_wrong_while_what_is_served_is_on_disk(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue("exodus.example"), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", "exodus.example", lineage))

    found = exodus_certbot("check", "--json")

    assert found.exit_code == 0
    assert found.json["verdict"] == "ok"
    (row,) = found.json["listeners"]
    assert (row["name"], row["address"], row["port"]) == ("exodus.example", "127.0.0.1", port)
    assert (row["verdict"], row["key_type"], row["lineage"]) == ("ok", "ecdsa", str(lineage))
    assert row["served_sha256"] == row["expected_sha256"]


def test_finds_a_missed_reload_and_repairs_it_once(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue("exodus.example")
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", "exodus.example", lineage))
    certbot_tree.issue("exodus.example")

    found = exodus_certbot("check", "--json")
    assert found.exit_code == 1
    assert [row["verdict"] for row in found.json["listeners"]] == ["stale"]

    repaired = exodus_certbot("reconcile", "--json")
    assert repaired.exit_code == 0
    assert repaired.json["reloaded"] is True
    assert [row["verdict"] for row in repaired.json["listeners"]] == ["ok"]
    assert repaired.json["listeners"][0]["served_sha256"] == found.json["listeners"][0]["expected_sha256"]

    again = exodus_certbot("reconcile", "--json")
    assert again.exit_code == 0
    assert again.json["reloaded"] is False

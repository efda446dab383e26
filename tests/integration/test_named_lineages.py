"""Which lineages a deployment is about: named, from certbot's environment, several, unused, and none at all."""

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.ports import free_port
from tests.parts.witness import all_served_sha256, disk_sha256

NAME, OTHER = "exodus.example", "other.example"


def test_a_lineage_that_nginx_does_not_use_is_nothing_to_do(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    used, unused, port = certbot_tree.issue(NAME), certbot_tree.issue(OTHER), free_port()
    old = disk_sha256(used)
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, used))
    certbot_tree.issue(NAME)
    certbot_tree.issue(OTHER)

    deployed = exodus_certbot("deploy", "--lineage", str(unused), "--json")

    assert deployed.exit_code == 0
    assert (deployed.json["verdict"], deployed.json["reloaded"], deployed.json["listeners"]) == ("ok", False, [])
    assert deployed.json["reason"] == f"nginx does not use {unused}: nothing to do"
    assert all_served_sha256(port, NAME) == {old}


def test_without_a_lineage_a_deployment_is_wrong_usage(exodus_certbot: ExodusCertbot) -> None:
    deployed = exodus_certbot("deploy")

    assert deployed.exit_code == 2
    assert "--lineage" in deployed.stderr


@pytest.mark.parametrize("words", [(), ("deploi",), ("check", "--timeout", "0"), ("check", "--timeout", "x")])
def test_other_words_are_wrong_usage(words: tuple[str, ...], exodus_certbot: ExodusCertbot) -> None:
    assert exodus_certbot(*words).exit_code == 2


def test_certbot_names_the_lineage_in_the_environment(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    new = disk_sha256(certbot_tree.issue(NAME))

    deployed = exodus_certbot("deploy", "--json", env={"RENEWED_LINEAGE": str(lineage), "RENEWED_DOMAINS": NAME})

    assert (deployed.exit_code, deployed.json["reloaded"]) == (0, True)
    assert all_served_sha256(port, NAME) == {new}


def test_a_lineage_that_is_named_counts_more_than_the_environment(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    used, unused = certbot_tree.issue(NAME), certbot_tree.issue(OTHER)
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, used))
    certbot_tree.issue(NAME)

    deployed = exodus_certbot("deploy", "--lineage", str(unused), "--json", env={"RENEWED_LINEAGE": str(used)})

    assert (deployed.exit_code, deployed.json["reloaded"]) == (0, False)


def test_several_lineages_are_deployed_by_one_reload(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineages, port = [certbot_tree.issue(name) for name in (NAME, OTHER)], free_port()
    third = certbot_tree.issue("third.example")
    listen = f"127.0.0.1:{port} ssl"
    start_nginx("".join(server(listen, lineage.name, lineage) for lineage in (*lineages, third)))
    new = {name: disk_sha256(certbot_tree.issue(name)) for name in (NAME, OTHER)}

    options = [word for lineage in lineages for word in ("--lineage", str(lineage))]
    deployed = exodus_certbot("deploy", *options, "--json")

    assert (deployed.exit_code, deployed.json["reloaded"]) == (0, True)
    assert deployed.listed("name", "verdict", "served_sha256") == [(name, "ok", new[name]) for name in (NAME, OTHER)]
    assert all(all_served_sha256(port, name) == {new[name]} for name in new)


def test_of_several_lineages_the_unused_one_does_not_hold_up_the_others(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    used, unused, port = certbot_tree.issue(NAME), certbot_tree.issue(OTHER), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, used))
    new = disk_sha256(certbot_tree.issue(NAME))

    deployed = exodus_certbot("deploy", "--lineage", str(unused), "--lineage", str(used))

    assert deployed.exit_code == 0
    assert all_served_sha256(port, NAME) == {new}


def test_a_deployment_again_finds_nothing_to_do(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue(NAME)
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, lineage))
    certbot_tree.issue(NAME)

    reloaded = [exodus_certbot("deploy", "--lineage", str(lineage), "--json").json["reloaded"] for _ in range(2)]

    assert reloaded == [True, False]

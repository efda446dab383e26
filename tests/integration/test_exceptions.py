"""Listeners that the operator wants left alone: not asked, shown as that, and still loaded with their lineage."""

import json
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.ports import free_port
from tests.parts.witness import disk_sha256, served_sha256


def settings(folder: Path, *written: str) -> dict[str, str]:
    """Write a settings file and give the environment that names it."""
    file = folder / "settings.toml"
    file.write_text(f"except_listeners = {json.dumps(written)}\n")
    return {"EXODUS_CERTBOT_CONFIG": str(file)}


def test_a_listener_that_is_excepted_is_not_asked_is_said_to_be_and_is_loaded_when_its_lineage_is_deployed(
    tmp_path: Path, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, listen = certbot_tree.issue("a.example"), f"127.0.0.1:{free_port()}"
    start_nginx(server(f"{listen} ssl", "a.example", lineage)).at_rest()
    env = settings(tmp_path, listen)
    certbot_tree.issue("a.example")

    text = exodus_certbot("check", env=env)
    found = {form: exodus_certbot("check", "--format", form, env=env) for form in ("json", "nagios", "prometheus")}
    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json", env=env)
    left = exodus_certbot("reconcile", "--json", env=env)

    assert [text.exit_code, *(one.exit_code for one in found.values())] == [0, 0, 0, 0]
    assert text.stdout.splitlines()[1].startswith("excepted")
    assert f'excepted by except_listeners = "{listen}"' in text.stdout
    assert "\nOK: 1 excepted; 1 that nobody can be asked for changed since nginx read it" in text.stdout
    assert found["json"].listed("verdict", "served_sha256") == [("excepted", None)]
    assert found["nagios"].stdout.startswith("OK - 1 excepted") or "1 excepted" in found["nagios"].stdout
    assert 'exodus_certbot_listeners{verdict="excepted"} 1' in found["prometheus"].stdout
    assert "served_match{" not in found["prometheus"].stdout
    assert (deployed.exit_code, deployed.json["reloaded"]) == (0, True)
    assert (left.exit_code, left.json["reloaded"]) == (0, False)
    assert served_sha256(int(listen.rpartition(":")[2]), "a.example") == disk_sha256(lineage)


def test_only_what_is_excepted_is_left_alone(
    tmp_path: Path, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    listen = f"127.0.0.1:{free_port()} ssl"
    names = ("a.internal.example", "b.example")
    start_nginx("".join(server(listen, name, certbot_tree.issue(name)) for name in names))
    certbot_tree.issue("b.example")

    found = exodus_certbot("check", "--json", env=settings(tmp_path, "*.INTERNAL.example"))

    assert found.listed("name", "verdict") == [("a.internal.example", "excepted"), ("b.example", "stale")]
    assert found.exit_code == 1


def test_an_exception_that_means_nothing_is_found_by_doctor(
    tmp_path: Path, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", "a.example", certbot_tree.issue("a.example")))
    env = settings(tmp_path, "a.example", "192.0.2.10:443")

    findings = exodus_certbot("doctor", "--json", env=env).json["findings"]

    (found,) = (one for one in findings if one["subject"] == "except_listeners")
    assert found["severity"] == "warning"
    assert "192.0.2.10:443" in found["message"]


@pytest.mark.parametrize("command", ["check", "reconcile", "doctor"])
def test_an_exception_that_cannot_be_read_ends_with_what_is_allowed(
    command: str, tmp_path: Path, exodus_certbot: ExodusCertbot
) -> None:
    refused = exodus_certbot(command, env=settings(tmp_path, "a.example:443"))

    assert refused.exit_code == 78
    assert "except_listeners[0]: found 'a.example:443'; allowed:" in refused.stderr
    assert refused.stderr.count("\n") == 1

"""An operator left nginx.conf broken: a renewal cannot be loaded, a restart would take the sites down."""

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.nginx import RealNginx
from tests.parts.ports import free_port
from tests.parts.witness import all_served_sha256, disk_sha256

NAME = "exodus.example"
BREAK = "no_such_directive on;"


def _place(nginx: RealNginx, text: str) -> str:
    lines = nginx.conf.read_text().splitlines()
    return f"{nginx.conf}:{lines.index(text) + 1}"


def test_a_renewal_into_a_broken_configuration_is_not_loaded_and_nginx_says_why(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    http, old = server(f"127.0.0.1:{port} ssl", NAME, lineage), disk_sha256(lineage)
    nginx = start_nginx(http)
    nginx.write(f"{http}\n{BREAK}")
    new = disk_sha256(certbot_tree.issue(NAME))

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    assert deployed.exit_code == 1
    assert (deployed.json["verdict"], deployed.json["reloaded"]) == ("critical", False)
    assert f'unknown directive "no_such_directive" in {_place(nginx, BREAK)}' in deployed.json["reason"]
    assert deployed.listed("verdict", "served_sha256", "expected_sha256") == [("stale", old, new)]
    assert all_served_sha256(port, NAME) == {old}


def test_a_renewal_into_a_sound_configuration_is_loaded(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    new = disk_sha256(certbot_tree.issue(NAME))

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    assert deployed.exit_code == 0
    assert (deployed.json["verdict"], deployed.json["reloaded"]) == ("ok", True)
    assert deployed.listed("verdict", "served_sha256", "expected_sha256") == [("ok", new, new)]
    assert all_served_sha256(port, NAME) == {new}


def test_reconcile_fails_while_the_configuration_is_broken_and_repairs_once_it_is_mended(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    http, old = server(f"127.0.0.1:{port} ssl", NAME, lineage), disk_sha256(lineage)
    nginx = start_nginx(http)
    nginx.write(f"{http}\n{BREAK}")
    new = disk_sha256(certbot_tree.issue(NAME))

    broken = exodus_certbot("reconcile", "--json")
    assert (broken.exit_code, broken.json["reloaded"]) == (1, False)
    assert _place(nginx, BREAK) in broken.json["reason"]
    assert all_served_sha256(port, NAME) == {old}

    nginx.write(http)
    mended = exodus_certbot("reconcile", "--json")
    assert (mended.exit_code, mended.json["reloaded"]) == (0, True)
    assert all_served_sha256(port, NAME) == {new}


def test_check_warns_of_a_broken_configuration_before_any_renewal(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    http = server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME))
    nginx = start_nginx(http)
    sound = exodus_certbot("check", "--format", "nagios")
    nginx.write(f"{http}\n{BREAK}")

    broken = exodus_certbot("check", "--json")
    for_monitoring = exodus_certbot("check", "--format", "nagios")

    assert sound.exit_code == 0
    assert (broken.exit_code, broken.json["verdict"]) == (1, "critical")
    assert broken.listed("name", "verdict") == [(NAME, "ok")]
    assert for_monitoring.exit_code == 2
    assert _place(nginx, BREAK) in for_monitoring.stdout


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("server {", 'unexpected end of file, expecting "}"'),
        ("include /nonexistent/sites.conf;", '"/nonexistent/sites.conf" failed (2: No such file or directory)'),
        ("server_tokens off", 'unexpected "}"'),
        ("server { ssl_certificate /nonexistent/c.pem; listen 127.0.0.1:%d ssl; }", 'no "ssl_certificate_key"'),
        (
            "server { listen 127.0.0.1:%d ssl; ssl_certificate /nowhere/c.pem; ssl_certificate_key /nowhere/k; }",
            'cannot load certificate "/nowhere/c.pem"',
        ),
    ],
    ids=["brace", "include", "semicolon", "no-key", "certificate-missing"],
)
def test_what_breaks_the_configuration_is_told_in_nginx_own_words(
    broken: str, said: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    http, old = server(f"127.0.0.1:{port} ssl", NAME, lineage), disk_sha256(lineage)
    nginx = start_nginx(http)
    nginx.write(http + broken.replace("%d", str(free_port())))
    certbot_tree.issue(NAME)

    deployed = exodus_certbot("deploy", "--lineage", str(lineage))

    assert deployed.exit_code == 1
    assert said in deployed.stdout
    assert all_served_sha256(port, NAME) == {old}


def test_a_directive_that_nginx_overrides_breaks_nothing(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    unused = "ssl_certificate /nonexistent/cert.pem; ssl_certificate_key /nonexistent/key.pem;"
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage) + unused)
    new = disk_sha256(certbot_tree.issue(NAME))

    deployed = exodus_certbot("deploy", "--lineage", str(lineage))

    assert deployed.exit_code == 0
    assert all_served_sha256(port, NAME) == {new}


def test_a_missing_include_does_not_hide_the_servers_that_are_there(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    http = server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME))
    nginx = start_nginx(http)
    nginx.write(f"{http}\ninclude /nonexistent/sites.conf;")
    certbot_tree.issue(NAME)

    found = exodus_certbot("check", "--json")

    assert found.exit_code == 1
    assert "/nonexistent/sites.conf" in found.json["reason"]
    assert found.listed("name", "verdict") == [(NAME, "stale")]

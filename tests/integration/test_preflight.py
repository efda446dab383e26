"""`preflight` answers a challenge of its own through a real nginx, before a CA is asked."""

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exodus_certbot import inventory, preflight
from exodus_certbot.acme import resolver
from exodus_certbot.settings import Settings
from exodus_common.clock import SystemClock
from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.certbot import pythons
from tests.parts.command import ExodusCertbot, Ran
from tests.parts.configuration import challenge_server, server, workers_as_myself
from tests.parts.ports import free_port
from tests.parts.site import NAME, Site

AT = ("--connect", "127.0.0.1")


def findings(ran: Ran, subject: str) -> list[tuple[str, str, str]]:
    return [
        (one["severity"], one["message"], one["remedy"]) for one in ran.json["findings"] if one["subject"] == subject
    ]


def worst(ran: Ran, subject: str = NAME) -> Any:
    order = ["ok", "warning", "critical"]
    return max(findings(ran, subject), key=lambda finding: order.index(finding[0]))


@pytest.fixture
def webroot(tmp_path: Path) -> Path:
    folder = tmp_path / "webroot"
    folder.mkdir()
    return folder


def http(port: int, body: str, listen: str = "127.0.0.1") -> str:
    return f"server {{\nlisten {listen}:{port};\nserver_name {NAME};\n{body}\n}}\n"


def test_a_challenge_is_answered_and_leaves_no_trace(
    start_nginx: StartNginx, exodus_certbot: ExodusCertbot, webroot: Path
) -> None:
    start_nginx(http(free_port(), f"root {webroot};"), main=workers_as_myself())

    ran = exodus_certbot("preflight", "--webroot", str(webroot), NAME, *AT, "--json")

    assert ran.exit_code == 0, ran.all_output
    assert ("ok", f"a challenge in {webroot} was answered, and acme verified it", "") in findings(ran, NAME)
    assert list(webroot.rglob("*")) == []


@pytest.mark.parametrize("python", pythons().values(), ids=pythons())
def test_the_acme_of_every_certbot_verifies_and_refuses(
    python: str, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, webroot: Path
) -> None:
    start_nginx(http(free_port(), f"root {webroot};"), main=workers_as_myself())
    with_theirs = replace(exodus_certbot, python=python)

    right = with_theirs("preflight", "--webroot", str(webroot), NAME, *AT)
    (webroot / "other").mkdir()
    wrong = with_theirs("preflight", "--webroot", str(webroot / "other"), NAME, *AT)

    assert (right.exit_code, wrong.exit_code) == (0, 1), right.all_output + wrong.all_output
    assert "acme verified it" in right.stdout
    assert "gives 404" in wrong.stdout, wrong.stdout


def test_it_asks_for_every_name_that_certbot_renews_through_a_webroot(
    site: Site, exodus_certbot: ExodusCertbot
) -> None:
    right = exodus_certbot("preflight", *AT, "--json")
    no_folder_is_left = not site.certbot.webroot.exists()
    site.nginx.write(http(site.http_port, "root /nonexistent;"), main=workers_as_myself())
    site.nginx.stop()
    site.nginx.start()
    wrong = exodus_certbot("preflight", *AT, "--json")

    assert right.exit_code == 0, right.all_output
    assert "verified" in str(findings(right, NAME))
    assert worst(right, f"webroot {site.certbot.webroot}")[1].startswith("there is no such folder; certbot makes it")
    assert no_folder_is_left
    assert wrong.exit_code == 1
    assert "gives 404" in worst(wrong)[1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("location / { return 301 http://$host$request_uri; }", "a redirect loop"),
        ("root {webroot}; location /.well-known/ {{ return 200 hello; }}", "is answered, but not from {webroot}/"),
        ("root /nonexistent;", "gives 404: not from {webroot}/.well-known/acme-challenge"),
        ("root {webroot}; location ~ /\\. {{ deny all; }}", "gives 403: closed, or nginx's workers may not read it"),
        ("root {webroot}; location /.well-known/ {{ return 500; }}", "gives 500"),
        ("location / {{ return 302 http://$host:81/; }}", "redirects to port 81, and CAs follow to 80 and 443 only"),
        ("location / {{ return 301 https://$host$request_uri; }}", "nobody answers there"),
        ("rewrite '^/\\.(.*)$' https://$host.$1 permanent;", "a / is missing behind the host in nginx's return"),
        ("root {webroot}; if ($http_user_agent ~* encrypt) {{ return 403; }}", "gives 403"),
    ],
    ids=["loop", "swallowed", "other-root", "closed", "broken", "port", "to-nobody", "no-slash", "turned-away"],
)
def test_what_would_make_the_ca_refuse_is_found_with_its_remedy(
    body: str, message: str, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, webroot: Path
) -> None:
    written = body.replace("{{", "{").replace("}}", "}").replace("{webroot}", str(webroot))
    start_nginx(http(free_port(), written), main=workers_as_myself())

    ran = exodus_certbot("preflight", "--webroot", str(webroot), NAME, *AT, "--json")

    assert (ran.exit_code, ran.json["verdict"]) == (1, "critical")
    severity, found, remedy = worst(ran)
    assert severity == "critical"
    assert message.format(webroot=webroot) in found
    assert f"location ^~ /.well-known/acme-challenge/ {{ root {webroot}; }}" in remedy
    assert list(webroot.rglob("*")) == []


def test_the_remedy_helps(start_nginx: StartNginx, exodus_certbot: ExodusCertbot, webroot: Path) -> None:
    port, body = free_port(), "location / { return 301 http://$host$request_uri; }\n"
    nginx = start_nginx(http(port, body), main=workers_as_myself())
    remedy = worst(exodus_certbot("preflight", "--webroot", str(webroot), NAME, *AT, "--json"))[2]

    nginx.write(http(port, body + remedy.splitlines()[-1]), main=workers_as_myself())
    nginx.stop()
    nginx.start()

    assert exodus_certbot("preflight", "--webroot", str(webroot), NAME, *AT).exit_code == 0


def test_a_redirect_to_https_with_a_certificate_of_nobody_is_followed(
    start_nginx: StartNginx, exodus_certbot: ExodusCertbot, certbot_tree: CertbotTree, webroot: Path
) -> None:
    tls = free_port()
    secure = server(f"127.0.0.1:{tls} ssl", NAME, certbot_tree.issue(NAME)).replace("return 204;", f"root {webroot};")
    redirect = http(free_port(), "return 301 https://$host$request_uri;")
    start_nginx(redirect + secure, main=workers_as_myself())

    ran = exodus_certbot("preflight", "--webroot", str(webroot), NAME, *AT)

    assert ran.exit_code == 0, ran.all_output


def test_a_server_that_never_answers_costs_no_more_than_the_timeout(
    start_nginx: StartNginx, exodus_certbot: ExodusCertbot, webroot: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        start_nginx(http(free_port(), f"location / {{ proxy_pass http://127.0.0.1:{port}; }}"))

        ran = exodus_certbot("preflight", "--webroot", str(webroot), NAME, *AT, "--json", "--timeout", "2", timeout=30)

    assert ran.exit_code == 1
    assert "no answer in time" in worst(ran)[1]


def test_a_server_that_turns_programs_away_and_lets_the_ca_in_is_right(
    start_nginx: StartNginx, exodus_certbot: ExodusCertbot, webroot: Path
) -> None:
    away = "if ($http_user_agent ~* (python|curl|wget|exodus)) { return 403; }"
    start_nginx(http(free_port(), f"root {webroot};\n{away}"), main=workers_as_myself())

    ran = exodus_certbot("preflight", "--webroot", str(webroot), NAME, *AT, "--json")

    assert ran.exit_code == 0, ran.all_output


def test_an_ipv6_address_is_asked_for_in_brackets(
    start_nginx: StartNginx, exodus_certbot: ExodusCertbot, webroot: Path
) -> None:
    port = free_port()
    body = f"root {webroot}; if ($http_host != '[::1]') {{ return 404; }}"
    start_nginx(f"server {{ listen [::1]:{port}; {body} }}", main=workers_as_myself())

    right = exodus_certbot("preflight", "--webroot", str(webroot), "[0::1]", "--json")
    other = exodus_certbot("preflight", "--webroot", str(webroot), "2001:db8::1", "--connect", "::1", "--json")

    assert right.exit_code == 0, right.all_output
    assert "http://[2001:db8::1]/.well-known/acme-challenge/" in worst(other, "2001:db8::1")[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a webroot to another user")
def test_a_link_in_a_webroot_of_another_user_is_told_and_not_followed(
    start_nginx: StartNginx, exodus_certbot: ExodusCertbot, webroot: Path, tmp_path: Path
) -> None:
    start_nginx(http(free_port(), f"root {webroot};"), main=workers_as_myself())
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (webroot / ".well-known").symlink_to(tmp_path / "elsewhere")
    os.chown(webroot, 65534, -1)

    ran = exodus_certbot("preflight", "--webroot", str(webroot), NAME, *AT, "--json")

    assert ran.exit_code == 1
    assert worst(ran)[1] == (
        "not asked, since root would write where others like: "
        f"{webroot / '.well-known'} is a link that others than root can lead elsewhere"
    )
    assert "nobody's, who may answer" in str(findings(ran, f"webroot {webroot}"))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_without_certbot_there_is_nothing_to_ask_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(inventory, "DEFAULT_CERTBOT_DIR", tmp_path / "gone")

    (found,) = preflight.preflight(Settings(), SystemClock(), [], None, {})

    assert found.message == f"no certbot here: {tmp_path / 'gone'} does not exist"


def test_a_listener_that_nginx_has_not_opened_answers_nobody(
    start_nginx: StartNginx, exodus_certbot: ExodusCertbot, webroot: Path
) -> None:
    nginx = start_nginx(http(free_port(), f"root {webroot};"))
    nginx.write(http(free_port(), f"root {webroot};"), main=workers_as_myself())

    ran = exodus_certbot("preflight", "--webroot", str(webroot), NAME, *AT, "--json")

    assert "nobody answers there" in worst(ran)[1]


def test_without_plain_http_no_challenge_can_be_answered(
    start_nginx: StartNginx, exodus_certbot: ExodusCertbot, certbot_tree: CertbotTree, webroot: Path
) -> None:
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))

    ran = exodus_certbot("preflight", "--webroot", str(webroot), NAME, *AT, "--json")

    severity, message, remedy = worst(ran)
    assert (severity, message) == ("critical", "nginx has no server that speaks plain HTTP")
    assert "listen 80;" in remedy


def test_an_invalid_configuration_and_a_stopped_nginx_are_said_first(
    start_nginx: StartNginx, exodus_certbot: ExodusCertbot, webroot: Path
) -> None:
    nginx = start_nginx(http(free_port(), f"root {webroot};"))
    good = nginx.conf.read_text()
    nginx.conf.write_text(good + "servre { }")
    invalid = exodus_certbot("preflight", "--webroot", str(webroot), NAME, *AT, "--json")
    nginx.conf.write_text(good)
    nginx.stop()
    stopped = exodus_certbot("preflight", "--webroot", str(webroot), NAME, *AT, "--json")

    assert "servre" in worst(invalid, "nginx")[1]
    assert "not running" in worst(stopped, "nginx")[1]
    assert (invalid.exit_code, stopped.exit_code) == (1, 1)


def test_a_name_that_does_not_resolve_is_critical_and_one_that_leads_here_is_not(
    start_nginx: StartNginx, exodus_certbot: ExodusCertbot, webroot: Path
) -> None:
    start_nginx(challenge_server(free_port(), webroot), main=workers_as_myself())

    ran = exodus_certbot("preflight", "--webroot", str(webroot), "nowhere.invalid", "localhost", "--json")

    assert worst(ran, "nowhere.invalid")[:2] == ("critical", "does not resolve: the CA cannot find it")
    assert [severity for severity, *_ in findings(ran, "localhost")] == ["warning", "ok"]  # the port is not 80
    assert ran.exit_code == 1


@pytest.mark.parametrize(
    ("addresses", "message"),
    [
        (
            ("192.0.2.1", "2001:db8::1"),
            "resolves to 192.0.2.1, 2001:db8::1, none of which is an address of this machine",
        ),
        (None, "this machine's resolver does not answer"),
        (("127.0.0.1", "192.0.2.1"), ""),
    ],
)
def test_a_name_that_leads_elsewhere_is_a_warning(
    addresses: tuple[str, ...] | None,
    message: str,
    start_nginx: StartNginx,
    exodus_certbot: ExodusCertbot,
    webroot: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start_nginx(http(free_port(), f"root {webroot};"), main=workers_as_myself())
    monkeypatch.setattr(resolver, "addresses_of", lambda name: addresses)
    settings = Settings(nginx_conf=str(exodus_certbot.conf), certbot_dir=exodus_certbot.certbot_dir)

    found = preflight.preflight(settings, SystemClock(), [NAME], webroot, {})

    about = [f"{one.severity}: {one.message}" for one in found if one.subject == NAME and "CAs ask" not in one.message]
    assert about[:-1] == ([f"warning: {message}"] if message else [])
    assert about[-1].startswith("ok: a challenge")
    assert socket.getaddrinfo.__module__ == "socket"


def test_what_cannot_be_proven_by_http_is_said(
    start_nginx: StartNginx, exodus_certbot: ExodusCertbot, webroot: Path
) -> None:
    start_nginx(http(free_port(), f"root {webroot};"))

    wildcard = exodus_certbot("preflight", "--webroot", str(webroot), "*.exodus.example", *AT, "--json")
    unknown = exodus_certbot("preflight", NAME, *AT, "--json")

    assert "HTTP-01 cannot prove a wildcard" in worst(wildcard, "*.exodus.example")[1]
    assert worst(unknown)[1:] == ("no webroot is known for it", "name one with --webroot DIR")
    assert (wildcard.exit_code, unknown.exit_code) == (1, 1)

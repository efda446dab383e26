"""nginx speaks TLS for more than web servers, and not always at once."""

from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import certificate_lines
from tests.parts.nginx import RealNginx
from tests.parts.ports import free_port
from tests.parts.witness import disk_sha256

MODULES = "".join(f"load_module /usr/lib/nginx/modules/ngx_{kind}_module.so;\n" for kind in ("stream", "mail"))


def start(start_nginx: StartNginx, kind: str, lineage: Path, *servers: str) -> RealNginx:
    """Start an nginx without web servers."""
    shared = "server_name mail.example; auth_http 127.0.0.1:9/;" if kind == "mail" else ""
    block = "\n".join(f"server {{ {server} }}" for server in servers)
    return start_nginx("", modules=MODULES, main=f"{kind} {{ {shared} {certificate_lines(lineage)} {block} }}")


def test_stream_and_mail_listeners_are_asked_and_repaired_too(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, stream, imaps, imap = certbot_tree.issue("a.example"), free_port(), free_port(), free_port()
    lines = certificate_lines(lineage)
    start_nginx(
        "",
        modules=MODULES,
        main=f"stream {{ server {{ listen 127.0.0.1:{stream} ssl; {lines} return hello; }} }}\n"
        f"mail {{ server_name mail.example; auth_http 127.0.0.1:9/; {lines}\n"
        f"server {{ listen 127.0.0.1:{imaps} ssl; protocol imap; }}\n"
        f"server {{ listen 127.0.0.1:{imap}; protocol imap; starttls on; }} }}",
    )
    certbot_tree.issue("a.example")

    found = {row["port"]: row["verdict"] for row in exodus_certbot("check", "--json").json["listeners"]}
    repaired = {row["port"]: row["verdict"] for row in exodus_certbot("reconcile", "--json").json["listeners"]}

    assert found == dict.fromkeys((stream, imaps, imap), "stale")
    assert repaired == dict.fromkeys((stream, imaps, imap), "ok")


@pytest.mark.parametrize("starttls", ["on", "only"])
@pytest.mark.parametrize("flags", ["", " proxy_protocol"])
def test_a_mail_server_that_begins_in_clear_text_is_asked_in_its_own_protocol(
    starttls: str, flags: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, ports = certbot_tree.issue("a.example"), {name: free_port() for name in ("smtp", "imap", "pop3")}
    servers = [f"listen 127.0.0.1:{port}{flags}; protocol {name}; starttls {starttls};" for name, port in ports.items()]
    start(start_nginx, "mail", lineage, *servers)
    sha256 = disk_sha256(lineage)

    found = exodus_certbot("check", "--json")

    assert found.listed("port", "verdict", "served_sha256") == [(port, "ok", sha256) for port in sorted(ports.values())]
    assert {row["reason"].partition(":")[0] for row in found.json["listeners"]} == {"STARTTLS"}


def test_a_mail_server_that_names_no_protocol_is_asked_in_the_one_of_its_port(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, at = certbot_tree.issue("a.example"), "127.0.25.143"
    servers = [f"listen {at}:{port}; starttls on;" for port in (25, 587, 143, 110)]
    start(start_nginx, "mail", lineage, *servers, f"listen {at}:2525; listen {at}:26; protocol smtp; starttls ON;")

    found = exodus_certbot("check", "--json")

    ports = (25, 26, 110, 143, 587, 2525)
    assert sorted((row["port"], row["verdict"]) for row in found.json["listeners"]) == [(port, "ok") for port in ports]


def test_both_certificates_of_a_mail_server_are_asked_for_after_starttls(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    rsa, ecdsa = certbot_tree.issue("rsa", key_type="rsa"), certbot_tree.issue("ecdsa", key_type="ecdsa")
    only_1_3 = "ssl_protocols TLSv1.3;"
    server = f"listen 127.0.0.1:{free_port()}; protocol smtp; starttls on; {certificate_lines(rsa, ecdsa)}"
    start(start_nginx, "mail", rsa, server, server.replace("smtp", "imap").replace("127.0.0.1", "127.0.0.2") + only_1_3)

    found = exodus_certbot("check", "--json")

    rows = [("127.0.0.1", "ecdsa", "ok"), ("127.0.0.1", "rsa", "ok")]
    rows += [("127.0.0.2", "ecdsa", "ok"), ("127.0.0.2", "rsa", "ok")]
    assert found.listed("address", "key_type", "verdict") == rows


def test_what_allow_and_deny_keep_from_us_is_not_probed_and_what_they_let_in_is_asked(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, ports = certbot_tree.issue("a.example"), [free_port() for _ in range(4)]
    rules = ("allow 192.0.2.0/24; deny all;", "allow 127.0.0.0/8; deny all;", "deny 192.0.2.0/24;", "")
    servers = [f"listen 127.0.0.1:{port} ssl; {rule} return a;" for port, rule in zip(ports, rules, strict=True)]
    nginx = start(start_nginx, "stream", lineage, *servers)
    certbot_tree.issue("a.example")

    first = exodus_certbot("deploy", "--lineage", str(lineage), "--json")
    again = exodus_certbot("reconcile", "--json")

    verdicts = {row["port"]: row["verdict"] for row in again.json["listeners"]}
    assert verdicts == dict(zip(ports, ("not-probed", "ok", "ok", "ok"), strict=True))
    (reason,) = {row["reason"] for row in again.json["listeners"] if row["port"] == ports[0]}
    assert "allow and deny let nobody in who asks from here (127.0.0.1)" in reason
    assert (first.exit_code, again.exit_code, nginx.reloads) == (0, 0, 1)


def test_the_rules_of_a_stream_block_hold_where_a_server_has_none(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, inherited, own = certbot_tree.issue("a.example"), free_port(), free_port()
    main = (
        f"stream {{ deny all; {certificate_lines(lineage)} server {{ listen 127.0.0.1:{inherited} ssl; return a; }} "
        f"server {{ listen 127.0.0.1:{own} ssl; deny 192.0.2.1; return a; }} }}"
    )
    start_nginx("", modules=MODULES, main=main)

    found = exodus_certbot("check", "--json")

    assert {row["port"]: row["verdict"] for row in found.json["listeners"]} == {inherited: "not-probed", own: "ok"}


def test_allow_and_deny_of_a_web_server_keep_nobody_from_its_certificate(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue("a.example"), free_port()
    lines = certificate_lines(lineage)
    start_nginx(f"server {{ listen 127.0.0.1:{port} ssl; server_name a.example; {lines} deny all; }}")

    found = exodus_certbot("check", "--json")

    assert found.listed("port", "verdict") == [(port, "ok")]

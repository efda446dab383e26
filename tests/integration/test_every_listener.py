"""Every form of listener and name that nginx knows: asked where it can be, named with the reason where it cannot."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import certificate_lines, server
from tests.parts.ports import free_port
from tests.parts.witness import disk_sha256

MODULES = "".join(
    f"load_module {path};\n"
    for path in ("/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib/nginx/modules/ngx_mail_module.so")
    if Path(path).exists()
)


def rows_of(exodus_certbot: ExodusCertbot, *options: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = exodus_certbot("check", "--json", *options).json["listeners"]
    return rows


def verdicts(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str | None], str]:
    return {(row["name"], row["address"], row["key_type"]): row["verdict"] for row in rows}


@pytest.mark.parametrize("more", ["", "ssl_protocols TLSv1.3;"], ids=["TLS 1.2 and newer", "TLS 1.3 only"])
@pytest.mark.parametrize("listen", ["127.0.0.1:{port} ssl", "127.0.0.1:{port} ssl proxy_protocol", "unix:{socket} ssl"])
@pytest.mark.parametrize("other", ["rsa", "ed25519"])
def test_sees_which_of_two_certificates_of_one_server_is_stale(
    certbot_tree: CertbotTree,
    start_nginx: StartNginx,
    exodus_certbot: ExodusCertbot,
    tmp_path: Path,
    other: str,
    listen: str,
    more: str,
) -> None:
    one, two = (
        certbot_tree.issue("one.example", ("a.example",)),
        certbot_tree.issue("two.example", ("a.example",), key_type=other),
    )
    where = listen.format(port=free_port(), socket=tmp_path / "tls.sock")
    start_nginx(server(where, "a.example", one, two, more=more + "ssl_session_cache off;"))
    assert {row["verdict"] for row in rows_of(exodus_certbot)} == {"ok"}

    certbot_tree.issue("two.example", ("a.example",), key_type=other)

    assert {row["key_type"]: row["verdict"] for row in rows_of(exodus_certbot)} == {"ecdsa": "ok", other: "stale"}


def test_asks_a_specific_address_and_the_wildcard_beside_it(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    here, elsewhere, port = certbot_tree.issue("here.example"), certbot_tree.issue("elsewhere.example"), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", "a.example", here) + server(f"{port} ssl", "a.example", elsewhere))

    served = {row["address"]: row["served_sha256"] for row in rows_of(exodus_certbot)}

    assert served == {"127.0.0.1": disk_sha256(here), "0.0.0.0": disk_sha256(elsewhere)}


def test_asks_ipv6_listeners_by_address_and_by_wildcard(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port, other = certbot_tree.issue("a.example"), free_port("::1"), free_port("::1")
    start_nginx(server(f"[::1]:{port} ssl, [::]:{other} ssl", "a.example", lineage))

    rows = rows_of(exodus_certbot)

    assert [(row["address"], row["port"], row["verdict"]) for row in rows] == [("::1", port, "ok"), ("::", other, "ok")]


def test_says_when_a_wildcard_cannot_be_told_from_the_listener_beside_it(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue("a.example"), free_port("::1")
    start_nginx(server(f"[::1]:{port} ssl, [::]:{port} ssl", "a.example", lineage))

    rows = rows_of(exodus_certbot)

    assert [row["verdict"] for row in rows] == ["ok", "not-probed"]
    assert "--connect" in rows[1]["reason"]


def test_asks_another_address_when_told_to(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    one, two, port = certbot_tree.issue("one.example"), certbot_tree.issue("two.example"), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", "a.example", one) + server(f"127.0.0.2:{port} ssl", "a.example", two))

    rows = rows_of(exodus_certbot, "--connect", "127.0.0.2")

    assert [row["served_sha256"] for row in rows] == [disk_sha256(two)] * 2
    assert [row["verdict"] for row in rows] == ["stale", "ok"]


def test_asks_for_names_as_nginx_matches_them(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    names = ("exact.example", "*.wild.example", "both.example", "*.both.example", "mail.example")
    right, wrong, port = (
        certbot_tree.issue("right", names),
        certbot_tree.issue("wrong", ("wrong.example",)),
        free_port(),
    )
    written = 'exact.example *.wild.example .both.example mail.* "~^r\\d+\\.example$" _ "" 192.0.2.1'
    start_nginx(
        server(f"127.0.0.1:{port} ssl", written, right)
        + server(f"127.0.0.1:{port} ssl default_server", "_", wrong)
        + server(f"127.0.0.1:{port} ssl", "exact.example", wrong)
    )

    rows = rows_of(exodus_certbot)

    by_name = {(row["name"], row["expected_sha256"]): row["verdict"] for row in rows}
    ours = {name: verdict for (name, expected), verdict in by_name.items() if expected == disk_sha256(right)}
    assert ours == {
        "exact.example": "ok",
        "*.wild.example": "ok",
        "both.example": "ok",
        "*.both.example": "ok",
        "mail.*": "ok",
        r"~^r\d+\.example$": "not-probed",
        "_": "not-probed",
        "": "not-probed",
        "192.0.2.1": "not-probed",
    }
    assert by_name["_", disk_sha256(wrong)] == "ok"
    assert by_name["exact.example", disk_sha256(wrong)] == "not-probed"
    assert all(row["reason"] for row in rows)


def test_inherits_certificates_from_http_and_falls_back_to_those_of_the_default_server(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    outer, own, port = certbot_tree.issue("outer.example"), certbot_tree.issue("own.example"), free_port()
    start_nginx(
        certificate_lines(outer)
        + server(f"127.0.0.1:{port} ssl", "outer.example")
        + server(f"127.0.0.1:{port} ssl", "own.example", own)
    )

    rows = rows_of(exodus_certbot)

    assert [(row["name"], row["lineage"], row["verdict"]) for row in rows] == [
        ("outer.example", str(outer), "ok"),
        ("own.example", str(own), "ok"),
    ]


def test_names_what_it_does_not_ask(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue("a.example"), free_port()
    start_nginx(
        f"server {{ listen 127.0.0.1:{port} ssl default_server; server_name _; ssl_reject_handshake on; }}"
        + server(f"127.0.0.1:{port} ssl", "a.example", lineage)
    )

    rows = {row["name"]: row for row in rows_of(exodus_certbot)}

    assert rows["a.example"]["verdict"] == "ok"
    assert rows["_"]["verdict"] == "not-probed"
    assert "ssl_reject_handshake" in rows["_"]["reason"]


def test_asks_stream_and_mail_listeners_too(
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

    rows = {row["port"]: row for row in rows_of(exodus_certbot)}

    assert (rows[stream]["verdict"], rows[imaps]["verdict"]) == ("ok", "ok")
    assert rows[imap]["verdict"] == "not-probed"
    assert "STARTTLS" in rows[imap]["reason"]
    certbot_tree.issue("a.example")
    stale = {row["port"]: row["verdict"] for row in rows_of(exodus_certbot)}
    assert (stale[stream], stale[imaps]) == ("stale", "stale")
    assert exodus_certbot("reconcile").exit_code == 0


def test_knows_the_one_variable_that_the_handshake_decides(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue("a.example"), free_port()
    live = certbot_tree.folder / "live"
    start_nginx(_variable_server(port, f"{live}/$ssl_server_name"), main="user root;")

    (row,) = rows_of(exodus_certbot)

    assert (row["verdict"], row["lineage"], row["served_sha256"]) == ("ok", str(lineage), disk_sha256(lineage))


@pytest.mark.skipif(os.geteuid() != 0, reason="only a master of root's has workers that may read less")
def test_finds_a_certificate_that_the_workers_cannot_read_though_nginx_is_content(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue("a.example"), free_port()
    live = certbot_tree.folder / "live"
    live.chmod(0o700)
    start_nginx(_variable_server(port, f"{live}/$ssl_server_name"), main="user www-data;")

    found = exodus_certbot("check", "--json")
    told = exodus_certbot("deploy", "--lineage", str(lineage), "--json", "--timeout", "5")

    assert (found.exit_code, found.json["verdict"]) == (1, "critical")
    assert [row["verdict"] for row in found.json["listeners"]] == ["unreachable"]
    assert (told.exit_code, told.json["reloaded"]) == (1, False)


def test_asks_where_a_variable_hides_the_file_and_judges_no_more_than_it_knows(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue("a.example"), free_port()
    http = f"map $ssl_server_name $which {{ default {lineage}; }}\n" + _variable_server(port, "$which")
    start_nginx(http, main="user root;")

    (row,) = rows_of(exodus_certbot)

    assert (row["verdict"], row["expected_sha256"]) == ("not-probed", None)
    assert "variable" in row["reason"]
    assert row["served_sha256"] == disk_sha256(lineage)


def _variable_server(port: int, folder: str) -> str:
    return (
        f"server {{ listen 127.0.0.1:{port} ssl; server_name a.example;\n"
        f"ssl_certificate {folder}/fullchain.pem; ssl_certificate_key {folder}/privkey.pem; }}\n"
    )

"""QUIC listeners, asked by the system's openssl where it can: nginx 1.26 and OpenSSL 3.5 of a booted Debian 13."""

from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.booted import debian
from tests.parts.certbot import write_program
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import certificate_lines, server
from tests.parts.ports import free_port

ROWS = """
import json, sys
rows = json.load(sys.stdin)["listeners"]
fields = "address", "name", "key_type", "verdict"
for line in sorted(" ".join([row.get("transport", "tcp"), *(row[field] for field in fields)]) for row in rows):
    print(line)
"""
SCRIPT = """
command="python3 -P -m exodus_certbot"
$command check --json | python3 /opt/rows
$command check | grep -o 'QUIC: asked for .*'
rm -rf /etc/letsencrypt; cp -a /renewed /etc/letsencrypt
$command check --json | python3 /opt/rows | grep quic
$command reconcile; echo "reconcile $?"
$command check --json | python3 /opt/rows | grep --count 'quic.* ok$'
sed -i 's/127.0.0.2:443 quic/127.0.0.2:444 quic/' /etc/nginx/sites-enabled/site
$command check | grep -o 'd.example .*127.0.0.2:444.*'
"""


def site(letsencrypt: Path) -> str:
    live = letsencrypt / "live"
    both = certificate_lines(live / "rsa", live / "ecdsa")
    return (
        server("443 quic reuseport, 443 ssl", "a.example b.example", live / "a.example")
        + f"server {{ listen 443 quic; listen 443 ssl; server_name both.example; {both} }}"
        + server("[::1]:8443 quic reuseport", "c.example", live / "a.example")
        + server("127.0.0.2:443 quic reuseport", "d.example", live / "a.example")
    )


@pytest.mark.full
@pytest.mark.timeout(900)
def test_quic_listeners_are_asked_and_repaired_on_debian_13(tmp_path: Path) -> None:
    machine = debian(tmp_path, "trixie")
    for folder in ("/etc/letsencrypt", "/renewed"):
        tree = CertbotTree(machine.path(folder))
        tree.issue("a.example", ("a.example", "b.example", "c.example", "d.example"))
        for key_type in ("rsa", "ecdsa"):
            tree.issue(key_type, ("both.example",), key_type=key_type)
    machine.path("/etc/nginx/sites-enabled/site").write_text(site(Path("/etc/letsencrypt")))
    machine.path("/opt/rows").write_text(ROWS)

    said = machine.boot(SCRIPT).splitlines()

    over_quic = [
        "quic 0.0.0.0 a.example ecdsa {}",
        "quic 0.0.0.0 b.example ecdsa not-probed",
        "quic 0.0.0.0 both.example ecdsa {}",
        "quic 0.0.0.0 both.example rsa {}",
        "quic 127.0.0.2 d.example ecdsa {}",
        "quic ::1 c.example ecdsa {}",
    ]
    over_tcp = ["a.example ecdsa", "b.example ecdsa", "both.example ecdsa", "both.example rsa"]
    assert said == [
        *(row.format("ok") for row in over_quic),
        *(f"tcp 0.0.0.0 {row} ok" for row in over_tcp),
        "QUIC: asked for a.example, which has the same certificate here",
        *(row.format("stale") for row in over_quic),
        "OK: reloaded nginx (9 stale before); asked again: 9 ok, 1 not-probed",
        "reconcile 0",
        "5",
        said[-1],
    ]
    assert "QUIC: connection refused: nginx has not opened this listener" in said[-1]


def test_where_openssl_cannot_ask_a_quic_listener_it_is_said_what_it_needs(
    tmp_path: Path, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue("a.example"), free_port()
    nginx = start_nginx(server(f"127.0.0.1:{port} ssl", "a.example", lineage))
    # Debian 12's nginx has no QUIC: it is seen as configured next, and asked for nothing more.
    nginx.stop()
    nginx.conf.write_text(nginx.conf.read_text().replace(" ssl;", " quic;"))
    write_program(tmp_path / "bin/openssl", "/bin/echo", "OpenSSL 3.0.19 27 Jan 2026")

    found = exodus_certbot("check", "--json", env={"PATH": f"{tmp_path / 'bin'}:/usr/sbin:/usr/bin:/bin"})

    (row,) = found.json["listeners"]
    assert row["verdict"] == "not-probed"
    assert row["reason"].startswith("QUIC: asking needs the program openssl, 3.2 or newer")
    assert "here is 3.0.19;" in row["reason"]

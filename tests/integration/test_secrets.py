"""Secrets stand in nginx.conf as well: no output ever shows one."""

from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree, key_pem, new_key
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.ports import free_port

NAME = "exodus.example"
HTTP = """
map $http_x_token $allowed { default 0; "SECRET-in-a-map" 1; }
upstream backend { server 127.0.0.1:9; }
"""
SERVER = """
set $token "SECRET-in-a-variable";
location /proxy {
    proxy_pass http://backend/?key=SECRET-in-a-url;
    proxy_set_header Authorization "Bearer SECRET-in-a-header";
}
location /app { fastcgi_pass 127.0.0.1:9; fastcgi_param DB_PASSWORD SECRET-in-a-parameter; }
location /auth { auth_basic "closed"; auth_basic_user_file /etc/SECRET-in-a-path; }
"""
RUNS = [
    ("check", "-v"),
    ("check", "--json"),
    ("check", "--format", "nagios"),
    ("check", "--format", "prometheus"),
    ("reconcile", "-v"),
    ("deploy", "--json", "--lineage", "{live}"),
]


def _outputs(exodus_certbot: ExodusCertbot, lineage: Path) -> dict[tuple[str, ...], str]:
    return {words: exodus_certbot(*(word.format(live=lineage) for word in words)).all_output for words in RUNS}


BROKEN = {
    "sound": "",
    "broken": "no_such_directive on;",
    "unbalanced": "server {",
    "quoted": "proxy_set_header Authorization;\n    'Bearer SECRET-that-nginx-quotes' on;",
    "bare": "SECRET-that-nginx-quotes on;",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_no_output_shows_a_secret_of_the_configuration(
    broken: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue(NAME)
    http = HTTP + server(f"127.0.0.1:{free_port()} ssl", NAME, lineage, more=SERVER)
    nginx = start_nginx(http)
    nginx.write(http + broken)
    certbot_tree.issue(NAME)

    outputs = _outputs(exodus_certbot, lineage)

    assert "SECRET" in nginx.conf.read_text()
    assert [words for words, output in outputs.items() if "SECRET" in output] == []
    assert all(outputs.values())


def test_no_output_shows_a_key_that_is_written_into_the_configuration(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, key, port = certbot_tree.issue(NAME), new_key(), free_port()
    both = certbot_tree.authority.leaf_pem(key, ("inline.example",)).decode() + key_pem(key).decode()
    inline = f'ssl_certificate "data:{both}"; ssl_certificate_key "data:{both}";'
    http = server(f"127.0.0.1:{port} ssl", NAME, lineage)
    start_nginx(http + server(f"127.0.0.1:{port} ssl", "inline.example", more=inline))
    certbot_tree.issue(NAME)

    outputs = _outputs(exodus_certbot, lineage)

    secret = key_pem(key).decode().splitlines()[1]
    assert [words for words, output in outputs.items() if secret in output] == []


def test_an_inline_certificate_is_judged_by_what_is_served(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    key = new_key()
    leaf, secret = certbot_tree.authority.leaf_pem(key, (NAME,)).decode(), key_pem(key).decode()
    inline = f'ssl_certificate "data:{leaf}"; ssl_certificate_key "data:{secret}";'
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, more=inline))

    found = exodus_certbot("check", "--json")

    assert found.exit_code == 0
    (row,) = found.json["listeners"]
    assert row["verdict"] in ("ok", "not-probed")
    assert row["lineage"] is None
    assert "BEGIN" not in row["reason"]

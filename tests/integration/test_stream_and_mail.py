"""nginx speaks TLS for more than web servers."""

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import certificate_lines
from tests.parts.ports import free_port

MODULES = "".join(f"load_module /usr/lib/nginx/modules/ngx_{kind}_module.so;\n" for kind in ("stream", "mail"))


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

    found = {row["port"]: row for row in exodus_certbot("check", "--json").json["listeners"]}
    repaired = {row["port"]: row["verdict"] for row in exodus_certbot("reconcile", "--json").json["listeners"]}

    assert {port: row["verdict"] for port, row in found.items()} == {
        stream: "stale",
        imaps: "stale",
        imap: "not-probed",
    }
    assert "STARTTLS" in found[imap]["reason"]
    assert repaired == {stream: "ok", imaps: "ok", imap: "not-probed"}

"""Configurations that people have and nobody tries: flags in capitals, paths of variables, names that nginx drops."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import certificate_lines, server, workers_as_myself
from tests.parts.ports import free_port
from tests.parts.witness import disk_sha256, served_sha256

NAME, OTHER = "exodus.example", "other.example"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start workers that are somebody else")


def _by_name(tree: CertbotTree) -> str:
    live = tree.folder / "live/$ssl_server_name"
    return f"ssl_certificate {live}/fullchain.pem; ssl_certificate_key {live}/privkey.pem;"


def _by_remote_address(lineage: Path) -> tuple[str, str]:
    """Give variables that no name changes, and the directives that use them."""
    kinds = ("fullchain", "privkey")
    return (
        "".join(f"geo ${kind} {{ default {lineage}/{kind}.pem; }}\n" for kind in kinds),
        "ssl_certificate $fullchain; ssl_certificate_key $privkey;",
    )


@pytest.mark.parametrize("on", ["ON", "On"])
def test_flags_are_read_whatever_their_case(
    on: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, listen = certbot_tree.issue(NAME), f"127.0.0.1:{free_port()} ssl"
    refusing = server(f"{listen} default_server", "_", more=f"ssl_reject_handshake {on};")
    start_nginx(refusing + server(listen, OTHER, lineage))
    certbot_tree.issue(NAME)

    found = exodus_certbot("check", "--json")

    assert found.listed("name", "verdict") == [("_", "not-probed"), (OTHER, "stale")]


def test_a_flag_that_is_off_in_any_case_is_off(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, listen = certbot_tree.issue(NAME), f"127.0.0.1:{free_port()} ssl"
    start_nginx(server(listen, NAME, lineage, more="ssl_reject_handshake OFF;"))

    assert exodus_certbot("check", "--json").listed("name", "verdict") == [(NAME, "ok")]


def test_a_path_that_begins_with_the_name_is_relative_to_the_configuration(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    (tmp_path / "nginx").mkdir(exist_ok=True)
    for end, file in (("crt", "fullchain.pem"), ("key", "privkey.pem")):
        (tmp_path / f"nginx/{NAME}.{end}").symlink_to(lineage / file)
    more = "ssl_certificate $ssl_server_name.crt; ssl_certificate_key ${ssl_server_name}.key;"
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, more=more), main=workers_as_myself())

    found = exodus_certbot("check", "--json")

    disk = disk_sha256(lineage)
    assert served_sha256(port, NAME) == disk
    assert found.listed("verdict", "lineage", "expected_sha256", "served_sha256") == [("ok", str(lineage), disk, disk)]


def test_the_servers_own_name_in_a_path_leads_to_the_lineage(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME, (NAME, f"*.{NAME}")), free_port()
    more = _by_name(certbot_tree).replace("$ssl_server_name", "$server_name")
    start_nginx(server(f"127.0.0.1:{port} ssl", f".{NAME}", more=more), main=workers_as_myself())

    found = exodus_certbot("check", "--json")

    assert served_sha256(port, f"www.{NAME}") == disk_sha256(lineage)
    assert found.listed("name", "verdict", "lineage") == [
        (f"*.{NAME}", "ok", str(lineage)),
        (NAME, "ok", str(lineage)),
    ]


@as_root
@pytest.mark.parametrize(("mode", "verdict"), [(0o700, "unreachable"), (0o755, "ok")])
def test_a_catch_all_whose_path_holds_the_name_is_asked_for_the_lineages_there(
    mode: int, verdict: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, unused = certbot_tree.issue(NAME), certbot_tree.issue("numbered-0001.example", (OTHER,))
    main = "user www-data;" if mode == 0o700 else workers_as_myself()
    certbot_tree.folder.chmod(mode)
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", "_", more=_by_name(certbot_tree)), main=main)

    found = exodus_certbot("check", "--json")
    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")
    other = exodus_certbot("deploy", "--lineage", str(unused), "--json")

    expected = [("_", "not-probed", None), (NAME, verdict, str(lineage))]
    assert found.listed("name", "verdict", "lineage") == expected
    assert deployed.listed("name", "verdict", "lineage") == expected[1:]
    assert (found.exit_code, deployed.exit_code) == ((1, 1) if verdict == "unreachable" else (0, 0))
    assert deployed.json["reloaded"] is False
    assert "does not use" in other.json["reason"]


@pytest.mark.parametrize("names", ['""', "_", f"*.{NAME}"])
def test_a_variable_that_no_name_changes_is_asked_though_no_file_can_be_named(
    names: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue(NAME, (f"*.{NAME}",))
    variables, more = _by_remote_address(lineage)
    start_nginx(variables + server(f"127.0.0.1:{free_port()} ssl", names, more=more), main=workers_as_myself())

    found = exodus_certbot("check", "--json")

    assert found.listed("verdict", "served_sha256") == [("not-probed", disk_sha256(lineage))]
    assert "which file nginx means is decided at each handshake" in found.json["listeners"][0]["reason"]


@as_root
def test_a_variable_that_leads_to_nothing_readable_is_seen_without_a_name(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    variables, more = _by_remote_address(certbot_tree.issue(NAME))
    certbot_tree.folder.chmod(0o700)
    start_nginx(variables + server(f"127.0.0.1:{free_port()} ssl", '""', more=more), main="user www-data;")

    found = exodus_certbot("check", "--json")

    assert (found.exit_code, found.listed("verdict")) == (1, [("unreachable",)])


@pytest.mark.parametrize(("age", "verdict"), [(0, "ok"), (80, "expiring")])
def test_what_nginx_renews_itself_is_judged_by_what_is_served(
    age: int, verdict: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    """The module is in no Debian release: its variables are given by others of nginx's."""
    lineage = certbot_tree.issue(NAME, age=timedelta(days=age))
    variables, more = _by_remote_address(lineage)
    http = variables + server(f"127.0.0.1:{free_port()} ssl", NAME, more=more)
    http = http.replace("$fullchain", "$acme_certificate").replace("$privkey", "$acme_certificate_key")
    start_nginx(http, main=workers_as_myself())

    found = exodus_certbot("check", "--json")

    assert found.listed("name", "verdict", "served_sha256") == [(NAME, verdict, disk_sha256(lineage))]
    assert verdict != "ok" or "ACME module" in found.json["listeners"][0]["reason"]


@pytest.mark.parametrize("servers", [(f"{NAME} .{NAME}",), (NAME, f".{NAME}"), (f"*.{NAME}", f".{NAME}", NAME)])
def test_a_word_that_nginx_drops_is_claimed_for_nobody(
    servers: tuple[str, ...], certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    """A conflict in one half of ".example.org" makes nginx ignore the word, and its other half with it."""
    fallback, listen = certbot_tree.issue(OTHER), f"127.0.0.1:{free_port()} ssl"
    lineages = [certbot_tree.issue(f"lineage{number}", (NAME, f"*.{NAME}")) for number in range(len(servers))]
    own = "".join(server(listen, names, lineage) for names, lineage in zip(servers, lineages, strict=True))
    start_nginx(server(f"{listen} default_server", OTHER, fallback) + own)

    found = exodus_certbot("check", "--json")

    assert found.exit_code == 0
    assert {row["verdict"] for row in found.json["listeners"]} == {"ok", "not-probed"}
    reasons = [row["reason"] for row in found.json["listeners"] if row["verdict"] == "not-probed"]
    assert all("nginx ignores this name here" in reason and "nginx.conf:" in reason for reason in reasons)
    served = {row["lineage"] for row in found.json["listeners"] if row["verdict"] == "ok"}
    assert served == {str(fallback), str(lineages[0])}


def test_a_certificate_for_upstreams_is_reloaded_for_once_and_said_to_be_unproven(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, strange = certbot_tree.issue(NAME), CertbotTree(certbot_tree.folder.parent / "strange").issue(OTHER)
    proxy = f"proxy_ssl_certificate {lineage}/fullchain.pem; proxy_ssl_certificate_key {lineage}/privkey.pem;"
    proxy += f"proxy_ssl_trusted_certificate {strange}/chain.pem; proxy_pass https://127.0.0.1:9;"
    nginx = start_nginx(f"server {{ listen 127.0.0.1:{free_port()}; location / {{ {proxy} }} }}")
    new = disk_sha256(certbot_tree.issue(NAME))

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")
    again = exodus_certbot("deploy", "--lineage", str(lineage), "--json")
    repaired = exodus_certbot("reconcile", "--json")

    rows = [("proxy_ssl_certificate", "not-probed", str(lineage), new)]
    assert deployed.listed("name", "verdict", "lineage", "expected_sha256") == rows
    assert (deployed.exit_code, deployed.json["verdict"], deployed.json["reloaded"]) == (0, "ok", True)
    assert "unproven" in deployed.json["reason"]
    assert "upstreams only" in deployed.json["listeners"][0]["reason"]
    assert (again.json["reloaded"], repaired.json["reloaded"], nginx.reloads) == (False, False, 1)


@pytest.mark.parametrize(
    "directive", ["ssl_trusted_certificate", "ssl_client_certificate", "grpc_ssl_trusted_certificate"]
)
def test_a_missed_reload_for_a_certificate_to_check_others_with_is_repaired(
    directive: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    own, lineage = certbot_tree.issue(OTHER), certbot_tree.issue(NAME)
    more = f"{directive} {lineage}/chain.pem;"
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", OTHER, own, more=more))
    exodus_certbot("reconcile")  # what was issued within the hundredth of a second before nginx began counts as later
    before, reloads = exodus_certbot("reconcile", "--json"), nginx.reloads
    certbot_tree.issue(NAME)

    found = exodus_certbot("check", "--json")
    repaired = exodus_certbot("reconcile", "--json")

    assert (found.exit_code, "changed since nginx read it" in found.json["reason"]) == (0, True)
    assert (before.json["reloaded"], repaired.json["reloaded"], nginx.reloads - reloads) == (False, True, 1)
    assert set(repaired.listed("name", "verdict")) == {(OTHER, "ok"), (directive, "not-probed")}


def _behind_another_default(listen: str, default: Path, names: str, lineage: Path) -> str:
    return server(f"{listen} default_server", OTHER, default) + server(listen, names, lineage)


def test_an_expression_is_asked_for_by_a_name_of_its_certificate_that_fits(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    default, lineage = certbot_tree.issue(OTHER), certbot_tree.issue(NAME, (NAME, f"*.{NAME}"))
    listen = f"127.0.0.1:{free_port()} ssl"
    start_nginx(_behind_another_default(listen, default, '"~^(?<sub>[^.]+)\\.exodus\\.example$"', lineage))
    new = disk_sha256(certbot_tree.issue(NAME, (NAME, f"*.{NAME}")))

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    assert deployed.listed("verdict", "served_sha256") == [("ok", new)]
    assert (deployed.json["reloaded"], "unproven" in deployed.json["reason"]) == (True, False)


def test_an_expression_that_no_known_name_fits_is_reloaded_for_and_said_to_be_unproven(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    default, lineage, port = certbot_tree.issue(OTHER), certbot_tree.issue(NAME), free_port()
    start_nginx(_behind_another_default(f"127.0.0.1:{port} ssl", default, '"~^b"', lineage))
    new = disk_sha256(certbot_tree.issue(NAME))

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "--json")

    assert served_sha256(port, "b.example") == new
    assert (deployed.exit_code, deployed.json["reloaded"], deployed.listed("verdict")) == (0, True, [("not-probed",)])
    assert "unproven, for nobody can be asked: ~^b at port" in deployed.json["reason"]


def test_an_ipv6_wildcard_that_takes_ipv4_as_well_is_asked_there(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    specific, wildcard, port = certbot_tree.issue("a.example", (NAME,)), certbot_tree.issue(NAME), free_port("::1")
    http = server(f"[::1]:{port} ssl", NAME, specific) + server(f"[::]:{port} ssl ipv6only=off", NAME, wildcard)
    start_nginx(http)
    new = disk_sha256(certbot_tree.issue(NAME))

    deployed = exodus_certbot("deploy", "--lineage", str(wildcard), "--json")

    assert deployed.listed("address", "verdict", "served_sha256") == [("::", "ok", new)]


def test_a_lineage_that_only_an_ignored_server_uses_is_a_warning_and_no_reason_to_reload(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    first, second = certbot_tree.issue("a.example", (NAME,)), certbot_tree.issue("b.example", (NAME,))
    listen = f"127.0.0.1:{free_port()} ssl"
    start_nginx("".join(server(listen, NAME, lineage) for lineage in (first, second)))
    certbot_tree.issue("b.example", (NAME,))

    deployed = exodus_certbot("deploy", "--lineage", str(second), "--json")
    used = exodus_certbot("deploy", "--lineage", str(first), "--json")

    assert (deployed.exit_code, deployed.json["verdict"], deployed.json["reloaded"]) == (0, "warning", False)
    assert f"no client is shown {second}" in deployed.json["reason"]
    assert "nginx ignores this name here" in deployed.json["reason"]
    assert used.json["verdict"] == "ok"


@pytest.mark.parametrize(
    ("listen", "why"),
    [("{port}", "`ssl` is missing after listen"), ("{port} ssl", "every server of this http block has another one")],
)
def test_no_certificate_in_the_configuration_is_invisible(
    listen: str, why: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    unused, own = certbot_tree.issue(OTHER), certbot_tree.issue(NAME)
    http = server(f"127.0.0.1:{listen.format(port=free_port())}", NAME, own)
    http = http if "ssl`" in why else certificate_lines(unused) + http
    start_nginx(http)

    deployed = exodus_certbot("deploy", "--lineage", str(own if "ssl`" in why else unused), "--json")

    assert (deployed.exit_code, deployed.json["verdict"]) == (0, "warning")
    assert why in deployed.json["reason"]

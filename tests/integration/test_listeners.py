"""Every kind of listener and name that nginx knows: each is asked for just what it shows, or it is said why not."""

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import certificate_lines, server
from tests.parts.ports import free_port
from tests.parts.witness import disk_sha256, served_sha256

NAME, OTHER = "exodus.example", "other.example"
ANY = "0.0.0.0"


def _three_ports_in_a_row() -> int:
    ports = [free_port(), free_port(), free_port()]
    while ports != list(range(ports[0], ports[0] + 3)):
        ports = [*ports[1:], free_port()]
    return ports[0]


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:{port} ssl proxy_protocol", "127.0.0.1"),
        ("{port} ssl", ANY),
        ("[::1]:{port} ssl", "::1"),
        ("[::]:{port} ssl", "::"),
        ("[::]:{port} ssl ipv6only=off", "::"),
        ("[0:0:0:0:0:0:0:1]:{port} ssl", "::1"),
        ("127.0.0.1:{port} ssl http2 reuseport so_keepalive=on backlog=64", "127.0.0.1"),
    ],
)
def test_a_missed_reload_is_found_and_repaired_whatever_the_listener(
    listen: str, address: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    old = disk_sha256(lineage)
    start_nginx(server(listen.format(port=port), NAME, lineage))
    new = disk_sha256(certbot_tree.issue(NAME))
    fields = ("address", "port", "verdict", "served_sha256", "expected_sha256")

    found = exodus_certbot("check", "--json")
    repaired = exodus_certbot("reconcile", "--json")

    assert found.listed(*fields) == [(address, port, "stale", old, new)]
    assert repaired.listed(*fields) == [(address, port, "ok", new, new)]
    assert (found.exit_code, repaired.exit_code) == (1, 0)


@pytest.mark.parametrize("flags", ["ssl", "ssl proxy_protocol"])
def test_a_missed_reload_is_found_on_a_unix_socket(
    flags: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, address = certbot_tree.issue(NAME), f"unix:{certbot_tree.folder.parent}/tls.sock"
    old = disk_sha256(lineage)
    start_nginx(server(f"{address} {flags}", NAME, lineage))
    new = disk_sha256(certbot_tree.issue(NAME))
    fields = ("address", "port", "verdict", "served_sha256", "expected_sha256")

    found = exodus_certbot("check", "--json")
    repaired = exodus_certbot("reconcile", "--json", "--connect", "127.0.0.1")

    assert found.listed(*fields) == [(address, None, "stale", old, new)]
    assert repaired.listed(*fields) == [(address, None, "ok", new, new)]


def test_a_host_name_stands_for_each_of_its_addresses(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    start_nginx(server(f"localhost:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))

    found = exodus_certbot("check", "--json")

    assert ("127.0.0.1", "ok") in found.listed("address", "verdict")
    assert {row["verdict"] for row in found.json["listeners"]} == {"ok"}


def test_a_specific_address_and_a_wildcard_on_one_port_are_told_apart(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    specific, wildcard, port = certbot_tree.issue("a.example", (NAME,)), certbot_tree.issue(NAME), free_port()
    http = server(f"127.0.0.1:{port} ssl", NAME, specific) + server(f"{port} ssl", NAME, wildcard)
    start_nginx(http)
    fields = ("address", "verdict", "lineage", "served_sha256")
    served = {"specific": disk_sha256(specific), "wildcard": disk_sha256(wildcard)}

    both_right = exodus_certbot("check", "--json")
    certbot_tree.issue(NAME)
    one_stale = exodus_certbot("check", "--json")

    assert both_right.listed(*fields) == [
        (ANY, "ok", str(wildcard), served["wildcard"]),
        ("127.0.0.1", "ok", str(specific), served["specific"]),
    ]
    assert one_stale.listed(*fields) == [
        (ANY, "stale", str(wildcard), served["wildcard"]),
        ("127.0.0.1", "ok", str(specific), served["specific"]),
    ]


def _ipv6_addresses() -> list[str]:
    """List the addresses of global scope that this machine has, beside the loopback's."""
    fields = [line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines()]
    return [str(ip_address(bytes.fromhex(field[0]))) for field in fields if field[3] == "00"]


def test_an_ipv6_wildcard_that_no_address_leads_to_is_not_probed_unless_one_is_named(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    specific, wildcard, port = certbot_tree.issue("a.example", (NAME,)), certbot_tree.issue(NAME), free_port("::1")
    taken = ["::1", *_ipv6_addresses()]
    listens = ", ".join(f"[{address}]:{port} ssl" for address in taken)
    start_nginx(server(listens, NAME, specific) + server(f"[::]:{port} ssl", NAME, wildcard))

    found = exodus_certbot("check", "--json")

    assert found.exit_code == 0
    rows = [("::", "not-probed", None), *((address, "ok", disk_sha256(specific)) for address in taken)]
    assert found.listed("address", "verdict", "served_sha256") == sorted(rows, key=repr)
    assert any("--connect" in row["reason"] for row in found.json["listeners"])


def test_an_address_named_with_connect_is_asked_even_for_a_wildcard_that_could_not_be(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    specific, wildcard, port = certbot_tree.issue("a.example", (NAME,)), certbot_tree.issue(NAME), free_port("::1")
    http = server(f"[::1]:{port} ssl", NAME, specific) + server(f"[::]:{port} ssl ipv6only=off", NAME, wildcard)
    start_nginx(http)

    found = exodus_certbot("check", "--connect", "127.0.0.1", "--json")

    # What the specific one shows elsewhere is another matter: it was the operator who named the address.
    assert ("::", "ok", disk_sha256(wildcard)) in found.listed("address", "verdict", "served_sha256")


def test_connect_asks_another_address_and_reports_the_listen_address(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    first, second, port = certbot_tree.issue("a.example", (NAME,)), certbot_tree.issue(NAME), free_port()
    start_nginx(server(f"127.0.0.3:{port} ssl", NAME, first) + server(f"127.0.0.2:{port} ssl", NAME, second))
    fields = ("address", "verdict", "served_sha256")

    itself = exodus_certbot("check", "--json")
    elsewhere = exodus_certbot("check", "--connect", "127.0.0.2", "--json")
    nowhere = exodus_certbot("check", "--connect", "127.0.0.4", "--json")

    shown = {"127.0.0.2": disk_sha256(second), "127.0.0.3": disk_sha256(first)}
    assert itself.listed(*fields) == [(address, "ok", sha256) for address, sha256 in shown.items()]
    assert elsewhere.listed(*fields) == [
        ("127.0.0.2", "ok", shown["127.0.0.2"]),
        ("127.0.0.3", "stale", shown["127.0.0.2"]),
    ]
    assert nowhere.listed(*fields) == [(address, "unreachable", None) for address in shown]
    assert (itself.exit_code, elsewhere.exit_code, nowhere.exit_code) == (0, 1, 1)


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1:443", ""])
def test_connect_takes_addresses_only(address: str, exodus_certbot: ExodusCertbot) -> None:
    refused = exodus_certbot("check", "--connect", address)

    assert refused.exit_code == 2
    assert "connect" in refused.stderr


def test_a_default_server_that_rejects_handshakes_is_listed_and_not_probed(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    listen = f"127.0.0.1:{free_port()} ssl"
    http = server(f"{listen} default_server", "_", more="ssl_reject_handshake on;")
    start_nginx(http + server(listen, NAME, certbot_tree.issue(NAME)))

    found = exodus_certbot("check", "--json")

    assert found.exit_code == 0
    assert found.listed("name", "verdict") == [("_", "not-probed"), (NAME, "ok")]
    assert [row["reason"] for row in found.json["listeners"] if "ssl_reject_handshake" in row["reason"]] != []


@pytest.mark.parametrize("written", ["_", '""', "127.0.0.1", "~^.+\\.exodus\\.example$"])
def test_a_default_server_that_no_name_leads_to_is_asked_without_a_name(
    written: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    fallback, named = certbot_tree.issue("fallback.example"), certbot_tree.issue(NAME)
    listen, old = f"127.0.0.1:{free_port()} ssl", disk_sha256(fallback)
    start_nginx(server(f"{listen} default_server", written, fallback) + server(listen, NAME, named))
    new = disk_sha256(certbot_tree.issue("fallback.example"))

    found = exodus_certbot("check", "--json")

    assert found.exit_code == 1
    rows = [row for row in found.json["listeners"] if row["name"] != NAME and row["verdict"] != "not-probed"]
    assert [(row["verdict"], row["served_sha256"], row["expected_sha256"]) for row in rows] == [("stale", old, new)]


def test_a_server_with_a_regular_expression_only_is_not_probed(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    first, second, listen = certbot_tree.issue(NAME), certbot_tree.issue(OTHER), f"127.0.0.1:{free_port()} ssl"
    start_nginx(server(listen, NAME, first) + server(listen, "~^www\\d+\\.example$", second))
    certbot_tree.issue(OTHER)

    found = exodus_certbot("check", "--json")

    assert found.exit_code == 0
    assert found.listed("name", "verdict") == [(NAME, "ok"), ("~^www\\d+\\.example$", "not-probed")]
    assert any("regular expression" in row["reason"] for row in found.json["listeners"])


def test_every_port_of_a_range_is_asked(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    first = _three_ports_in_a_row()
    start_nginx(server(f"127.0.0.1:{first}-{first + 2} ssl", NAME, certbot_tree.issue(NAME)))

    found = exodus_certbot("check", "--json")

    assert found.listed("port", "verdict") == [(port, "ok") for port in range(first, first + 3)]


def test_every_name_is_asked_for_at_every_listener_wildcards_by_a_name_they_stand_for(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    wide = certbot_tree.issue("wide", (NAME, f"*.{NAME}"))
    other, ports = certbot_tree.issue(OTHER), (free_port(), free_port())
    listen = ", ".join(f"127.0.0.1:{port} ssl" for port in ports)
    start_nginx(server(listen, OTHER, other) + server(listen, f"{NAME} *.{NAME} .b.{NAME} www.{NAME}.*", wide))

    found = exodus_certbot("check", "--json")

    names = (OTHER, NAME, f"*.{NAME}", f"b.{NAME}", f"*.b.{NAME}", f"www.{NAME}.*")
    expected = sorted(((name, port, "ok") for name in names for port in ports), key=repr)
    assert found.listed("name", "port", "verdict") == expected
    served = {row["name"]: row["served_sha256"] for row in found.json["listeners"]}
    assert served == {name: disk_sha256(other if name == OTHER else wide) for name in names}


def test_a_certificate_of_the_http_block_is_inherited_and_a_server_own_one_replaces_it(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    shared, own, listen = certbot_tree.issue(NAME), certbot_tree.issue(OTHER), f"127.0.0.1:{free_port()} ssl"
    http = certificate_lines(shared) + server(listen, NAME) + server(listen, OTHER, own)
    start_nginx(http)
    certbot_tree.issue(NAME)

    found = exodus_certbot("check", "--json")

    assert found.listed("name", "lineage", "verdict") == [(NAME, str(shared), "stale"), (OTHER, str(own), "ok")]


def test_a_name_that_an_earlier_server_has_already_is_not_probed(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    first, second, port = (
        certbot_tree.issue("a.example", (NAME,)),
        certbot_tree.issue("b.example", (NAME,)),
        free_port(),
    )
    start_nginx("".join(server(f"127.0.0.1:{port} ssl", NAME, lineage) for lineage in (first, second)))

    found = exodus_certbot("check", "--json")

    assert served_sha256(port, NAME) == disk_sha256(first)
    assert found.listed("lineage", "verdict") == [(str(first), "ok"), (str(second), "not-probed")]


def test_a_listener_without_tls_is_no_row(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    plain, tls = free_port(), free_port()
    start_nginx(server(f"127.0.0.1:{plain}, 127.0.0.1:{tls} ssl", NAME, certbot_tree.issue(NAME)))

    found = exodus_certbot("check", "--json")

    assert found.listed("port", "verdict") == [(tls, "ok")]


def test_a_site_in_an_included_file_is_found_like_any_other(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    sites = certbot_tree.folder.parent / "sites-enabled"
    sites.mkdir()
    (sites / "a.conf").write_text(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    start_nginx(f"include {sites}/*.conf;")

    found = exodus_certbot("check", "--json")

    assert found.listed("name", "verdict") == [(NAME, "ok")]


def _on_one_line(conf: str) -> str:
    return conf.replace("\n", " ")


def _with_quoted_pid(conf: str) -> str:
    return "".join(f"pid '{line[4:-2]}';\n" if line.startswith("pid ") else line for line in conf.splitlines(True))


def _with_pid_after_a_commented_one(conf: str) -> str:
    return "# pid /run/other.pid;\n" + conf.replace("pid ", "pid\t", 1)


@pytest.mark.parametrize("rewritten", [_on_one_line, _with_quoted_pid, _with_pid_after_a_commented_one])
def test_the_running_nginx_is_found_however_its_pid_file_is_written_down(
    rewritten: Callable[[str], str],
    certbot_tree: CertbotTree,
    start_nginx: StartNginx,
    exodus_certbot: ExodusCertbot,
) -> None:
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    nginx.conf.write_text(rewritten(nginx.conf.read_text()))
    nginx.reload()

    found = exodus_certbot("check", "--json")

    assert (found.exit_code, found.json["reason"]) == (0, "1 ok")


def test_the_running_nginx_is_found_where_an_included_file_names_its_pid_file(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    pid_line = f"pid {nginx.pid_file};"
    (nginx.folder / "main.conf").write_text(f"{pid_line}\n")
    nginx.conf.write_text(nginx.conf.read_text().replace(pid_line, "include main.conf;"))
    nginx.reload()

    found = exodus_certbot("check", "--json")

    assert (found.exit_code, found.json["reason"]) == (0, "1 ok")

"""Paths and configurations by which somebody would lead us astray: refused or shown harmlessly, never followed."""

import os
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot, Ran
from tests.parts.configuration import server
from tests.parts.nginx import NGINX, RealNginx
from tests.parts.ports import free_port
from tests.parts.processes import run
from tests.parts.witness import all_served_sha256, disk_sha256

NAME = "exodus.example"
ODD_NAME = b"od\xff\x1b[31md\xc2\x9b.example"
FORMATS = ("text", "json", "nagios", "prometheus")


def _deploy_refused(lineage: Path, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tree: CertbotTree) -> Ran:
    """Deploy something that is no lineage, beside one that has been renewed; see that this changes nothing."""
    used, port = tree.issue(NAME), free_port()
    old = disk_sha256(used)
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, used))
    tree.issue(NAME)

    deployed = exodus_certbot("deploy", "--lineage", str(lineage))

    assert deployed.exit_code == 1
    assert "nothing was changed" in deployed.stderr
    assert all_served_sha256(port, NAME) == {old}
    return deployed


def test_a_lineage_that_is_a_loop_of_links_is_refused(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    loop = certbot_tree.folder / "live/loop"
    loop.parent.mkdir(parents=True)
    loop.symlink_to("loop")

    _deploy_refused(loop, start_nginx, exodus_certbot, certbot_tree)


def test_a_lineage_whose_files_are_loops_of_links_is_refused(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue("loop.example")
    for file in lineage.iterdir():
        file.unlink()
        file.symlink_to(file.name)

    deployed = _deploy_refused(lineage, start_nginx, exodus_certbot, certbot_tree)

    assert str(lineage) in deployed.stderr


@pytest.mark.parametrize("path", ["{live}/../live/exodus.example", "{live}/exodus.example/..", "/etc"])
def test_a_path_that_is_no_folder_of_live_is_refused(
    path: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = Path(path.format(live=certbot_tree.folder / "live"))

    deployed = _deploy_refused(lineage, start_nginx, exodus_certbot, certbot_tree)

    assert "is not a lineage of" in deployed.stderr


def test_a_lineage_of_another_certbot_is_refused(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    elsewhere = CertbotTree(tmp_path / "elsewhere").issue(NAME)

    deployed = _deploy_refused(elsewhere, start_nginx, exodus_certbot, certbot_tree)

    assert "is not a lineage of" in deployed.stderr


def test_a_lineage_that_is_a_link_to_elsewhere_is_refused(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    elsewhere = CertbotTree(tmp_path / "elsewhere").issue("linked.example")
    link = certbot_tree.folder / "live/linked.example"
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)

    deployed = _deploy_refused(link, start_nginx, exodus_certbot, certbot_tree)

    assert "is not a lineage of" in deployed.stderr


@pytest.mark.parametrize(
    "written", ["{lineage}/", "{lineage}/.", "{live}//exodus.example", "{link}/live/exodus.example"]
)
def test_other_ways_to_write_a_lineage_are_followed(
    written: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    lineage, link = certbot_tree.issue(NAME), tmp_path / "etc-letsencrypt"
    link.symlink_to(certbot_tree.folder)
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, lineage))
    certbot_tree.issue(NAME)
    path = written.format(lineage=lineage, live=lineage.parent, link=link)

    deployed = exodus_certbot("deploy", "--lineage", path, "--json")

    assert (deployed.exit_code, deployed.json["reloaded"]) == (0, True)


@pytest.mark.parametrize("name", [b"\xff\xfe", b"\x1b[31mred", b"a\nb"])
def test_a_lineage_with_odd_bytes_in_its_name_is_shown_harmlessly(
    name: bytes, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    odd = certbot_tree.folder / "live" / os.fsdecode(name)

    deployed = _deploy_refused(odd, start_nginx, exodus_certbot, certbot_tree)

    assert "\x1b" not in deployed.all_output
    assert deployed.stderr.isascii()
    assert len(deployed.stderr.splitlines()) == 1


def _start_with_odd_name(start_nginx: StartNginx, lineage: Path, *, more: bytes = b"") -> RealNginx:
    listen = f"127.0.0.1:{free_port()} ssl"
    nginx = start_nginx(server(listen, NAME, lineage) + server(listen, '"ODD-NAME"', lineage) + "# MORE\n")
    conf = nginx.conf.read_bytes().replace(b"ODD-NAME", ODD_NAME).replace(b"# MORE", more)
    nginx.conf.write_bytes(conf)
    if not more:
        assert run([NGINX, "-t", "-q", "-c", str(nginx.conf)], env=os.environ).exit_code == 0
    return nginx


@pytest.mark.parametrize("output", FORMATS)
def test_server_names_with_odd_bytes_are_shown_harmlessly(
    output: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    _start_with_odd_name(start_nginx, certbot_tree.issue(NAME))

    found = exodus_certbot("check", "-v", "--format", output)

    assert found.exit_code == 0
    assert found.all_output.isascii()
    assert "\x1b" not in found.all_output


def test_a_complaint_of_nginx_with_odd_bytes_is_shown_harmlessly(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    _start_with_odd_name(start_nginx, certbot_tree.issue(NAME), more=b"\xff\x1b]0;title\x07 on;")

    found = exodus_certbot("check", "-v")

    assert found.exit_code == 1
    assert "unknown directive" in found.stdout
    assert found.all_output.isascii()
    assert "\x1b" not in found.all_output
    assert "\x07" not in found.all_output


def test_an_odd_name_does_not_keep_a_lineage_from_being_repaired(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue(NAME)
    _start_with_odd_name(start_nginx, lineage)
    certbot_tree.issue(NAME)

    deployed = exodus_certbot("deploy", "--lineage", str(lineage), "-v")

    assert deployed.exit_code == 0
    assert "\x1b" not in deployed.all_output


def test_a_configuration_of_ten_megabytes_is_read_in_time(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue(NAME)
    comments = "".join(f'# {number} {"x" * 90} {{ ; "\n' for number in range(60_000))
    entries = "".join(f'"~^/{number}/.*$" "{"y" * 70}\\"{number}";\n' for number in range(40_000))
    maps = f"map $uri $target {{\n{entries}}}\n"
    nginx = start_nginx(comments + maps + server(f"127.0.0.1:{free_port()} ssl", NAME, lineage))
    assert nginx.conf.stat().st_size > 10_000_000

    found = exodus_certbot("check", "--json", timeout=30)

    assert (found.exit_code, found.listed("verdict")) == (0, [("ok",)])

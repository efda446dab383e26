"""No nginx runs: it is said, never repaired by starting one, and nothing is left behind for the one that starts."""

import os
import socket
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.nginx import RealNginx
from tests.parts.ports import free_port
from tests.parts.processes import running

NAME = "exodus.example"
COMMANDS = [("check",), ("reconcile",), ("deploy", "--lineage", "{live}")]


def _listing(*folders: Path) -> dict[Path, tuple[int, int, bytes]]:
    """Give all that a reader could see of some folders: names, modes, times, contents."""
    files = [file for folder in folders for file in (folder, *folder.rglob("*"))]
    status = {file: file.lstat() for file in files}
    return {
        file: (seen.st_mode, seen.st_mtime_ns, file.read_bytes() if file.is_file() else b"")
        for file, seen in status.items()
    }


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("before", ["never started", "stopped", "killed"])
def test_nothing_is_started_and_nothing_left_behind(
    command: tuple[str, ...],
    before: str,
    certbot_tree: CertbotTree,
    start_nginx: StartNginx,
    exodus_certbot: ExodusCertbot,
    tmp_path: Path,
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    http = server(f"127.0.0.1:{port} ssl", NAME, lineage)
    (tmp_path / "nginx").mkdir(exist_ok=True)
    nginx = RealNginx(tmp_path / "nginx") if before == "never started" else start_nginx(http)
    nginx.write(http)
    _end(nginx, before)
    listing = _listing(nginx.folder, certbot_tree.folder)

    ran = exodus_certbot(*(word.format(live=lineage) for word in command), "--json")

    assert (ran.exit_code, ran.json["verdict"], ran.json["reloaded"]) == (1, "critical", False)
    assert "nginx is not running" in ran.json["reason"]
    assert ran.listed("name", "verdict", "served_sha256") == [(NAME, "unreachable", None)]
    assert _listing(nginx.folder, certbot_tree.folder) == listing
    assert not _listens(port)


def _end(nginx: RealNginx, how: str) -> None:
    if how == "stopped":
        nginx.stop()
    elif how == "killed":
        left_behind = nginx.pid_file.read_bytes()
        nginx.stop()
        nginx.pid_file.write_bytes(left_behind)


def test_a_running_nginx_is_asked_and_its_folder_left_as_it_is(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    names = set(_listing(nginx.folder, certbot_tree.folder))

    found = exodus_certbot("check", "--json")

    assert (found.exit_code, found.listed("verdict")) == (0, [("ok",)])
    assert set(_listing(nginx.folder, certbot_tree.folder)) == names


def test_monitoring_is_told_that_nginx_is_stopped(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    before = exodus_certbot("check", "--format", "nagios")
    nginx.stop()

    stopped = exodus_certbot("check", "--format", "nagios")

    assert (before.exit_code, stopped.exit_code) == (0, 2)
    assert stopped.stdout.startswith("CRITICAL - nginx is not running")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_process_that_has_the_number_of_an_nginx_long_gone_is_left_in_peace(
    command: tuple[str, ...], certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage = certbot_tree.issue(NAME)
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, lineage))
    nginx.stop()
    certbot_tree.issue(NAME)
    with running(["sleep", "600"], env=os.environ, log=nginx.folder / "bystander.log") as bystander:
        nginx.pid_file.write_text(f"{bystander.pid}\n")

        ran = exodus_certbot(*(word.format(live=lineage) for word in command), "--json")

        nginx.pid_file.unlink()
        assert ran.exit_code == 1
        assert "nginx is not running" in ran.json["reason"]
        assert bystander.poll() is None

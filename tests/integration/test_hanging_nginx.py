"""An nginx program that never ends: a run ends all the same, in time, and takes along what it had started."""

import shlex
import time
from pathlib import Path

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.certbot import write_program
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.nginx import NGINX
from tests.parts.ports import free_port

NAME = "exodus.example"


def _hanging(path: Path, seconds: str, *, answers: str) -> Path:
    """Write an nginx that answers to some options as the real one does, and hangs on all others."""
    hang = f'case "$1" in {answers}) exec {shlex.quote(NGINX)} "$@";; esac; sleep {seconds} & wait'
    write_program(path, "sh", "-c", hang, "nginx")
    return path


def _running(*argv: str) -> list[int]:
    title = "\0".join((*argv, "")).encode()
    return [int(file.parent.name) for file in Path("/proc").glob("[0-9]*/cmdline") if _content(file) == title]


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(("command", "answers"), [("check", "-V"), ("reconcile", "nothing"), ("deploy", "-V")])
def test_a_run_ends_in_time_and_leaves_no_process(
    command: str,
    answers: str,
    certbot_tree: CertbotTree,
    start_nginx: StartNginx,
    exodus_certbot: ExodusCertbot,
    tmp_path: Path,
) -> None:
    lineage, seconds = certbot_tree.issue(NAME), f"600.{free_port()}"
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, lineage))
    nginx, begun = _hanging(tmp_path / "bin/nginx", seconds, answers=answers), time.monotonic()
    options = ("--lineage", str(lineage)) if command == "deploy" else ()

    ran = exodus_certbot(command, *options, "--nginx", str(nginx), "--timeout", "0.4")

    assert ran.exit_code == 1
    assert f"killed {nginx}" in ran.stderr
    assert time.monotonic() - begun < 5
    assert _running("sleep", seconds) == []


def test_monitoring_is_told_that_nothing_is_known(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    seconds, begun = f"600.{free_port()}", time.monotonic()
    nginx = _hanging(tmp_path / "bin/nginx", seconds, answers="-V")

    found = exodus_certbot("check", "--nginx", str(nginx), "--timeout", "2", "--format", "nagios")

    assert found.exit_code == 3
    assert found.stdout.startswith("UNKNOWN - ")
    assert time.monotonic() - begun < 6
    assert _running("sleep", seconds) == []


def test_a_program_in_place_of_nginx_that_does_not_hang_is_used(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))
    nginx = _hanging(tmp_path / "bin/nginx", "600", answers="-*")

    assert exodus_certbot("check", "--nginx", str(nginx), "--format", "nagios").exit_code == 0


@pytest.mark.parametrize("there", [False, True], ids=["missing", "not executable"])
def test_an_nginx_program_that_cannot_be_run_is_named(
    there: bool, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    nginx = tmp_path / "nginx-of-mine"
    if there:
        nginx.write_text("")

    found = exodus_certbot("check", "--nginx", str(nginx))

    assert found.exit_code == 78
    assert str(nginx) in found.stderr

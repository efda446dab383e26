"""Several runs at once: one reloads, the others wait for it and find that nothing is left to do."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import pytest

from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot
from tests.parts.configuration import server
from tests.parts.ports import free_port
from tests.parts.witness import all_served_sha256, disk_sha256

NAME = "exodus.example"


@contextmanager
def _lock_held(exodus_certbot: ExodusCertbot) -> Iterator[None]:
    """Hold the lock of this nginx as another run would."""
    which = sha256(os.path.realpath(exodus_certbot.conf).encode()).hexdigest()[:12]
    exodus_certbot.state_dir.mkdir()
    with (exodus_certbot.state_dir / f"nginx-{which}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize(
    "commands", [("reconcile", "reconcile"), ("deploy", "deploy"), ("deploy", "reconcile")], ids=" and ".join
)
def test_exactly_one_of_two_runs_reloads(
    commands: tuple[str, str], certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    new = disk_sha256(certbot_tree.issue(NAME))
    options = {"deploy": ("--lineage", str(lineage)), "reconcile": ()}

    running = [exodus_certbot.start(command, *options[command], "--json") for command in commands]
    outputs = [process.communicate(timeout=60) for process in running]

    assert [process.returncode for process in running] == [0, 0], outputs
    assert sorted(json.loads(stdout)["reloaded"] for stdout, _ in outputs) == [False, True]
    assert all_served_sha256(port, NAME) == {new}


@pytest.mark.parametrize("command", ["deploy", "reconcile"])
def test_a_lock_held_past_the_wait_means_later(
    command: str, certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    old = disk_sha256(lineage)
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    certbot_tree.issue(NAME)
    options = ("--lineage", str(lineage)) if command == "deploy" else ()

    with _lock_held(exodus_certbot):
        refused = exodus_certbot(command, *options, "--timeout", "0.2")
        assert refused.exit_code == 75
        assert "still locked" in refused.stderr
        assert all_served_sha256(port, NAME) == {old}

    assert exodus_certbot(command, *options).exit_code == 0


def test_check_waits_for_nobody(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME)))

    with _lock_held(exodus_certbot):
        assert exodus_certbot("check", "--timeout", "5").exit_code == 0


def test_a_run_that_comes_while_another_holds_the_lock_does_its_work_when_it_is_free(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl", NAME, lineage))
    new = disk_sha256(certbot_tree.issue(NAME))

    with _lock_held(exodus_certbot):
        waiting = exodus_certbot.start("reconcile", "--json")
    stdout, stderr = waiting.communicate(timeout=60)

    assert waiting.returncode == 0, stderr
    assert json.loads(stdout)["reloaded"] is True
    assert all_served_sha256(port, NAME) == {new}

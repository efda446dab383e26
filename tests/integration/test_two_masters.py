"""Two nginx answer at one port, one of them with an older certificate: never called right, and never by chance."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from exodus_certbot.model import Crowd
from exodus_certbot.nginx import master, proc, strangers
from tests.integration.conftest import StartNginx
from tests.parts.authority import CertbotTree
from tests.parts.command import ExodusCertbot, Ran
from tests.parts.configuration import server
from tests.parts.mounts import mounted
from tests.parts.nginx import RealNginx, running_nginx
from tests.parts.ports import free_port
from tests.parts.waiting import wait_until
from tests.parts.witness import all_served_sha256, disk_sha256, worker_pids

NAME = "exodus.example"


@pytest.fixture
def reloaded_alone(certbot_tree: CertbotTree, start_nginx: StartNginx, tmp_path: Path) -> Iterator[None]:
    """Run two nginx whose listeners share a port, and reload one of them with a renewed certificate."""
    port = free_port()
    http = server(f"127.0.0.1:{port} ssl reuseport", NAME, certbot_tree.issue(NAME))
    nginx = start_nginx(http)
    with running_nginx(tmp_path / "other", http):
        renewed = disk_sha256(certbot_tree.issue(NAME))
        nginx.reload()
        wait_until(lambda: renewed in all_served_sha256(port, NAME))
        yield


@pytest.mark.usefixtures("reloaded_alone")
def test_a_port_of_two_masters_is_never_called_right(exodus_certbot: ExodusCertbot) -> None:
    looks = [exodus_certbot("check", "--json") for _ in range(3)]
    reconciled = exodus_certbot("reconcile", "--json", "--timeout", "3")

    for found in (*looks, reconciled):
        assert (found.exit_code, found.json["verdict"]) == (1, "critical")
        assert found.listed("verdict") == [("stale",)]
    assert all(found.json["listeners"][0]["reason"].startswith("answers differ: ") for found in looks)


def test_one_worker_of_another_master_beside_many_of_ours_is_always_met(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    http = server(f"127.0.0.1:{port} ssl reuseport", NAME, lineage)
    start_nginx(http, workers=12).at_rest()
    with running_nginx(tmp_path / "other", http, workers=1) as other:
        certbot_tree.issue(NAME)
        named, begun = f"process {other.pid} (nginx: master process", time.monotonic()
        reconciled = exodus_certbot("reconcile", "--json", "--timeout", "60")
        took_seconds = time.monotonic() - begun
        looks = [exodus_certbot("check", "--json") for _ in range(5)]

    assert [(found.exit_code, found.listed("verdict")) for found in (reconciled, *looks)] == [(1, [("stale",)])] * 6
    assert named in reconciled.json["reason"]
    assert took_seconds < 30, "a further round would not make it right"


def test_two_masters_that_both_show_what_is_on_disk_are_right(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    http = server(f"127.0.0.1:{free_port()} ssl reuseport", NAME, certbot_tree.issue(NAME))
    start_nginx(http, workers=3).at_rest()
    with running_nginx(tmp_path / "other", http, workers=1) as other:
        other.at_rest()
        found = exodus_certbot("check", "--json")

    assert (found.exit_code, found.json["reason"]) == (0, "1 ok")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up what root may see")
def test_another_master_is_met_from_within_the_units_sandbox_too(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    port = free_port()
    http = server(f"127.0.0.1:{port} ssl reuseport", NAME, certbot_tree.issue(NAME))
    nginx = start_nginx(http, workers=12).at_rest()
    kept = "-all,+dac_read_search,+setuid,+setgid,+kill"
    command = ["setpriv", f"--bounding-set={kept}", *exodus_certbot.argv("check", "--json")]
    with (
        running_nginx(tmp_path / "other", http, workers=1),
        mounted("mount -t proc -o subset=pid proc /proc") as sandbox,
    ):
        renewed = disk_sha256(certbot_tree.issue(NAME))
        nginx.reload()
        wait_until(lambda: renewed in all_served_sha256(port, NAME))
        looks = [_looked(sandbox.argv(command), exodus_certbot) for _ in range(4)]

    assert [found.listed("verdict") for found in looks] == [[("stale",)]] * 4
    assert all("of 208 show another one" in found.json["listeners"][0]["reason"] for found in looks)


def _looked(argv: Sequence[str], command: ExodusCertbot) -> Ran:
    done = subprocess.run(argv, env=command.environment, capture_output=True, text=True, timeout=60, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("is_seen", [True, False], ids=["seen", "not seen"])
def test_somebody_elses_sockets_are_counted_also_where_we_may_not_see_who_holds_them(
    is_seen: bool, certbot_tree: CertbotTree, start_nginx: StartNginx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("127.0.0.1", free_port())
    http = server(f"127.0.0.1:{place[1]} ssl reuseport", NAME, certbot_tree.issue(NAME))
    nginx = start_nginx(http, workers=3).at_rest()
    ours = proc.process(nginx.pid)
    assert ours is not None
    wait_until(lambda: len(master.workers(ours).accepting) == 3)
    if not is_seen:
        monkeypatch.setattr(proc, "sockets", lambda _pid: iter(()))

    alone = strangers.crowds(ours, [place])
    with running_nginx(tmp_path / "other", http, workers=2):
        beside = strangers.crowds(ours, [place])

    assert (alone, beside) == ({}, {place: Crowd(5, 2)})


def test_a_wildcard_is_asked_where_no_other_program_has_the_very_address(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot, tmp_path: Path
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    foreign = certbot_tree.issue("foreign.example", (NAME,))
    nginx = start_nginx(server(f"{port} ssl reuseport", NAME, lineage)).at_rest()
    with running_nginx(tmp_path / "other", server(f"127.0.0.1:{port} ssl reuseport", NAME, foreign)):
        found = exodus_certbot("check", "--json")
        certbot_tree.issue(NAME)
        stale = exodus_certbot("check", "--json")
        reconciled = exodus_certbot("reconcile", "--json")

    assert (found.exit_code, stale.exit_code, reconciled.exit_code) == (0, 1, 0)
    assert reconciled.listed("verdict", "served_sha256") == [("ok", disk_sha256(lineage))]
    assert nginx.reloads == 1


def test_the_reload_is_proven_where_one_master_alone_has_the_port(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    lineage, port = certbot_tree.issue(NAME), free_port()
    start_nginx(server(f"127.0.0.1:{port} ssl reuseport", NAME, lineage))
    certbot_tree.issue(NAME)

    reloaded = exodus_certbot("reconcile", "--json")

    assert (reloaded.exit_code, reloaded.json["reloaded"]) == (0, True)
    assert all_served_sha256(port, NAME) == {disk_sha256(lineage)}


def test_workers_of_an_upgraded_master_that_still_accept_are_seen(
    certbot_tree: CertbotTree, start_nginx: StartNginx, exodus_certbot: ExodusCertbot
) -> None:
    nginx = start_nginx(server(f"127.0.0.1:{free_port()} ssl", NAME, certbot_tree.issue(NAME))).at_rest()
    certbot_tree.issue(NAME)
    old = nginx.pid
    os.kill(old, signal.SIGUSR2)
    try:
        wait_until(lambda: _runs_another_master(nginx, old))
        looks = [exodus_certbot("check", "--json") for _ in range(2)]
    finally:
        os.kill(old, signal.SIGQUIT)

    assert [found.listed("verdict") for found in looks] == [[("stale",)]] * 2


def _runs_another_master(nginx: RealNginx, old: int) -> bool:
    try:
        return nginx.pid != old and bool(worker_pids(nginx.pid))
    except (OSError, ValueError):
        return False

"""Several machines admit and sweep at once, with the catalogue in PostgreSQL; one of them dies."""

import os
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from exodus_common.errors import TryLater
from exodus_storage_guard import StorageGuard
from exodus_storage_guard.tiering.replay import replay
from tests.parts.guard import MIB, Guarded, sha256_of
from tests.parts.postgresql import Postgresql, make_cluster, running_postgresql
from tests.parts.waiting import wait_until


@pytest.fixture
def shared(tmp_path: Path, postgresql: Postgresql) -> Guarded:
    """Give a full store of sixty objects whose catalogue is in PostgreSQL."""
    guarded = Guarded(tmp_path, postgresql.database())
    guarded.write(capacity={"total_bytes": "60 MiB"}, admission={"emergency_reserve": 0})
    guarded.fill(58, oldest=400, newest=200)
    assert guarded("init").exit_code == 0
    return guarded


def elsewhere(guarded: Guarded, host: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start a command as if on another machine: one of another name."""
    root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    argv = ["unshare", "--uts", *root, "sh", "-euc", 'hostname "$0"; exec "$@"', host, *guarded.argv(*arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, env=guarded.environment, stdout=pipe, stderr=pipe)


def everything(guarded: Guarded) -> dict[str, str]:
    return {key: sha256_of(guarded.store / key) for key in guarded.stored()} | guarded.archived()


def test_three_machines_sweep_at_once_and_never_do_the_same_object_twice(shared: Guarded) -> None:
    before = everything(shared)

    runs = [elsewhere(shared, f"machine-{number}", "sweep", "--json") for number in range(3)]
    said = [run.communicate(timeout=60) for run in runs]

    assert [run.returncode for run in runs] == [0, 0, 0], said
    archived = [one["key"] for one in shared("history", "--json").json if one["event"] == "archived"]
    assert len(archived) == len(set(archived)) >= 13
    assert everything(shared) == before
    assert shared.states() == {"resident": 58 - len(archived), "archived": len(archived)}


def test_a_machine_that_dies_gives_back_its_claims_once_it_is_silent(shared: Guarded) -> None:
    before = everything(shared)
    shared.write(
        capacity={"total_bytes": "60 MiB"},
        admission={"emergency_reserve": 0},
        sweep={"bandwidth_limit": "2 MiB", "parallel": 2},
    )
    dying = elsewhere(shared, "machine-that-dies", "sweep")
    wait_until(lambda: shared.states().get("copying", 0) > 0)
    dying.send_signal(signal.SIGKILL)
    dying.communicate(timeout=20)
    left = shared.states()["copying"]
    run = shared.run()

    at_once = replay(run)
    assert (at_once, shared.states()["copying"]) == (0, left)

    assert shared.state_url is not None
    with psycopg.connect(shared.state_url, autocommit=True) as connection:  # an hour goes by
        connection.execute("UPDATE exodus_storage_guard.runs SET beat_at = beat_at - 3600000000")
    shared.write(capacity={"total_bytes": "60 MiB"}, admission={"emergency_reserve": 0})
    assert shared("sweep").exit_code == 0

    assert "copying" not in shared.states()
    assert shared.states()["archived"] >= 13
    assert everything(shared) == before


def test_sixteen_processes_admit_exactly_as_many_as_fit(tmp_path: Path, postgresql: Postgresql) -> None:
    guarded = Guarded(tmp_path, postgresql.database())
    guarded.write(admission={"emergency_reserve": 0})
    guarded.nobody_makes_room()
    assert guarded("init").exit_code == 0

    runs = [guarded.start("admit", "--bytes", "10 MiB") for _ in range(16)]
    codes = [run.wait(timeout=60) for run in runs]
    for run in runs:
        run.communicate()

    assert sorted(codes) == [0] * 9 + [75] * 7  # 95 MiB is the flood mark of 100
    assert guarded("status", "--json").json["reservations"] == {"count": 9, "bytes": 90 * MIB}


def test_a_postgresql_that_is_restarted_in_the_middle_is_asked_again(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path / "cluster")
    guarded = Guarded(tmp_path, cluster.url())
    with running_postgresql(cluster):
        guarded.write(watermarks={"low": "20%", "high": "90%"})
        guarded.fill(40)
        before = everything(guarded)
        assert guarded("init").exit_code == 0
        guard = StorageGuard.from_config(guarded.config)
        guard.admit(1).release()

    away = guarded("admit", "--bytes", "1")
    with pytest.raises(TryLater):
        guard.admit(1)

    with running_postgresql(cluster):
        guard.admit(1).release()  # by the very connection that was lost
        assert guarded("sweep").exit_code == 0
        assert everything(guarded) == before
    assert away.exit_code == 75
    assert "cannot be reached" in away.stderr
    assert cluster.password not in away.all_output


def test_a_sweep_whose_postgresql_goes_away_says_so_and_the_next_one_takes_up_its_work(tmp_path: Path) -> None:
    cluster = make_cluster(tmp_path / "cluster")
    guarded = Guarded(tmp_path, cluster.url())
    slow = {"bandwidth_limit": "4 MiB", "parallel": 2}
    with running_postgresql(cluster):
        guarded.write(capacity={"total_bytes": "60 MiB"}, admission={"emergency_reserve": 0}, sweep=slow)
        guarded.fill(58, oldest=400, newest=200)
        before = everything(guarded)
        assert guarded("init").exit_code == 0
        sweeping = guarded.start("sweep")
        wait_until(lambda: guarded.states().get("copying", 0) > 0)

    _, complained = sweeping.communicate(timeout=60)

    assert sweeping.returncode == 75
    assert b"cannot be reached" in complained
    assert b"Traceback" not in complained
    with running_postgresql(cluster):
        assert guarded.states()["copying"] > 0
        again = guarded("sweep")
        assert again.exit_code == 0, again.all_output
        assert guarded.states() == {"resident": 45, "archived": 13}
        assert everything(guarded) == before
        assert guarded("verify").exit_code == 0


def test_a_password_that_is_wrong_is_named_and_shown_to_nobody(tmp_path: Path, postgresql: Postgresql) -> None:
    wrong = postgresql.url().replace(postgresql.password, "not-the-password")
    guarded = Guarded(tmp_path, wrong).write()

    tried = guarded("init")

    assert tried.exit_code == 75
    assert "password authentication failed" in tried.stderr
    assert "not-the-password" not in tried.all_output


def test_a_password_comes_from_its_file(tmp_path: Path, postgresql: Postgresql) -> None:
    file = tmp_path / "password"
    file.write_text(f"{postgresql.password}\n")
    url = postgresql.database().replace(f":{postgresql.password}@", "@")
    guarded = Guarded(tmp_path, url).write(state={"password_file": str(file)})

    assert guarded("init").exit_code == 0
    assert guarded("status").exit_code == 0

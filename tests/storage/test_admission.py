"""Nobody is admitted for whom there is no room, and nobody waits who need not."""

import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from exodus_storage_guard import StorageGuard, UploadRefused
from exodus_storage_guard.admission import asking, reservations
from exodus_storage_guard.admission.control import NOBODY, AdmissionControl
from exodus_storage_guard.errors import ObjectMissing
from exodus_storage_guard.state.contract import Catalogue
from exodus_storage_guard.tiering.sync import sync
from tests.parts.clocks import Jumped
from tests.parts.command import ROOT
from tests.parts.doors import replace_methods
from tests.parts.guard import MIB, Guarded, apk_key
from tests.parts.marks import on_sqlite

ANOTHER_DISK = Path("/dev/shm")


@pytest.fixture
def ready(guarded: Guarded) -> Guarded:
    """Give an empty store of 100 MiB."""
    assert guarded("init").exit_code == 0
    return guarded


def test_admit_prints_the_reservation_and_nothing_else(ready: Guarded) -> None:
    admitted = ready("admit", "--bytes", "10 MiB")
    status = ready("status", "--json").json

    assert admitted.exit_code == 0
    assert len(admitted.stdout.split()) == 1
    assert admitted.stderr == ""
    assert status["reservations"] == {"count": 1, "bytes": 10 * MIB}


def test_json_tells_size_and_end(ready: Guarded) -> None:
    before = datetime.now(UTC)
    told = ready("admit", "--bytes", "1000", "--lease", "60", "--json").json

    assert set(told) == {"reservation", "bytes", "expires_at", "freed_bytes"}
    assert (told["bytes"], told["freed_bytes"]) == (1000, 0)
    ends = datetime.fromisoformat(told["expires_at"]) - before
    assert timedelta(seconds=58) <= ends <= timedelta(seconds=75)


def test_what_is_reserved_is_not_promised_twice_and_what_was_released_is(ready: Guarded) -> None:
    first = ready("admit", "--bytes", "60 MiB").stdout.strip()
    refused = ready("admit", "--bytes", "60 MiB", "--json")
    released = ready("release", first)
    second = ready("admit", "--bytes", "60 MiB")

    assert refused.exit_code == 75
    assert refused.json == {"refused": True, "reason": refused.json["reason"], "retry_after_seconds": None}
    assert "above the flood watermark" in refused.json["reason"]
    assert (released.exit_code, second.exit_code) == (0, 0)


def test_a_refusal_in_words_goes_to_standard_error(ready: Guarded) -> None:
    refused = ready("admit", "--bytes", "200 MiB")

    assert (refused.exit_code, refused.stdout) == (75, "")
    assert "refused: 200 MiB are more than the whole store may hold" in refused.stderr


@pytest.mark.parametrize("known", ["before", "after"])
def test_a_committed_upload_is_counted_once_and_known(known: str, ready: Guarded) -> None:
    key = "--key", apk_key(1)
    reservation = ready("admit", "--bytes", "60 MiB", *(key if known == "before" else ())).stdout.strip()
    ready.put(apk_key(1), size=60 * MIB, days=0)

    committed = ready("commit", reservation, *(key if known == "after" else ()))
    more = ready("admit", "--bytes", "34 MiB")
    too_much = ready("admit", "--bytes", "2 MiB")
    again = ready("commit", "no-such-id")

    assert (committed.exit_code, more.exit_code, too_much.exit_code, again.exit_code) == (0, 0, 75, 1)
    assert ready.states() == {"resident": 1}


@pytest.mark.parametrize("key", [apk_key(1), None])
def test_what_lands_while_another_upload_is_decided_on_is_counted(key: str | None, ready: Guarded) -> None:
    run = ready.run()
    desk = AdmissionControl(run.settings, run.catalogue, run.clock, NOBODY)
    first = reservations.admit(desk, asking.request(desk, 60 * MIB, key)).reservation
    ready.put(key or apk_key(1), size=60 * MIB, days=0)

    late = replace(desk, catalogue=ready.run().catalogue)
    usual = type(late.catalogue).reserve

    def reserve(self: Catalogue, *decided_on: Any) -> bool:
        reservations.commit(desk, first.id, key)
        sync(run)
        return usual(self, *decided_on)

    replace_methods(late.catalogue, reserve=reserve)

    with pytest.raises(UploadRefused):
        reservations.admit(late, asking.request(late, 40 * MIB, None))
    reservations.admit(late, asking.request(late, 20 * MIB, None))


def test_a_lease_ends_by_itself(ready: Guarded) -> None:
    ready("admit", "--bytes", "60 MiB", "--lease", "0.2")
    time.sleep(0.3)

    assert ready("admit", "--bytes", "60 MiB").exit_code == 0


def test_a_lease_begins_when_it_is_given_however_long_that_took(ready: Guarded) -> None:
    ready.fill(40, oldest=400, newest=200)
    ready("sync")
    run, clock = ready.run(), Jumped(timedelta())
    desk = AdmissionControl(run.settings, run.catalogue, clock, NOBODY)
    first = reservations.admit(desk, asking.request(desk, 50 * MIB, None)).reservation
    waiting = reservations.steps(desk, asking.request(desk, 40 * MIB, None, lease_seconds=60), wait_seconds=600)
    next(waiting)

    reservations.release(desk, first.id)
    clock.by = timedelta(minutes=5)
    with pytest.raises(StopIteration) as given:
        waiting.send(None)

    until = given.value.value.reservation.expires_at
    assert timedelta(seconds=50) < until - clock.now() <= timedelta(seconds=60)
    with pytest.raises(UploadRefused):
        reservations.admit(desk, asking.request(desk, 40 * MIB, None))


def test_what_ended_does_not_grow(ready: Guarded) -> None:
    run, clock = ready.run(), Jumped(timedelta())
    desk = AdmissionControl(run.settings, run.catalogue, clock, NOBODY)
    one = reservations.admit(desk, asking.request(desk, MIB, None, lease_seconds=60)).reservation
    assert reservations.grow(desk, one.id, 2 * MIB).reservation.expires_at == one.expires_at

    clock.by = timedelta(minutes=5)

    with pytest.raises(ObjectMissing, match="it had ended"):
        reservations.grow(desk, one.id, 3 * MIB)


@pytest.mark.parametrize("size", ["-1", "1.5", "10 XB", "", "1e3", str(2**63)])
def test_a_size_that_is_none_is_wrong_usage(ready: Guarded, size: str) -> None:
    assert ready("admit", f"--bytes={size}").exit_code == 2


def test_an_upload_stored_twice_on_its_way_is_charged_twice_until_it_landed(guarded: Guarded) -> None:
    guarded.write(admission={"emergency_reserve": 0, "size_factor": 2})
    guarded("init")
    first = guarded("admit", "--bytes", "40 MiB", "--key", apk_key(1)).stdout.strip()

    refused = guarded("admit", "--bytes", "10 MiB")
    guarded("commit", first)
    admitted = guarded("admit", "--bytes", "10 MiB")

    assert (refused.exit_code, admitted.exit_code) == (75, 0)


def test_what_is_proven_already_is_released_at_once(guarded: Guarded) -> None:
    guarded.write(sweep={"premigrate": "20%"})
    keys = guarded.fill(94, oldest=400, newest=200)
    guarded("init")
    guarded.write(sweep={"premigrate": "20%"}, watermarks={"low": "97%", "high": "98%", "flood": "99%"})
    guarded("sweep")
    guarded.write()
    assert guarded.states()["premigrated"] == 20

    admitted = guarded("admit", "--bytes", "10 MiB", "--json")

    assert admitted.exit_code == 0, admitted.all_output
    assert admitted.json["freed_bytes"] == 9 * MIB
    assert guarded.stored() == set(keys[9:])


def test_the_command_makes_room_that_is_found_first(guarded: Guarded) -> None:
    guarded.command(f'#!/bin/sh\necho "$@" >> {guarded.folder}/asked\nexec {" ".join(guarded.argv())} "$@"\n')
    guarded.write(admission={"emergency_reserve": "1 MiB"})
    guarded.fill(94, oldest=400, newest=200)
    guarded("init")

    admitted = guarded("admit", "--bytes", "10 MiB", "--wait", "30", "--json")

    assert admitted.exit_code == 0, admitted.all_output
    asked = (guarded.folder / "asked").read_text()
    expected = (
        f"sweep --need {10 * MIB} --until-reserved {admitted.json['reservation']} --quiet --config {guarded.config}\n"
    )
    assert asked == expected
    assert len(guarded.archived()) == 9


def test_above_high_a_sweep_is_started_and_nobody_waits_for_it(guarded: Guarded) -> None:
    guarded.fill(86, oldest=400, newest=200)
    guarded("init")

    admitted = guarded("admit", "--bytes", "1 MiB")
    deadline = time.monotonic() + 30
    while guarded.states().get("archived", 0) < 11 and time.monotonic() < deadline:
        time.sleep(0.1)

    assert admitted.exit_code == 0
    assert guarded.states()["archived"] == 11


@pytest.mark.parametrize(("when_unknown", "exit_code"), [("refuse", 75), ("accept", 0)])
def test_a_measurement_that_is_missing_or_too_old_does_what_the_settings_chose(
    when_unknown: str, exit_code: int, guarded: Guarded
) -> None:
    usual = {"admission": {"when_unknown": when_unknown, "emergency_reserve": 0}}
    guarded.write(capacity={"source": "filesystem", "path": str(ANOTHER_DISK), "total_bytes": None}, **usual)
    guarded("init")
    elsewhere = {"source": "filesystem", "path": "/nonexistent", "total_bytes": None}
    guarded.write(capacity=elsewhere, **usual)
    fresh = guarded("admit", "--bytes", "1")
    guarded.write(capacity=elsewhere | {"max_age_seconds": 0.001}, **usual)
    old = guarded("admit", "--bytes", "1")

    assert (fresh.exit_code, old.exit_code) == (0, exit_code)
    assert "how full the store is cannot be known" in old.stderr


def test_used_is_what_an_ordinary_user_may_not_write_any_more(guarded: Guarded) -> None:
    guarded.write(capacity={"source": "filesystem", "path": str(ANOTHER_DISK), "total_bytes": None})
    guarded("init")
    found = os.statvfs(ANOTHER_DISK)

    capacity = guarded("status", "--json").json["capacity"]

    assert capacity["total_bytes"] == found.f_blocks * found.f_frsize
    assert capacity["used_bytes"] == capacity["total_bytes"] - capacity["free_bytes"]
    assert abs(capacity["free_bytes"] - found.f_bavail * found.f_frsize) < 1024 * MIB  # others write too


# --- many at once ---


def _admit_and_say(config: str, start: float, size: int, said: "multiprocessing.Queue[int]") -> None:
    guard = StorageGuard.from_config(config)
    while time.monotonic() < start:
        pass
    admitted = 0
    for _ in range(5):
        with suppress(UploadRefused):
            guard.admit(size)
            admitted += 1
    said.put(admitted)
    said.close()
    said.join_thread()
    time.sleep(30)


def test_thirty_two_processes_at_once_never_over_commit(ready: Guarded) -> None:
    said: multiprocessing.Queue[int] = multiprocessing.get_context("fork").Queue()
    start = time.monotonic() + 1.5
    context = multiprocessing.get_context("fork")
    arguments = (str(ready.config), start, 3 * MIB, said)
    processes = [context.Process(target=_admit_and_say, args=arguments, daemon=True) for _ in range(32)]
    for process in processes:
        process.start()
    admitted = sum(said.get(timeout=60) for _ in processes)
    status = ready("status", "--json").json

    assert admitted == 95 // 3
    assert status["reservations"] == {"count": 31, "bytes": 93 * MIB}

    for process in processes:
        process.kill()
        process.join()
    assert ready("status", "--json").json["reservations"] == {"count": 0, "bytes": 0}
    assert ready("admit", "--bytes", "90 MiB").exit_code == 0


def test_threads_share_one_guard(ready: Guarded) -> None:
    guard, admitted = StorageGuard.from_config(ready.config), list[str]()

    def work() -> None:
        for _ in range(5):
            with suppress(UploadRefused):
                admitted.append(guard.admit(3 * MIB).id)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(admitted)) == 31


# --- in the platform's own process ---


def test_leaving_the_block_commits_and_an_exception_releases(ready: Guarded) -> None:
    guard = StorageGuard.from_config(str(ready.config))

    with guard.admit(10 * MIB, key=apk_key(1)):
        ready.put(apk_key(1), size=10 * MIB, days=0)
    with pytest.raises(RuntimeError), guard.admit(10 * MIB, key=apk_key(2)):
        raise RuntimeError("the upload broke off")

    status = ready("status", "--json").json
    assert status["objects"]["resident"] == {"count": 1, "bytes": 10 * MIB}
    assert status["capacity"]["used_bytes"] + status["reservations"]["bytes"] == 10 * MIB


def test_a_refusal_is_an_exception_with_a_reason_and_a_time(ready: Guarded) -> None:
    guard = StorageGuard.from_config(ready.config)

    with pytest.raises(UploadRefused) as refusal, guard.admit(200 * MIB):
        pass

    assert refusal.value.retry_after_seconds is None
    assert "more than the whole store may hold" in refusal.value.reason


def test_an_unknown_size_is_estimated_and_grows_or_is_refused(ready: Guarded) -> None:
    guard = StorageGuard.from_config(ready.config)

    with guard.admit(None) as reservation:
        assert ready("status", "--json").json["reservations"]["bytes"] == 64 * MIB
        reservation.grow(90 * MIB)
        assert ready("status", "--json").json["reservations"] == {"count": 1, "bytes": 90 * MIB}
        with pytest.raises(UploadRefused):
            reservation.grow(96 * MIB)
        assert ready("status", "--json").json["reservations"] == {"count": 1, "bytes": 90 * MIB}


def test_a_reservation_ends_with_its_process(ready: Guarded) -> None:
    code = f"""
import sys, time
from exodus_storage_guard import StorageGuard
guard = StorageGuard.from_config({str(ready.config)!r})
with guard.admit(60 * 1024 * 1024):
    print("admitted", flush=True)
    time.sleep(60)
"""
    uploader = subprocess.Popen([sys.executable, "-c", code], env=ready.environment, stdout=subprocess.PIPE)
    assert uploader.stdout is not None
    assert uploader.stdout.readline() == b"admitted\n"
    refused = ready("admit", "--bytes", "60 MiB")
    uploader.send_signal(signal.SIGKILL)
    uploader.wait()

    assert (refused.exit_code, ready("admit", "--bytes", "60 MiB").exit_code) == (75, 0)


@on_sqlite
def test_the_callers_process_needs_the_standard_library_only(ready: Guarded) -> None:
    code = f"""
import json, sys
before = set(sys.modules)
from exodus_storage_guard import StorageGuard
with StorageGuard.from_config({str(ready.config)!r}).admit(1000):
    pass
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(json.dumps(sorted(new - sys.stdlib_module_names - {{"exodus_storage_guard", "exodus_common"}})))
"""
    environment = {"PYTHONPATH": str(ROOT / "hooks"), "PATH": os.environ["PATH"]}
    argv = [sys.executable, "-S", "-c", code]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_an_upload_that_is_under_way_is_left_alone_by_a_sweep(guarded: Guarded) -> None:
    guarded.write(
        select={"minimum_age_days": 0},
        capacity={"total_bytes": "10 MiB"},
        # No sweep but the test's own: the one an admission starts would still be at work on the same objects.
        admission={"emergency_reserve": 0},
    )
    guarded.nobody_makes_room()
    guarded("init")
    keys = guarded.fill(9, oldest=9, newest=1)
    guarded("sync")
    guarded("admit", "--bytes", "1", "--key", keys[0])

    guarded("sweep")

    assert keys[0] in guarded.stored()
    assert keys[1] not in guarded.stored()


@on_sqlite
def test_an_admission_does_not_wait_for_a_locked_catalogue(guarded: Guarded) -> None:
    guarded("init")
    with closing(sqlite3.connect(guarded.state, isolation_level=None)) as others:
        others.execute("BEGIN IMMEDIATE")
        begin = time.monotonic()
        refused = guarded("admit", "--bytes", "1", "--json")
        seconds = time.monotonic() - begin

    assert refused.exit_code == 75
    assert set(refused.json) == {"refused", "reason", "retry_after_seconds"}
    assert (refused.json["refused"], refused.json["retry_after_seconds"]) == (True, 5)
    assert "locked" in refused.json["reason"]
    assert seconds < 10  # of which most is Python, on a busy machine
    assert guarded("admit", "--bytes", "1").exit_code == 0


@on_sqlite
def test_an_admission_that_may_wait_does_so_for_a_locked_catalogue(guarded: Guarded) -> None:
    guarded("init")
    with closing(sqlite3.connect(guarded.state, isolation_level=None)) as others:
        others.execute("BEGIN IMMEDIATE")
        waiting = guarded.start("admit", "--bytes", "1", "--wait", "30")
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(4)
        others.execute("ROLLBACK")

    assert waiting.communicate(timeout=30)[0]
    assert waiting.returncode == 0

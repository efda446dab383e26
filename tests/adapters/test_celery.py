"""Celery tasks store within a reservation: real workers, whose messages and results are files of the test's own.

EXODUS_CELERY_PYTHON names an interpreter whose Celery the workers run, where it is not ours.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import TimeLimitExceeded, WorkerLostError
from celery.result import AsyncResult
from kombu.exceptions import DecodeError

from exodus_storage_guard import UploadRefused
from exodus_storage_guard.model import Seen
from tests.parts.command import ROOT, Ran
from tests.parts.guard import MIB, Guarded
from tests.parts.messages import configuration
from tests.parts.processes import end_of
from tests.parts.waiting import holds_in_time
from tests.parts.workers import running_worker

PYTHON = os.environ.get("EXODUS_CELERY_PYTHON", sys.executable)
SECONDS = 60.0
NOTHING = {"count": 0, "bytes": 0}


@dataclass
class Platform:
    """A store with its guard, and what sends tasks to a worker and reads what became of them."""

    guarded: Guarded
    client: Celery = field(default_factory=lambda: Celery("client", set_as_current=False))

    def __post_init__(self) -> None:
        self.client.conf.update(configuration(self.folder, "json"))

    @property
    def folder(self) -> Path:
        return self.guarded.folder

    @property
    def log(self) -> Path:
        return self.folder / "worker.log"

    def environment(self, **told: str) -> dict[str, str]:
        paths = f"{ROOT}:{ROOT / 'hooks'}:{ROOT / 'tests/adapters'}"
        usual = {"PYTHONPATH": paths, "PLATFORM_FOLDER": str(self.folder), "C_FORCE_ROOT": "1"}
        return self.guarded.environment | usual | told

    def worker(self, pool: str = "prefork", **told: str) -> AbstractContextManager[None]:
        """Run a worker for the time of a block; what it is told is in its environment."""
        return running_worker(PYTHON, "celery_platform", env=self.environment(**told), log=self.log, pool=pool)

    def python(self, code: str, **told: str) -> Ran:
        """Run some lines in a process of the platform that is no worker."""
        argv = [PYTHON, "-c", f"import celery_platform as platform\n{code}"]
        done = subprocess.run(argv, env=self.environment(**told), capture_output=True, timeout=SECONDS, check=False)
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def send(self, task: str, key: str, size: int) -> AsyncResult:
        return self.client.send_task(f"celery_platform.{task}", (key, size))

    def ended(self, asked: AsyncResult) -> AsyncResult:
        """Wait until a task has ended: a refusal is told after its result is stored, and logged after that."""
        self.wait_until(asked.ready, "it does not end")
        if isinstance(asked.result, UploadRefused):
            self.wait_until(lambda: f"[{asked.id}] raised expected" in self.log.read_text(), "it is not logged")
        return asked

    def wait_until(self, holds: Callable[[], object], otherwise: str) -> None:
        def read() -> object:
            with suppress(DecodeError, ValueError):  # a result that is half written
                return holds()
            return False

        if not holds_in_time(read, SECONDS):
            raise AssertionError(f"{otherwise}; the worker's log:\n{end_of(self.log, 60)}")

    def notes(self, what: str) -> list[dict[str, Any]]:
        """Give what tasks noted: of bodies that `ran`, of uploads that were `refused`."""
        file = self.folder / what
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def reservations(self) -> dict[str, int]:
        found: dict[str, int] = self.guarded("status", "--json").json["reservations"]
        return found

    @property
    def landed(self) -> int:
        """Give the bytes that are believed to be stored and were not measured yet."""
        return self.guarded.run().catalogue.landed(Seen()).bytes

    def catalogued(self, key: str) -> int | None:
        """Give the size of an object as the catalogue has it."""
        entry = self.guarded.run().catalogue.get(key)
        return entry.bytes if entry else None


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """Give a platform with an empty store of 100 MiB."""
    guarded = Guarded(tmp_path).write()
    assert guarded("init").exit_code == 0
    return Platform(guarded)


@pytest.fixture
def full(tmp_path: Path) -> Platform:
    """Give a platform whose store is full of what is old; nobody makes room but the test."""
    guarded = Guarded(tmp_path).write(admission={"emergency_reserve": 0})
    guarded.nobody_makes_room()
    guarded.fill(9, size=10 * MIB, oldest=400, newest=200)
    assert guarded("init").exit_code == 0
    return Platform(guarded)


pools = pytest.mark.parametrize("pool", ["prefork", "solo"])


# --- what ends a body ---


@pools
def test_what_was_stored_is_committed_under_its_key(pool: str, platform: Platform) -> None:
    with platform.worker(pool):
        stored = platform.ended(platform.send("store", "one.apk", 3 * MIB))

    (ran,) = platform.notes("ran")
    assert stored.result == "one.apk"
    assert ran["reservation"] is not None
    assert platform.reservations == NOTHING
    assert platform.catalogued("one.apk") == 3 * MIB


@pools
def test_what_returns_and_has_stored_nothing_is_released(pool: str, platform: Platform) -> None:
    with platform.worker(pool):
        for number in range(3):
            ended = platform.ended(platform.send("find_nothing", f"{number}.apk", 60 * MIB))
            assert ended.result == -2

    assert platform.reservations == NOTHING
    assert platform.landed == 0
    assert platform.catalogued("0.apk") is None


@pools
def test_what_raises_is_released(pool: str, platform: Platform) -> None:
    with platform.worker(pool):
        broken_off = platform.ended(platform.send("break_off", "one.apk", 60 * MIB))
        stored = platform.ended(platform.send("store", "two.apk", 60 * MIB))

    assert broken_off.state == "FAILURE"
    assert str(broken_off.result) == "the upload broke off"
    assert (stored.result, platform.reservations) == ("two.apk", NOTHING)
    assert (platform.catalogued("one.apk"), platform.catalogued("two.apk")) == (None, 60 * MIB)
    assert platform.notes("refused") == []


@pytest.mark.parametrize("task", ["ignore", "reject"])
def test_what_is_ignored_or_rejected_is_released(task: str, platform: Platform) -> None:
    with platform.worker():
        platform.send(task, "one.apk", 60 * MIB)
        platform.wait_until(lambda: platform.notes("ran"), "the body does not run")
        platform.wait_until(lambda: platform.reservations == NOTHING, "its reservation stays")
        stored = platform.ended(platform.send("store", "two.apk", 60 * MIB))

    assert stored.result == "two.apk"
    assert platform.notes("ran")[0]["reservation"] is not None
    assert platform.catalogued("one.apk") is None


def test_a_task_that_ends_before_its_start_leaves_nothing_reserved(platform: Platform) -> None:
    with platform.worker():
        platform.send("be_gone", "one.apk", 60 * MIB)
        platform.wait_until(lambda: platform.notes("begun"), "it does not begin")
        stored = platform.ended(platform.send("store", "two.apk", 90 * MIB))

    assert (stored.result, platform.reservations) == ("two.apk", NOTHING)
    assert [ran["key"] for ran in platform.notes("ran")] == ["two.apk"]


def test_a_body_that_has_itself_retried_reserves_anew(platform: Platform) -> None:
    with platform.worker():
        stored = platform.ended(platform.send("retry_once", "one.apk", 60 * MIB))

    first, second = platform.notes("ran")
    assert stored.result == "one.apk"
    assert len({first["reservation"], second["reservation"], None}) == 3
    assert (platform.reservations, platform.catalogued("one.apk")) == (NOTHING, 60 * MIB)


def test_a_body_that_takes_too_long_is_released(platform: Platform) -> None:
    with platform.worker():
        broken_off = platform.ended(platform.send("take_too_long", "one.apk", 60 * MIB))
        stored = platform.ended(platform.send("store", "two.apk", 60 * MIB))

    assert "SoftTimeLimitExceeded" in repr(broken_off.result)
    assert not isinstance(broken_off.result, TimeLimitExceeded)
    assert (stored.result, platform.reservations) == ("two.apk", NOTHING)


def test_a_worker_that_is_killed_leaves_no_reservation_behind(platform: Platform) -> None:
    with platform.worker():
        hanging = platform.send("hang", "one.apk", 60 * MIB)
        platform.wait_until(lambda: platform.notes("ran"), "the body does not run")
        before = platform.reservations
        refused = platform.ended(platform.send("store", "two.apk", 60 * MIB))
        os.kill(platform.notes("ran")[0]["pid"], signal.SIGKILL)
        platform.ended(hanging)
        stored = platform.ended(platform.send("store", "three.apk", 90 * MIB))

    assert before == {"count": 1, "bytes": 60 * MIB}
    assert isinstance(refused.result, UploadRefused)
    assert isinstance(hanging.result, WorkerLostError)
    assert (stored.result, platform.reservations) == ("three.apk", NOTHING)
    assert [refusal["key"] for refusal in platform.notes("refused")] == ["two.apk"]


# --- refusals ---


@pytest.mark.parametrize("serializer", ["json", "pickle"])
@pools
def test_what_never_fits_is_refused_once_and_its_body_is_not_run(
    pool: str, serializer: str, platform: Platform
) -> None:
    platform.client.conf.result_serializer = serializer
    with platform.worker(pool, PLATFORM_SERIALIZER=serializer):
        refused = platform.ended(platform.send("store", "one.apk", 200 * MIB))

    reason = "200 MiB are more than the whole store may hold"
    assert refused.state == "FAILURE"
    assert isinstance(refused.result, UploadRefused)
    assert (refused.result.reason, refused.result.retry_after_seconds, str(refused.result)) == (reason, None, reason)
    assert platform.notes("refused") == [{"key": "one.apk", "reason": reason, "retry_after_seconds": None}]
    assert platform.notes("ran") == []


def test_where_nothing_is_old_enough_it_is_refused_at_once(platform: Platform) -> None:
    platform.guarded.fill(9, size=10 * MIB, oldest=9, newest=1)
    platform.guarded("sync")
    with platform.worker():
        refused = platform.ended(platform.send("store", "one.apk", 10 * MIB))

    assert "nothing old enough is left to release" in refused.result.reason
    assert len(platform.notes("refused")) == 1
    assert platform.notes("ran") == []


def test_while_room_is_being_made_it_comes_back_and_is_stored(full: Platform) -> None:
    with full.worker():
        waiting = full.send("store", "one.apk", 10 * MIB)
        full.wait_until(lambda: waiting.state == "RETRY", "it is not tried again")
        refusal = waiting.result
        assert full.guarded("sweep", "--need", "10 MiB").exit_code == 0
        stored = full.ended(waiting)

    assert (refusal.retry_after_seconds, "a sweep is making room" in refusal.reason) == (10, True)
    assert stored.result == "one.apk"
    assert len(full.notes("ran")) == 1
    assert full.notes("refused") == []
    assert (full.reservations, full.catalogued("one.apk")) == (NOTHING, 10 * MIB)


def test_where_no_room_was_made_in_all_its_tries_it_is_refused_once(full: Platform) -> None:
    with full.worker(PLATFORM_MAX_RETRIES="1"):
        waiting = full.send("store", "one.apk", 10 * MIB)
        full.wait_until(lambda: waiting.state == "RETRY", "it is not tried again")
        assert full.notes("refused") == []
        refused = full.ended(waiting)

    assert refused.state == "FAILURE"
    assert isinstance(refused.result, UploadRefused)
    assert refused.result.retry_after_seconds == 10
    assert [refusal["key"] for refusal in full.notes("refused")] == ["one.apk"]
    assert full.notes("ran") == []


def test_a_refusal_survives_pickling_and_copying() -> None:
    for refusal in (UploadRefused("no room"), UploadRefused("no room", 10)):
        again = pickle.loads(pickle.dumps(refusal))  # noqa: S301 - our own bytes
        assert (type(again), vars(again), str(again)) == (UploadRefused, vars(refusal), "no room")


# --- uploads of unknown size ---


def test_an_unknown_size_is_estimated_and_corrected_by_the_body(platform: Platform) -> None:
    with platform.worker():
        stored = platform.ended(platform.send("grow", "one.apk", 80 * MIB))

    assert stored.result == "one.apk"
    assert (platform.reservations, platform.catalogued("one.apk")) == (NOTHING, 80 * MIB)


def test_growth_that_is_refused_ends_the_task_and_releases(platform: Platform) -> None:
    with platform.worker():
        refused = platform.ended(platform.send("grow", "one.apk", 96 * MIB))
        stored = platform.ended(platform.send("store", "two.apk", 90 * MIB))

    assert isinstance(refused.result, UploadRefused)
    assert [refusal["key"] for refusal in platform.notes("refused")] == ["one.apk"]
    assert (stored.result, platform.catalogued("one.apk")) == ("two.apk", None)


def test_growth_that_is_refused_while_room_is_made_comes_back_with_its_size(platform: Platform) -> None:
    platform.guarded.nobody_makes_room()
    platform.guarded.fill(3, size=8 * MIB, oldest=400, newest=200)
    platform.guarded("sync")
    with platform.worker():
        stored = platform.send("grow", "one.apk", 80 * MIB)
        platform.wait_until(lambda: platform.notes("waiting"), "it does not wait")
        assert platform.reservations == NOTHING
        assert platform.guarded("sweep", "--need", "80 MiB").exit_code == 0
        platform.ended(stored)

    assert (stored.result, platform.catalogued("one.apk")) == ("one.apk", 80 * MIB)
    assert [one["key"] for one in platform.notes("ran")] == ["one.apk", "one.apk"]
    assert platform.notes("refused") == []


def test_what_is_known_to_need_more_than_there_is_is_not_begun_again(platform: Platform) -> None:
    platform.guarded.nobody_makes_room()
    platform.guarded.fill(3, size=8 * MIB, oldest=400, newest=200)
    platform.guarded("sync")
    with platform.worker(PLATFORM_MAX_RETRIES="1"):
        refused = platform.ended(platform.send("grow", "one.apk", 80 * MIB))

    assert isinstance(refused.result, UploadRefused)
    assert len(platform.notes("ran")) == 1, "its size is known the second time"
    assert len(platform.notes("waiting")) == 1


@pytest.mark.parametrize(("key", "counted"), [("one.apk", 2 * MIB), ("failing.apk", 2 * MIB), ("undone.apk", None)])
def test_what_a_storage_says_it_has_stored_is_counted_with_its_size(
    key: str, counted: int | None, platform: Platform
) -> None:
    with platform.worker():
        platform.ended(platform.send("fetch", key, 2 * MIB))

    assert (platform.reservations, platform.catalogued(key)) == (NOTHING, counted)


# --- a guard that is broken ---


def test_a_broken_guard_refuses(platform: Platform) -> None:
    platform.guarded.config.unlink()
    with platform.worker(PLATFORM_MAX_RETRIES="0"):
        refused = platform.ended(platform.send("store", "one.apk", MIB))

    reason = "the storage guard does not work at this moment"
    assert (refused.result.reason, refused.result.retry_after_seconds) == (reason, 60)
    assert platform.notes("refused") == [{"key": "one.apk", "reason": reason, "retry_after_seconds": 60}]
    assert platform.notes("ran") == []


def test_a_broken_guard_lets_pass_where_that_was_chosen(platform: Platform) -> None:
    platform.guarded.config.unlink()
    with platform.worker(PLATFORM_WHEN_BROKEN="accept"):
        stored = platform.ended(platform.send("store", "one.apk", MIB))
        broken_off = platform.ended(platform.send("break_off", "two.apk", MIB))

    assert stored.result == "one.apk"
    assert [ran["reservation"] for ran in platform.notes("ran")] == [None, None]
    assert str(broken_off.result) == "the upload broke off"


# --- without a worker ---


def test_a_task_that_is_called_like_a_function_is_guarded(platform: Platform) -> None:
    called = platform.python("print(platform.store('one.apk', size=3 * 2**20))")

    (ran,) = platform.notes("ran")
    assert (called.exit_code, called.stdout) == (0, "one.apk\n"), called.stderr
    assert ran["reservation"] is not None
    assert (platform.reservations, platform.catalogued("one.apk")) == (NOTHING, 3 * MIB)


def test_a_task_that_is_called_like_a_function_raises_its_refusal_at_once(full: Platform) -> None:
    code = """
for size in (10, 200):
    try:
        platform.store("one.apk", size * 2**20)
    except platform.UploadRefused as refusal:
        print(refusal.retry_after_seconds)
"""
    called = full.python(code)

    assert (called.exit_code, called.stdout) == (0, "10\nNone\n"), called.stderr
    assert (full.notes("ran"), full.notes("refused")) == ([], [])


def test_eager_tasks_are_guarded_and_tried_again_without_waiting(full: Platform) -> None:
    code = """
for key, size in [("one.apk", 5), ("two.apk", 10), ("three.apk", 200)]:
    done = platform.store.apply((key, size * 2**20))
    print(done.state, getattr(done.result, "retry_after_seconds", done.result))
"""
    called = full.python(code)

    assert called.stdout == "SUCCESS one.apk\nFAILURE 10\nFAILURE None\n", called.stderr
    assert full.catalogued("one.apk") == 5 * MIB
    assert [refusal["key"] for refusal in full.notes("refused")] == ["two.apk", "three.apk"]
    assert len(full.notes("ran")) == 1


def test_tasks_called_within_a_task_have_reservations_of_their_own(platform: Platform) -> None:
    with platform.worker():
        stored = platform.ended(platform.send("store_another_inside", "one.apk", 10 * MIB))

    ids = {ran["key"]: ran["reservation"] for ran in platform.notes("ran")}
    assert stored.result == "one.apk"
    assert len(set(ids.values()) - {None}) == 3
    assert [ran["reservation"] for ran in platform.notes("ran") if ran["key"] == "one.apk"] == [ids["one.apk"]] * 2
    assert platform.reservations == NOTHING
    assert [platform.catalogued(key) for key in ids] == [10 * MIB] * 3

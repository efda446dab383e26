"""Sizes, bounded flow, workers, progress, processes, transitions: the small pieces of the guard."""

import hashlib
import io
import os
import subprocess
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_common.clock import SystemClock
from exodus_storage_guard import instants, processes, sizes
from exodus_storage_guard.cli import progress
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.model import IN_STORE, Entry, ObjectState, StoredObject
from exodus_storage_guard.stores.contract import nobody
from exodus_storage_guard.stores.directory.store import DirectoryStore
from exodus_storage_guard.tiering.archive import Archive, verified
from exodus_storage_guard.tiering.bandwidth import Flow
from exodus_storage_guard.tiering.copying import Copier
from exodus_storage_guard.tiering.workers import Pulse, Workers
from exodus_storage_guard.transitions import REPLAY, TRANSITIONS, Event, after


class Watch(SystemClock):
    """A clock that is only moved by waiting."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += max(0.0, seconds)


# --- sizes and instants ---


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), (7, 7), ("10 MiB", 10 * 1024**2), ("1.5GiB", 3 * 1024**3 // 2), ("2 TB", 2 * 10**12), (" 1kb ", 1000)],
)
def test_sizes_are_read_as_people_write_them(text: str | int, size: int) -> None:
    assert sizes.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1 XB", "MiB", "1e3", "1 MiB extra", "9999999 PiB", "\u0661"])
def test_what_is_no_size_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        sizes.parse_bytes(text)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (150 * 1024**2, "150 MiB"), (2**50, "1.0 PiB")]
)
def test_sizes_are_written_short(size: int, text: str) -> None:
    assert sizes.shown(size) == text


@pytest.mark.parametrize(
    ("one", "other", "texts"),
    [
        (8 * 1024**2 - 1, 8 * 1024**2, ("8388607 B", "8388608 B")),
        (8 * 1024**2, 8 * 1024**2, ("8.0 MiB", "8.0 MiB")),
        (7 * 1024**2, 8 * 1024**2, ("7.0 MiB", "8.0 MiB")),
    ],
)
def test_two_sizes_look_the_same_only_where_they_are(one: int, other: int, texts: tuple[str, str]) -> None:
    assert sizes.shown_apart(one, other) == texts


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))
def test_an_instant_is_kept_to_the_microsecond(at: datetime) -> None:
    aware = at.replace(tzinfo=UTC)

    assert instants.datetime_of(instants.instant(aware)) == aware


# --- transitions ---


def test_every_announcement_is_replayed_and_leads_on() -> None:
    announced = {ObjectState.COPYING, ObjectState.RELEASING, ObjectState.RECALLING}
    assert set(REPLAY) == announced
    for state in announced:
        assert [event for event, table in TRANSITIONS.items() if state in table]


def test_nothing_leaves_the_store_but_through_an_announcement_or_by_others() -> None:
    for event, table in TRANSITIONS.items():
        for before, then in table.items():
            if before in IN_STORE and then not in IN_STORE and event is not Event.VANISHED:
                assert before is ObjectState.RELEASING, event


def test_only_what_was_proven_is_released() -> None:
    assert set(TRANSITIONS[Event.RELEASE_BEGUN]) == {ObjectState.PREMIGRATED}
    into = {event for event, table in TRANSITIONS.items() if ObjectState.PREMIGRATED in table.values()}
    assert into == {Event.COPY_PROVEN, Event.RELEASE_FAILED, Event.RECALLED, Event.COPY_FOUND, Event.RETURNED}


def test_an_event_that_cannot_happen_is_an_error() -> None:
    with pytest.raises(ValueError, match="gone cannot be released"):
        after(ObjectState.GONE, Event.RELEASED)


# --- flow, proof, progress ---


@pytest.mark.parametrize(("limit", "seconds"), [(0, 0.0), (100, 9.0), (1000, 0.9)])
def test_bytes_flow_at_the_limit_and_no_faster(limit: int, seconds: float) -> None:
    clock, moved = Watch(), list[int]()
    flow = Flow(limit, clock, moved.append)

    assert b"".join(flow.through(iter([b"x" * 100] * 10))) == b"x" * 1000
    assert clock.seconds == pytest.approx(seconds)
    assert sum(moved) == 1000


def test_bytes_that_are_not_what_was_proven_never_come_to_an_end() -> None:
    good = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    assert b"".join(verified(iter([b"a", b"bc"]), good, "it")) == b"abc"
    seen: list[bytes] = []
    with pytest.raises(StoreFailed, match="it differs from what was proven"):
        seen.extend(verified(iter([b"a", b"bd"]), good, "it"))
    assert b"".join(seen) == b"a"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_a_bar_and_anything_else_plain_lines() -> None:
    assert progress.line(512 * 1024, 1024 * 1024, 1, with_bar=True).startswith("[" + "#" * 15 + "." * 15 + "]")
    assert progress.line(512 * 1024, 1024 * 1024, 1, with_bar=False) == "512 KiB copied of 1.0 MiB, 512 KiB/s, 1 s left"
    assert progress.line(10, 0, 0, with_bar=True) == "10 B copied, 0 B/s"
    for stream in (Terminal(), io.StringIO()):
        with progress.shown_on(stream, quiet=True) as told:
            told(1, 2)
        assert stream.getvalue() == ""


# --- workers ---


def test_workers_give_every_item_its_result_or_its_error() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise StoreFailed("no")
        return item * item

    found = dict(Workers(4, Pulse(SystemClock()), 30).over(work, range(6)))

    assert isinstance(found.pop(3), StoreFailed)
    assert found == {0: 0, 1: 1, 2: 4, 4: 16, 5: 25}
    assert not list(Workers(4, Pulse(SystemClock()), 30).over(work, []))


def test_workers_give_up_what_hangs_and_wait_for_what_is_slow() -> None:
    pulse, clock = Pulse(SystemClock()), SystemClock()

    def slow(item: int) -> int:
        for _ in range(8):
            clock.wait(0.1)
            pulse.beat()
        return item

    def hangs(item: int) -> int:
        threading.Event().wait()
        return item

    assert dict(Workers(2, pulse, 0.6).over(slow, [1])) == {1: 1}
    with pytest.raises(StoreFailed, match=r"nothing has moved for 0.6 s"):
        list(Workers(2, pulse, 0.6).over(hangs, [1]))


# --- processes ---


def test_this_process_lives_and_one_that_ended_does_not() -> None:
    mine = processes.this_process()
    host, boot, _, started = mine.split(" ")
    with subprocess.Popen(["sleep", "60"]) as child:
        theirs = f"{host} {boot} {child.pid} {_began(child.pid)}"
        assert processes.is_alive(theirs)
        child.kill()
        child.wait()
        assert not processes.is_alive(theirs)

    assert processes.is_alive(mine)
    assert not processes.is_alive(f"{host} {boot} {os.getpid()} {int(started) + 1}")
    assert not processes.is_alive(f"{host} another-boot {os.getpid()} {started}")
    assert processes.is_alive(f"another-host {boot} 1 1")
    assert not processes.is_alive("nonsense")


@pytest.fixture
def without_boot_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Show what a unit with ProcSubset=pid is shown."""
    monkeypatch.setattr(processes, "_BOOT_ID", tmp_path / "hidden")
    monkeypatch.delenv(processes.BOOT_ID_VARIABLE, raising=False)


def test_a_process_is_the_same_to_a_unit_that_is_told_the_boot_and_to_who_reads_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine = processes.this_process()
    monkeypatch.setenv(processes.BOOT_ID_VARIABLE, mine.split(" ")[1].replace("-", ""))
    monkeypatch.setattr(processes, "_BOOT_ID", tmp_path / "hidden")

    assert processes.this_process() == mine
    assert processes.is_alive(mine)
    host, _, pid, started = mine.split(" ")
    assert not processes.is_alive(f"{host} another-boot {pid} {started}")


@pytest.mark.usefixtures("without_boot_id")
def test_who_cannot_tell_the_boot_holds_nobody_for_dead_whose_process_is_there() -> None:
    host, boot, pid, started = processes.this_process().split(" ")

    assert boot == "unknown"
    assert processes.is_alive(f"{host} some-boot {pid} {started}")
    assert not processes.is_alive(f"{host} some-boot {pid} {int(started) + 1}")


def test_one_that_could_not_tell_its_boot_may_be_alive_to_who_can() -> None:
    host, _, pid, started = processes.this_process().split(" ")

    assert processes.is_alive(f"{host} unknown {pid} {started}")
    assert not processes.is_alive(f"{host} unknown {pid} {int(started) + 1}")


def test_a_zombie_is_dead() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(reading, 1)
        os._exit(0)
    began = _began(pid)
    host, boot = processes.this_process().split(" ")[:2]
    os.write(writing, b"x")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        assert not processes.is_alive(f"{host} {boot} {pid} {began}")
    finally:
        os.waitpid(pid, 0)
        os.close(reading)
        os.close(writing)


def _began(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_a_copy_that_is_there_already_is_read_with_signs_of_life(tmp_path: Path) -> None:
    store, there = (DirectoryStore(tmp_path / name) for name in ("store", "there"))
    for name in ("store", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_bytes(b"content")
    stored, beats = store.stat("key"), list[int]()
    assert stored is not None
    clock = SystemClock()
    copier = Copier(store, Archive(there), Flow(0, clock, nobody), clock, beats.append)

    proof = copier.prove(Entry(stored, ObjectState.COPYING, clock.now()))

    assert proof.sha256 == hashlib.sha256(b"content").hexdigest()
    assert beats == [7, 7], "once to be compared with the object, once to be proven"


def test_an_object_is_the_same_as_another_only_where_something_tells_it_from_all_others() -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    one, nameless = StoredObject("key", 7, "e", at), StoredObject("key", 7, "", at)

    assert one.is_same_content(replace(one, last_modified=at + timedelta(days=1)))
    assert not one.is_same_content(replace(one, bytes=8))
    assert not one.is_same_content(nameless)
    assert not nameless.is_same_content(nameless), "an empty ETag says nothing of the content"

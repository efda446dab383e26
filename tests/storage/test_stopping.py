"""A signal ends a run in seconds: it says so, leaves no part behind, and the next run goes on from there."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.parts.guard import MIB, Guarded, apk_key
from tests.parts.marks import on_sqlite
from tests.parts.waiting import wait_until

EACH_SIGNAL = pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, signal.SIGINT, pytest.param(signal.SIGHUP, marks=pytest.mark.full)],
    ids=lambda number: number.name,
)
ENDS_IN_SECONDS, ENDS_BY_FORCE_IN_SECONDS = 8.0, 14.0
LARGE_BYTES = 128 * MIB  # takes half a second to hash, copy or write
GO_ON = "run it again, it goes on from here"
SWEEP = ("sweep", "--need", "972 MiB")  # all there is
KEYS = [apk_key(number) for number in range(3)]


def stopped(
    guarded: Guarded,
    number: signal.Signals,
    when: Callable[["subprocess.Popen[bytes]"], object],
    *arguments: str,
    in_seconds: float = ENDS_IN_SECONDS,
) -> tuple[str, str]:
    """Send a command a signal at some moment; give its output, once it has ended as it should."""
    process = guarded.start(*arguments)
    try:
        wait_until(lambda: process.poll() is not None or when(process))
        begin = time.monotonic()
        process.send_signal(number)
        said, complained = process.communicate(timeout=40)
        seconds = time.monotonic() - begin
    finally:
        process.kill()
        process.wait()
    # Only of Ctrl-C a shell has to see a program die, or it goes on with its loop.
    assert process.returncode == (-signal.SIGINT if number is signal.SIGINT else 1), complained.decode()
    assert seconds < in_seconds
    assert not {b"Traceback", b"Exception ignored"} & {complained[:9], complained[:17]}, complained.decode()
    wait_until(lambda: not still_running(guarded), "something of ours goes on")  # ssh ends once its input does
    return said.decode(), complained.decode()


def still_running(guarded: Guarded) -> list[bytes]:
    """Give the command lines of the processes whose settings are these."""
    variable, found = os.fsencode(f"EXODUS_STORAGE_GUARD_CONFIG={guarded.config}"), list[bytes]()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if variable in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes())
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


def is_writing(folder: Path) -> Callable[["subprocess.Popen[bytes]"], object]:
    """Tell whether some of a large file is there, and not its end."""
    return lambda process: [part for part in folder.glob(".exodus-part-*") if part.stat().st_size > MIB]


def is_reading(file: Path) -> Callable[["subprocess.Popen[bytes]"], object]:
    """Tell whether a file is open."""
    return lambda process: str(file) in {os.path.realpath(one) for one in Path(f"/proc/{process.pid}/fd").glob("*")}


def is_pausing_in(file: Path) -> Callable[["subprocess.Popen[bytes]"], object]:
    """Tell whether a file is open and its reader asleep for a while, as SQLite is between two looks at a lock."""
    call = {"x86_64": b"230 ", "aarch64": b"115 "}[os.uname().machine]  # clock_nanosleep

    def holds(process: "subprocess.Popen[bytes]") -> object:
        return is_reading(file)(process) and Path(f"/proc/{process.pid}/syscall").read_bytes().startswith(call)

    return holds


def parts_of(guarded: Guarded) -> list[Path]:
    return [path for place in (guarded.store, guarded.archive) for path in place.rglob(".exodus-part-*")]


def put_large(guarded: Guarded, key: str, days: float) -> None:
    path = guarded.put(key, days=days, content=b"")
    at = path.stat().st_mtime
    os.truncate(path, LARGE_BYTES)
    os.utime(path, (at, at))


def setting(guarded: Guarded, **sweep: object) -> Guarded:
    return guarded.write(capacity={"total_bytes": "1 GiB"}, sweep={"premigrate": "0%", "parallel": 1} | sweep)


@pytest.fixture
def stocked(guarded: Guarded) -> Guarded:
    """Fill a store with old objects, a small, a large, and a small one."""
    setting(guarded, bandwidth_limit="8 MiB")
    guarded.put(KEYS[0], days=400)
    put_large(guarded, KEYS[1], days=390)
    guarded.put(KEYS[2], days=380)
    guarded("init")
    return guarded


@pytest.fixture
def archived(stocked: Guarded) -> Guarded:
    """Archive all of it."""
    setting(stocked)(*SWEEP)
    assert set(stocked.archived()) == set(KEYS)
    return stocked


@EACH_SIGNAL
@pytest.mark.parametrize("output", [(), ("--json",)], ids=["text", "json"])
def test_a_sweep_that_is_stopped_while_it_copies_is_gone_on_with(
    number: signal.Signals, output: tuple[str, ...], stocked: Guarded
) -> None:
    before = stocked.contents()

    said, complained = stopped(stocked, number, is_writing(stocked.archive), *SWEEP, *output)

    if output:
        assert json.loads(said)["verdict"] == "critical"
    assert f"stopped by {number.name}; {GO_ON}" in said
    assert complained == ""
    assert parts_of(stocked) == []
    assert {"copying", "releasing", "failed"}.isdisjoint(stocked.states())
    assert stocked.contents() | stocked.archived() == before
    again = setting(stocked)(*SWEEP)
    assert again.exit_code == 0, again.all_output
    assert stocked.archived() == before
    assert stocked("verify").exit_code == 0


def test_a_sweep_that_is_stopped_reports_what_it_had_done(guarded: Guarded) -> None:
    setting(guarded, bandwidth_limit="100 MiB")
    for number, key in enumerate(KEYS):  # two are a batch
        put_large(guarded, key, days=400 - number)
    guarded("init")

    def is_in_second_batch(process: "subprocess.Popen[bytes]") -> object:
        return KEYS[0] not in guarded.stored() and is_writing(guarded.archive)(process)

    said, _ = stopped(guarded, signal.SIGTERM, is_in_second_batch, *SWEEP, "--json")

    told = json.loads(said)
    assert [(one["key"], one["verdict"]) for one in told["objects"]] == [(key, "ok") for key in KEYS[:2]]
    assert told["freed_bytes"] == 2 * LARGE_BYTES
    assert guarded.stored() == set(KEYS[2:])
    assert guarded.states() == {"archived": 2, "resident": 1}


def test_a_copy_that_waits_for_its_bandwidth_is_given_up_as_well(stocked: Guarded) -> None:
    setting(stocked, bandwidth_limit="16 KiB")  # a minute for each chunk

    said, _ = stopped(stocked, signal.SIGTERM, lambda process: parts_of(stocked), *SWEEP)

    assert GO_ON in said
    assert parts_of(stocked) == []


@EACH_SIGNAL
def test_a_restore_that_is_stopped_is_gone_on_with(number: signal.Signals, archived: Guarded) -> None:
    before = archived.archived()

    said, complained = stopped(archived, number, is_writing(archived.store), "restore", "--json", *KEYS)

    told = json.loads(said)
    assert (told["verdict"], told["reason"]) == ("critical", f"stopped by {number.name}; {GO_ON}")
    assert [(one["key"], one["verdict"]) for one in told["objects"]] == [(KEYS[0], "ok")]
    assert complained == ""
    assert parts_of(archived) == []
    assert archived.states() == {"premigrated": 1, "archived": 2}
    again = archived("restore", *KEYS)
    assert again.exit_code == 0, again.all_output
    assert archived.contents() == before


@EACH_SIGNAL
def test_a_fetch_that_is_stopped_leaves_no_file(number: signal.Signals, archived: Guarded, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()

    said, complained = stopped(
        archived, number, lambda process: list(place.iterdir()), "fetch", KEYS[1], str(place / "target")
    )

    assert (said, complained) == ("", f"exodus-storage-guard: stopped by {number.name}; {GO_ON}\n")
    assert list(place.iterdir()) == []
    assert archived("fetch", KEYS[1], str(place / "target")).exit_code == 0


@EACH_SIGNAL
def test_a_verification_that_is_stopped_tells_what_is_right_so_far(number: signal.Signals, archived: Guarded) -> None:
    states = archived.states()

    said, complained = stopped(archived, number, is_reading(archived.archive / KEYS[1]), "verify", "--json")

    told = json.loads(said)
    assert (told["verdict"], told["reason"]) == ("critical", f"stopped by {number.name}; {GO_ON}")
    assert {one["verdict"] for one in told["objects"]} <= {"ok"}
    assert complained == ""
    assert archived.states() == states
    assert archived("verify").exit_code == 0


@on_sqlite
@EACH_SIGNAL
def test_a_sync_that_is_stopped_changes_nothing(number: signal.Signals, guarded: Guarded) -> None:
    guarded("init")
    for name in range(20_000):
        (guarded.store / f"{name}.apk").touch()

    said, complained = stopped(
        guarded, number, lambda process: list(guarded.state.parent.glob(".listing-*/*")), "sync", "--json"
    )

    assert json.loads(said) == {"verdict": "critical", "reason": f"stopped by {number.name}; {GO_ON}"}
    assert complained == f"exodus-storage-guard: stopped by {number.name}; {GO_ON}\n"
    assert list(guarded.state.parent.glob(".listing-*")) == []
    assert guarded.states() == {}
    assert guarded("sync").exit_code == 0
    assert guarded.states() == {"resident": 20_000}


@on_sqlite
def test_a_command_that_hangs_in_a_library_is_ended_by_force(guarded: Guarded) -> None:
    guarded("init")
    key = guarded.put(apk_key(1)).name
    guarded("sync")
    with closing(sqlite3.connect(guarded.state, isolation_level=None)) as others:
        others.execute("BEGIN IMMEDIATE")

        said, complained = stopped(
            guarded,
            signal.SIGTERM,
            is_pausing_in(guarded.state),
            *("hold", key),
            in_seconds=ENDS_BY_FORCE_IN_SECONDS,
        )

    assert said == ""
    assert complained.startswith("stopped by SIGTERM in the midst of")
    assert GO_ON in complained


def test_a_signal_that_whoever_started_us_ignores_stays_ignored(stocked: Guarded) -> None:
    setting(stocked)
    process = subprocess.Popen(
        ["nohup", *stocked.argv(*SWEEP)],
        env=stocked.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: is_writing(stocked.archive)(process))
    process.send_signal(signal.SIGHUP)

    process.communicate(timeout=40)

    assert process.returncode == 0
    assert set(stocked.archived()) == set(KEYS)

"""The gate does what was chosen for a guard that does not work, tells the operator, and holds up nobody."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from exodus_storage_guard import UploadRefused
from exodus_storage_guard.adapters.gate import Gate
from exodus_storage_guard.adapters.room import HELD
from exodus_storage_guard.model import Seen
from tests.parts.clocks import SetClock
from tests.parts.command import ROOT
from tests.parts.guard import MIB, Guarded
from tests.parts.mounts import mounted
from tests.parts.waiting import holds_in_time

NOT_WORKING = "the storage guard does not work at this moment"


@dataclass
class Told:
    """What the operator was told, by a program on PATH that is called `exodus-alert`."""

    file: Path

    def lines(self, count: int) -> list[str]:
        """Give the lines once there are so many; the gate does not wait for them."""
        holds_in_time(lambda: len(self._lines()) >= count)
        return self._lines()

    def _lines(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.exists() else []


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    """Give an empty store of 100 MiB."""
    ready = Guarded(tmp_path / "guarded")
    ready.folder.mkdir()
    ready.write()
    assert ready("init").exit_code == 0
    return ready


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Put an `exodus-alert` on PATH that takes its time to raise, and notes how it was called."""
    program, file = tmp_path / "bin/exodus-alert", tmp_path / "told"
    program.parent.mkdir()
    slow = '[ "$1" = raise ] && sleep 1'
    program.write_text(f'#!/bin/sh\n{slow}\n{{ printf "%s|" "$@"; echo; }} >> {file}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return Told(file)


def lose_settings(guarded: Guarded) -> None:
    guarded.config.unlink()


def spoil_settings(guarded: Guarded) -> None:
    guarded.config.write_text("[store\n")


def have_no_catalogue(guarded: Guarded) -> None:
    guarded.write(state={"url": f"sqlite:///{guarded.folder}/elsewhere/state.db"})


def have_no_database(guarded: Guarded) -> None:
    guarded.write(state={"url": "postgresql://x@127.0.0.1:1/x"})


def have_a_name_that_no_file_has(guarded: Guarded) -> None:
    guarded.write(state={"url": f"sqlite:///{guarded.folder}/{'x' * 300}"})


def have_no_password(guarded: Guarded) -> None:
    guarded.write(state={"url": "postgresql://x@127.0.0.1:1/x", "password_file": f"{guarded.folder}/none"})


def accept_when_broken(guarded: Guarded) -> None:
    """Write the choice into the settings, whatever else they say."""
    guarded.config.write_text(
        guarded.config.read_text().replace("[admission]\n", '[admission]\nwhen_broken = "accept"\n')
    )


def spoil_catalogue(guarded: Guarded) -> None:
    with sqlite3.connect(guarded.state) as connection:
        connection.execute("ALTER TABLE reservations RENAME TO lost")
    connection.close()


def repair_catalogue(guarded: Guarded) -> None:
    with sqlite3.connect(guarded.state) as connection:
        connection.execute("ALTER TABLE lost RENAME TO reservations")
    connection.close()


def break_off_in_a_broken_guard(guarded: Guarded) -> None:
    spoil_catalogue(guarded)
    (guarded.store / "none").unlink()


readable = [have_no_catalogue, have_no_database, have_a_name_that_no_file_has, have_no_password, spoil_catalogue]
"""Breaks a guard whose settings can be read."""
unreadable = [lose_settings, spoil_settings]

# --- refuse or accept ---


@pytest.mark.parametrize("break_it", [*readable, *unreadable])
def test_a_broken_guard_refuses_for_a_minute(break_it: Callable[[Guarded], None], guarded: Guarded) -> None:
    break_it(guarded)
    gate = Gate(guarded.config)

    with pytest.raises(UploadRefused) as refusal:
        gate.admit(MIB)

    assert (refusal.value.reason, refusal.value.retry_after_seconds) == (NOT_WORKING, 60)
    assert not gate.is_accepting()


@pytest.mark.parametrize("break_it", [*readable, *unreadable])
def test_a_broken_guard_lets_pass_where_the_platform_chose_that(
    break_it: Callable[[Guarded], None], guarded: Guarded
) -> None:
    break_it(guarded)
    gate = Gate(guarded.config, "accept")

    assert gate.admit(MIB, "one.apk") is None
    assert gate.is_accepting()


@pytest.mark.parametrize("break_it", readable)
def test_a_broken_guard_lets_pass_where_its_settings_chose_that(
    break_it: Callable[[Guarded], None], guarded: Guarded
) -> None:
    break_it(guarded)
    accept_when_broken(guarded)

    assert Gate(guarded.config).admit(MIB) is None
    assert Gate(guarded.config).is_accepting()
    with pytest.raises(UploadRefused):
        Gate(guarded.config, "refuse").admit(MIB)
    assert not Gate(guarded.config, "refuse").is_accepting()


@pytest.mark.parametrize("break_it", unreadable)
def test_settings_that_cannot_be_read_choose_nothing(break_it: Callable[[Guarded], None], guarded: Guarded) -> None:
    accept_when_broken(guarded)
    break_it(guarded)

    with pytest.raises(UploadRefused):
        Gate(guarded.config).admit(MIB)


@pytest.mark.parametrize(("chosen", "said"), [("refuse", "60 False"), ("accept", "None True")])
def test_a_catalogue_on_a_disk_that_became_read_only_is_a_broken_guard(
    chosen: str, said: str, guarded: Guarded
) -> None:
    code = f"""
import sys
from exodus_storage_guard.adapters.gate import Gate, UploadRefused
gate = Gate(sys.argv[1], {chosen!r})
try:
    print(gate.admit(1000), end=" ")
except UploadRefused as refusal:
    print(refusal.retry_after_seconds, end=" ")
print(gate.is_accepting())
"""
    state = guarded.state.parent
    with mounted(f"mount --bind {state} {state}; mount -o remount,bind,ro {state}") as namespace:
        argv = namespace.argv([sys.executable, "-c", code, str(guarded.config)])
        environment = os.environ | {"PYTHONPATH": str(ROOT / "hooks")}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout == f"{said}\n", done.stderr
    assert "the storage guard is broken" in done.stderr


def test_a_guard_that_says_no_is_not_broken(guarded: Guarded, told: Told, caplog: pytest.LogCaptureFixture) -> None:
    guarded.fill(9, size=10 * MIB, oldest=9, newest=1)
    guarded("sync")
    gate = Gate(guarded.config, "accept")

    with pytest.raises(UploadRefused) as never:
        gate.admit(200 * MIB)
    with pytest.raises(UploadRefused, match="nothing old enough is left"):
        gate.admit(20 * MIB)

    assert never.value.retry_after_seconds is None
    assert not gate.is_accepting()
    assert [record for record in caplog.records if record.name.endswith("gate")] == []
    assert told.lines(0) == []


def test_a_guard_that_is_not_configured_yet_works_once_it_is(guarded: Guarded) -> None:
    written = guarded.config.read_text()
    guarded.config.unlink()
    gate = Gate(guarded.config)
    with pytest.raises(UploadRefused):
        gate.admit(MIB)

    guarded.config.write_text(written)

    assert gate.is_accepting()
    admitted = gate.admit(MIB)
    assert admitted is not None
    admitted.reservation.release()


@pytest.mark.parametrize("name", ["x" * 1025, "", "a\0b", "\ud800", "../" * 400])
def test_what_a_stranger_calls_his_file_breaks_nothing(name: str, guarded: Guarded, told: Told) -> None:
    gate = Gate(guarded.config)
    with gate.holding(room := gate.admit(MIB, name)):
        assert room is not None
        for noted in (name, "one.apk", f"{name}{name}"):
            room.note(noted, MIB)

    assert not gate.guard.is_archived(name)
    catalogue = guarded.run().catalogue
    assert (len(catalogue.reservations()), guarded.states()) == (0, {"resident": 1})
    assert catalogue.landed(Seen()).bytes == (2 if name else 1) * MIB, "what has no name counts as well"
    assert told.lines(0) == []


# --- telling ---


def test_the_operator_is_told_once_a_minute_and_once_when_it_is_over(guarded: Guarded, told: Told) -> None:
    spoil_catalogue(guarded)
    gate = Gate(guarded.config, "accept", clock := SetClock())
    began = time.monotonic()
    for clock.seconds in (1000, 1001, 1059.9):
        assert gate.admit(MIB) is None
        assert gate.is_accepting()
    assert time.monotonic() - began < 1
    assert len(told.lines(1)) == 1
    clock.seconds = 1060
    assert gate.admit(MIB) is None
    repair_catalogue(guarded)
    for _ in range(3):
        assert gate.admit(MIB) is not None

    first, second, third = told.lines(3)
    raised = (
        "raise|storage-guard-broken|--severity|critical|--message|uploads are not decided on by the storage guard: "
    )
    assert first.startswith(raised + f"the catalogue {guarded.state}")
    assert (second, third) == (first, "resolve|storage-guard-broken|")


def test_what_breaks_again_is_told_again(guarded: Guarded, told: Told) -> None:
    gate = Gate(guarded.config, "accept", clock := SetClock())
    for clock.seconds in (1000, 1060):
        spoil_catalogue(guarded)
        assert gate.admit(MIB) is None
        repair_catalogue(guarded)
        with pytest.raises(UploadRefused):  # a guard that says no works as well
            gate.admit(200 * MIB)

    assert [line.partition("|")[0] for line in told.lines(4)] == ["raise", "resolve", "raise", "resolve"]


def test_being_open_for_uploads_does_not_prove_that_they_are_decided_on(guarded: Guarded, told: Told) -> None:
    written = guarded.config.read_text()
    guarded.config.unlink()
    gate = Gate(guarded.config)
    assert not gate.is_accepting()
    guarded.config.write_text(written)
    assert gate.is_accepting()
    assert len(told.lines(1)) == 1

    gate.admit(MIB)

    assert told.lines(2)[1] == "resolve|storage-guard-broken|"


def test_a_fork_leaves_nobody_waiting_and_tells_for_itself(guarded: Guarded, told: Told) -> None:
    spoil_catalogue(guarded)
    gate = Gate(guarded.config, "accept", clock := SetClock())
    gate.admit(MIB)
    child = os.fork()
    if child == 0:
        clock.seconds += 60
        os._exit(0 if gate.admit(MIB) is None and len(told.lines(2)) == 2 else 1)

    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert len(told.lines(2)) == 2


# --- holding ---


def test_what_is_held_is_committed_or_released(guarded: Guarded) -> None:
    gate = Gate(guarded.config)
    with gate.holding(stored := gate.admit(10 * MIB, "one.apk")):
        assert HELD.get() is stored
    broken_off = gate.admit(10 * MIB, "two.apk")
    with pytest.raises(KeyboardInterrupt), gate.holding(broken_off):
        raise KeyboardInterrupt
    with gate.holding(None):
        assert HELD.get() is None

    status = guarded("status", "--json").json
    assert HELD.get() is None
    assert status["objects"]["resident"] == {"count": 1, "bytes": 10 * MIB}
    assert status["reservations"] == {"count": 0, "bytes": 0}


def test_an_upload_does_not_fail_since_the_guard_broke_while_it_was_stored(guarded: Guarded, told: Told) -> None:
    gate = Gate(guarded.config)
    with gate.holding(gate.admit(10 * MIB, "one.apk")):
        spoil_catalogue(guarded)
    repair_catalogue(guarded)
    with pytest.raises(FileNotFoundError), gate.holding(gate.admit(10 * MIB, "two.apk")):
        break_off_in_a_broken_guard(guarded)

    assert told.lines(1)[0].startswith("raise|storage-guard-broken|")

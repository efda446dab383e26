"""One holder at a time: in this process, in another one, and after one was killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exodus_common.clock import SystemClock
from exodus_common.errors import ExodusError, TryLater
from exodus_common.lock import held

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # another process imports what we do
HOLD = """
import pathlib, sys
from exodus_common.clock import SystemClock
from exodus_common.lock import held
sys.argv[0] = "/usr/bin/exodus-\\x1bholder"
with held(pathlib.Path(sys.argv[1]), wait_seconds=0, clock=SystemClock()):
    print("held", flush=True)
    sys.stdin.readline()
"""


@dataclass
class FakeClock:
    """A clock that moves only when somebody waits."""

    seconds: float = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


@contextmanager
def other_process_holding(path: Path, *, prelude: str = "") -> Iterator["subprocess.Popen[str]"]:
    pipe, command = subprocess.PIPE, [sys.executable, "-c", prelude + HOLD, str(path)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_another_process_is_excluded_and_named(tmp_path: Path) -> None:
    path, clock = tmp_path / "lock", FakeClock()
    with other_process_holding(path) as holder:
        with pytest.raises(TryLater) as refusal, held(path, wait_seconds=7, clock=clock):
            pytest.fail("two processes hold one lock")
        message = f"{path} is still locked by pid {holder.pid} (exodus-\\x1bholder) after 7 s; try again"
        assert str(refusal.value).startswith(message)
        assert refusal.value.exit_code == 75
        assert clock.seconds == 7


def test_a_second_holder_in_this_process_is_excluded(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        held(path, wait_seconds=0, clock=FakeClock()),
        pytest.raises(TryLater, match=f"pid {os.getpid()} "),
        held(path, wait_seconds=1, clock=FakeClock()),
    ):
        pytest.fail("one process holds the lock twice")


def test_is_free_after_the_block_however_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(KeyError), held(path, wait_seconds=0, clock=FakeClock()):
        raise KeyError
    with held(path, wait_seconds=0, clock=FakeClock()):
        assert path.read_text().startswith(f"{os.getpid()} ")
    assert path.exists()


def test_is_free_when_the_holder_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with other_process_holding(path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with held(path, wait_seconds=0, clock=FakeClock()):
            assert path.read_text().startswith(f"{os.getpid()} ")


def test_gets_the_lock_that_becomes_free_while_it_waits(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with other_process_holding(path) as holder:
        assert holder.stdin is not None
        holder.stdin.write("\n")
        holder.stdin.flush()
        with held(path, wait_seconds=30, clock=SystemClock()):
            assert path.read_text().startswith(f"{os.getpid()} ")


def test_a_command_that_is_started_inside_does_not_inherit_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path, wait_seconds=0, clock=FakeClock()):
        left_behind = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with held(path, wait_seconds=0, clock=FakeClock()):
            pass
    finally:
        left_behind.kill()
        left_behind.wait()


def test_makes_its_folder_and_file_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "lock"
    with held(path, wait_seconds=0, clock=FakeClock()):
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.stat().st_mode & 0o777 == 0o600


def test_leaves_the_mode_of_a_folder_that_exists(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    with held(tmp_path / "lock", wait_seconds=0, clock=FakeClock()):
        assert tmp_path.stat().st_mode & 0o777 == 0o750


def test_refuses_a_symbolic_link_and_leaves_its_target_alone(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "lock").symlink_to("target")
    path = tmp_path / "lock"
    message = f"^lock {path} is a symbolic link, which is not followed; remove it$"
    with pytest.raises(ExodusError, match=message), held(path, wait_seconds=0, clock=FakeClock()):
        pytest.fail("followed a symbolic link")
    assert (tmp_path / "target").read_text() == "precious"


def test_says_what_to_do_where_it_may_not_write() -> None:
    with (
        pytest.raises(ExodusError, match=r"^cannot open lock /proc/exodus/lock: .*; run as root, or set STATE_DIR"),
        held(Path("/proc/exodus/lock"), wait_seconds=0, clock=FakeClock()),
    ):
        pytest.fail("made a folder in /proc")


def test_holds_although_a_full_disk_cannot_take_the_holders_name(tmp_path: Path) -> None:
    path, message = tmp_path / "lock", "locked by another process after"
    full_disk = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    with (
        other_process_holding(path, prelude=full_disk),
        pytest.raises(TryLater, match=message),
        held(path, wait_seconds=0, clock=FakeClock()),
    ):
        pytest.fail("two processes hold one lock")

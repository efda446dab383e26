"""Commands end, or are ended: with all that they started, and with a message that tells no secret."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from exodus_common.errors import ExodusError
from exodus_common.process import CommandMissing, CommandTimedOut, CommandTooLoud, Finished, run


def is_running(pid: int) -> bool:
    """Say whether the process exists and is no zombie (in a container nobody may reap orphans)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends_soon(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        os.sched_yield()
    return not is_running(pid)


def test_returns_exit_code_and_both_outputs_as_bytes() -> None:
    finished = run(["sh", "-c", r"printf 'out\377'; printf err >&2; exit 3"], timeout_seconds=10)
    assert finished == Finished(("sh", "-c", r"printf 'out\377'; printf err >&2; exit 3"), 3, b"out\xff", b"err")


def test_reads_long_output_on_both_streams_without_a_standstill() -> None:
    code = "import sys; sys.stderr.write('e' * 3_000_000); sys.stdout.write('o' * 3_000_000)"
    finished = run([sys.executable, "-c", code], timeout_seconds=30)
    assert (len(finished.stdout), len(finished.stderr)) == (3_000_000, 3_000_000)


def test_exit_code_of_a_signal_is_its_negative_number() -> None:
    assert run(["sh", "-c", "kill -TERM $$"], timeout_seconds=10).exit_code == -15


def test_has_no_input_and_a_session_of_its_own() -> None:
    code = "import os, sys; print(repr(sys.stdin.read()), os.getsid(0) == os.getpid())"
    assert run([sys.executable, "-c", code], timeout_seconds=10).stdout == b"'' True\n"


def test_speaks_english_by_default_and_inherits_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setenv("EXODUS_TEST", "kept")
    command = ["sh", "-c", 'echo "$LC_ALL/$LANGUAGE/$EXODUS_TEST"']
    assert run(command, timeout_seconds=10).stdout == b"C.UTF-8//kept\n"
    assert run(command, timeout_seconds=10, env={"EXODUS_TEST": "own"}).stdout == b"//own\n"


def test_kills_a_command_that_does_not_end_and_its_children(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(CommandTimedOut, match=r"^killed sh after 2 s: it had not ended; ") as timeout:
        run(["sh", "-c", script], timeout_seconds=2)
    assert timeout.value.exit_code == 1
    assert ends_soon(int((tmp_path / "pid").read_text()))


def test_kills_a_command_that_closed_its_output_and_does_not_end() -> None:
    with pytest.raises(CommandTimedOut, match="it had not ended"):
        run(["sh", "-c", "exec sleep 60 >&- 2>&-"], timeout_seconds=0.3)


def test_kills_a_command_that_never_stops_writing() -> None:
    with pytest.raises(CommandTimedOut):
        run(["sh", "-c", "while :; do echo x; done"], timeout_seconds=0.3)


def test_kills_the_grandchild_that_keeps_the_output_open(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(CommandTimedOut, match="it ended, but a process that it started kept its output open"):
        run(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid"], timeout_seconds=2)
    assert time.monotonic() - begun < 20
    assert ends_soon(int((tmp_path / "pid").read_text()))


def test_does_not_hang_on_a_grandchild_that_left_the_process_group() -> None:
    begun = time.monotonic()
    with pytest.raises(CommandTimedOut):
        run(["sh", "-c", "setsid sleep 15 &"], timeout_seconds=0.3)
    assert time.monotonic() - begun < 10


def test_leaves_a_daemon_alone_that_closed_the_output(tmp_path: Path) -> None:
    script = f"sleep 60 >/dev/null 2>&1 & echo $! > {tmp_path}/pid"
    assert run(["sh", "-c", script], timeout_seconds=10).exit_code == 0
    pid = int((tmp_path / "pid").read_text())
    assert is_running(pid)
    os.kill(pid, 9)


def test_kills_what_writes_more_than_is_read_and_accepts_just_as_much() -> None:
    command = ["sh", "-c", "printf 12345; printf 67890 >&2"]
    assert run(command, timeout_seconds=10, most_output_bytes=10).stdout == b"12345"
    with pytest.raises(CommandTooLoud, match=r"^killed sh: it wrote more than 9 bytes$"):
        run(command, timeout_seconds=10, most_output_bytes=9)
    with pytest.raises(CommandTooLoud):
        run(["yes"], timeout_seconds=30, most_output_bytes=1_000_000)


@pytest.mark.parametrize("binary", ["exodus-absent", "/nonexistent/nginx", "/etc/passwd", "/etc/passwd/nginx", "/etc"])
def test_says_that_a_binary_is_missing_or_cannot_be_executed(binary: str) -> None:
    with pytest.raises(CommandMissing, match=f"^cannot execute {binary}: .*; install it or correct its path$"):
        run([binary, "-t"], timeout_seconds=10)


def test_says_that_a_file_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "nginx").write_bytes(b"\x00\x01")
    (tmp_path / "nginx").chmod(0o755)
    with pytest.raises(CommandMissing, match="Exec format error"):
        run([str(tmp_path / "nginx")], timeout_seconds=10)


def test_says_that_the_machine_refuses_to_start_it() -> None:
    with pytest.raises(ExodusError, match=r"^cannot start /bin/true: Argument list too long") as refusal:
        run(["/bin/true", "-" + "x" * 10_000_000], timeout_seconds=10)
    assert not isinstance(refusal.value, CommandMissing)


def test_refuses_to_take_a_failure_for_success_where_exit_codes_are_lost() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(ExodusError, match="cannot learn how false ends: SIGCHLD is ignored"):
            run(["false"], timeout_seconds=10)
    finally:
        signal.signal(signal.SIGCHLD, before)


# A child that runs already, while Python is not yet done with starting it, when a signal comes.
_STOPPED_AS_IT_STARTS = """
import os, signal, subprocess, sys
from exodus_common import stopping
from exodus_common.process import run

class Popen(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        print(self.pid, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

subprocess.Popen = Popen
try:
    with stopping.heard():
        run(["sleep", "300"], timeout_seconds=60)
except stopping.Stopped:
    os._exit(7)
"""


def test_a_signal_that_comes_while_a_command_starts_leaves_nothing_behind() -> None:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    done = run([sys.executable, "-c", _STOPPED_AS_IT_STARTS], timeout_seconds=60, env=env)

    assert done.exit_code == 7, done.stderr
    assert ends_soon(int(done.stdout))


def test_messages_name_arguments_up_to_the_options_and_no_secret() -> None:
    with pytest.raises(CommandTimedOut) as timeout:
        run(
            ["sh", "-c", "sleep 60", "--password", "hunter2"], timeout_seconds=0.1, env={"PATH": "/bin", "T": "hunter3"}
        )
    assert "hunter" not in str(timeout.value)
    assert "sleep" not in str(timeout.value)
    with pytest.raises(CommandTimedOut, match=r"^killed sleep 60 \\x1b\[31m after"):
        run(["sleep", "60", "\x1b[31m"], timeout_seconds=0)


def test_output_stays_out_of_the_representation() -> None:
    assert "hunter2" not in repr(Finished(("true",), 0, b"hunter2", b"hunter2"))


def test_accepts_a_timeout_of_months() -> None:
    assert run(["true"], timeout_seconds=1e9).exit_code == 0

"""What a command cannot print is told once, with an exit code that is not 0 and no traceback, in both commands."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.parts.command import ROOT

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
ENVIRONMENT |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'hooks'}"}
COMMANDS = [["exodus_certbot", "--help"], ["exodus_certbot", "--version"], ["exodus_storage_guard", "--version"]]
BODY = "import sys; from exodus_common import output, program; "
BOTH = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)


def argv(command: Sequence[str]) -> list[str]:
    return [sys.executable, "-P", "-m", *command]


@BOTH
def test_a_full_disk_is_told(command: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(argv(command), env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    name = command[0].replace("_", "-")
    assert done.stderr.decode() == f"{name}: cannot write to standard output: No space left on device\n"


@BOTH
def test_a_reader_who_has_gone_is_no_reason_for_words(command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(argv(command), env=ENVIRONMENT, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


@BOTH
def test_what_can_be_written_is(command: list[str]) -> None:
    done = subprocess.run(argv(command), env=ENVIRONMENT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout


def run(code: str, redirected: str) -> "subprocess.CompletedProcess[bytes]":
    script = f'exec "$0" -c "$1" {redirected}'
    return subprocess.run(
        ["bash", "-c", script, sys.executable, BODY + code], env=ENVIRONMENT, capture_output=True, check=False
    )


def test_an_output_that_is_closed_is_told() -> None:
    done = run("sys.exit(program.ended('us', lambda: output.say('hello') or 0))", ">&-")
    assert (done.returncode, done.stderr) == (1, b"us: cannot write to standard output: it is closed\n")


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full"])
def test_a_complaint_that_nobody_takes_goes_nowhere_else(redirected: str) -> None:
    done = run("sys.exit(program.ended('us', lambda: output.complain('hello') or 75))", redirected)
    assert (done.returncode, done.stdout, done.stderr) == (75, b"", b"")


def test_a_log_that_nobody_takes_stops_nothing() -> None:
    code = "import logging; sys.exit(program.ended('us', lambda: logging.warning('hello') or 0))"
    assert run(code, "2>/dev/full").returncode == 0


def test_bytes_go_through_as_they_are() -> None:
    done = run("sys.exit(program.ended('us', lambda: output.pass_on([b'\\xff', b'\\0']) or 0))", "")
    assert (done.returncode, done.stdout) == (0, b"\xff\x00")


def test_dev_full_is_what_these_tests_take_it_for() -> None:
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)

"""A signal ends `exodus-certbot` in seconds, with a sentence, and whatever it had started ends with it."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.parts.command import ExodusCertbot
from tests.parts.waiting import wait_until


def _is_asleep(pid: int) -> bool:
    """Tell whether a process is the one that was started: its number may be another's by now."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00300\x00"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("output", ["text", "json"])
def test_a_check_that_is_stopped_says_so_and_ends_what_it_started(
    number: signal.Signals, output: str, tmp_path: Path
) -> None:
    nginx, started = tmp_path / "nginx", tmp_path / "started"
    nginx.write_text(f"#!/bin/sh\necho $$ > {started}\nexec sleep 300\n")
    nginx.chmod(0o755)
    command = ExodusCertbot(tmp_path / "nginx.conf", tmp_path, tmp_path / "state")
    command.conf.touch()
    arguments = ["check", "--format", output, "--nginx", str(nginx), "--timeout", "200"]

    process: subprocess.Popen[bytes] = command.start(*arguments)
    wait_until(lambda: started.exists() and started.read_text().endswith("\n"))
    process.send_signal(number)
    said, complained = process.communicate(timeout=20)

    sentence = f"stopped by {number.name}; run it again, it goes on from here"
    assert process.returncode == (-signal.SIGINT if number is signal.SIGINT else 1)
    if output == "json":
        assert (json.loads(said)["verdict"], json.loads(said)["reason"]) == ("unknown", sentence)
        assert complained == b""
    else:
        assert (said, complained.decode()) == (b"", f"exodus-certbot: {sentence}\n")
    wait_until(lambda: not _is_asleep(int(started.read_text())))

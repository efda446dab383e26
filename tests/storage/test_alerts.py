"""Where `exodus-alert` is installed, somebody is told of a sweep that fails, and again when it is over."""

import subprocess
from pathlib import Path

import pytest

from tests.parts.guard import Guarded


@pytest.fixture
def said(guarded: Guarded) -> Path:
    """Put a program on PATH that notes how it was called."""
    program = guarded.folder / "bin/exodus-alert"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> {guarded.folder}/said; echo >> {guarded.folder}/said\n')
    program.chmod(0o755)
    return guarded.folder / "said"


def with_alert(guarded: Guarded, *arguments: str) -> int:
    environment = guarded.environment
    path = {"PATH": f"{guarded.folder / 'bin'}:{environment['PATH']}"}
    done = subprocess.run(
        guarded.argv(*arguments), env=environment | path, capture_output=True, timeout=60, check=False
    )
    return done.returncode


def test_a_failing_sweep_is_told_and_resolved_once_it_succeeds(guarded: Guarded, said: Path) -> None:
    guarded.fill(97, oldest=10, newest=1)
    guarded("init")

    assert with_alert(guarded, "sweep") == 1
    guarded.write(select={"minimum_age_days": 0})
    assert with_alert(guarded, "sweep") == 0

    first, second = said.read_text().splitlines()
    assert first.startswith("raise|storage-sweep|--severity|critical|--message|only 0 B of the 22.0 MiB needed")
    assert second == "resolve|storage-sweep|"


def test_an_alert_that_cannot_be_sent_stops_nothing(guarded: Guarded, said: Path) -> None:
    (guarded.folder / "bin/exodus-alert").write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    guarded.fill(97, oldest=400, newest=200)
    guarded("init")

    assert with_alert(guarded, "sweep") == 0
    assert guarded.states()["archived"] == 22

"""A command that is forked from a process which has imported it does what one does that is started anew."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import warm
from tests.parts.command import ROOT
from tests.parts.waiting import holds_in_time

OURS = {"PYTHONPATH": f"{ROOT}:{ROOT / 'hooks'}", "PATH": os.environ["PATH"]}
COMMAND = [sys.executable, "-P", "-m", "exodus_certbot"]


def both(package: str, *arguments: str, stdin: bytes = b"", **more: str) -> list[tuple[int, bytes, bytes]]:
    argv = [sys.executable, "-P", "-m", package, *arguments]
    cold = subprocess.run(argv, env=OURS | more, input=stdin, capture_output=True, timeout=60, check=False)
    forked = warm.run(argv, env=OURS | more, stdin=stdin, timeout=60)
    return [(done.returncode, done.stdout, done.stderr) for done in (cold, forked)]


@pytest.mark.parametrize("package", ["exodus_certbot", "exodus_storage_guard"])
@pytest.mark.parametrize(
    "arguments", [("--version",), ("--help",), (), ("nonsense",), ("check", "--config", "/nowhere")]
)
def test_it_says_the_same_and_ends_the_same(package: str, arguments: tuple[str, ...]) -> None:
    cold, forked = both(package, *arguments)

    assert forked == cold
    assert any(cold[1:])


@pytest.mark.parametrize("language", ["C", "C.UTF-8"])
def test_what_it_reads_and_what_its_environment_says_reaches_it(language: str, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('[store]\nurl = "directory:///é"\n[archive]\nurl = "directory:///there"\nclearly = "ü"\n')

    cold, forked = both(
        "exodus_storage_guard",
        *("restore", "--from-list", "-"),
        stdin=b"x\n" * 100_000,
        EXODUS_STORAGE_GUARD_CONFIG=str(config),
        LC_ALL=language,
    )

    assert forked == cold
    assert forked[0] == 78
    assert b"clearly" in forked[2]


def test_one_that_does_not_end_is_ended(tmp_path: Path) -> None:
    (tmp_path / "exodus_certbot").mkdir()
    (tmp_path / "exodus_certbot/__main__.py").write_text(
        "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
    )

    with pytest.raises(subprocess.TimeoutExpired) as raised:
        warm.run(COMMAND, env=OURS | {"PYTHONPATH": str(tmp_path)}, timeout=2)

    assert holds_in_time(lambda: not Path(f"/proc/{int(raised.value.stdout or 1)}").exists())


def test_one_that_is_killed_is_known_to_be(tmp_path: Path) -> None:
    (tmp_path / "exodus_certbot").mkdir()
    (tmp_path / "exodus_certbot/__main__.py").write_text("import os\nos.kill(os.getpid(), 9)")

    assert warm.run(COMMAND, env=OURS | {"PYTHONPATH": str(tmp_path)}, timeout=60).returncode == -9


def test_each_is_a_process_of_its_own_with_the_callers_umask_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exodus_certbot").mkdir()
    program = (
        "import os, sys\nprint(os.getpid(), os.getcwd(), open('/proc/self/status').read().split('Umask:\\t')[1][:4])"
    )
    (tmp_path / "exodus_certbot/__main__.py").write_text(program)
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o027)
    try:
        said = [warm.run(COMMAND, env=OURS | {"PYTHONPATH": str(tmp_path)}, timeout=60) for _ in range(2)]
    finally:
        os.umask(before)

    pids, folders, umasks = zip(*(one.stdout.decode().split() for one in said), strict=True)
    assert len({*pids, str(os.getpid())}) == 3
    assert {*folders, *umasks} == {str(tmp_path), "0027"}

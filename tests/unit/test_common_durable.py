"""A file written atomically is whole, exact in its mode, and leaves nothing behind when it fails."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exodus_common import durable

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # another process imports what we do


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def test_writes_the_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    durable.write_atomically(tmp_path / "state.json", b"one")
    durable.write_atomically(tmp_path / "state.json", b"two")
    assert (tmp_path / "state.json").read_bytes() == b"two"
    assert names_in(tmp_path) == ["state.json"]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o660])
def test_mode_is_exact_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        durable.write_atomically(tmp_path / "file", b"", mode=mode)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o7777 == mode


def test_accepts_a_name_as_long_as_the_filesystem_does(tmp_path: Path) -> None:
    durable.write_atomically(tmp_path / ("é" * 127), b"data")
    assert (tmp_path / ("é" * 127)).read_bytes() == b"data"


def test_keeps_the_old_file_and_removes_its_own_when_the_disk_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    code = (
        "import pathlib, resource, sys; from exodus_common import durable\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "durable.write_atomically(pathlib.Path(sys.argv[1]), b'x' * 1000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "file"], env=ENVIRONMENT, capture_output=True, check=False
    )
    assert b"File too large" in done.stderr
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_removes_its_file_when_the_target_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        durable.write_atomically(tmp_path / "folder", b"data")
    assert names_in(tmp_path) == ["folder"]


def test_raises_when_the_folder_is_absent(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        durable.write_atomically(tmp_path / "absent" / "file", b"data")


def test_replaces_a_symbolic_link_and_leaves_its_target_alone(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("target")
    durable.write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"precious"
    assert not (tmp_path / "link").is_symlink()


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    code = (
        "import itertools, pathlib, sys; from exodus_common import durable\n"
        "for n in itertools.count(): durable.write_atomically(pathlib.Path(sys.argv[1]), b'%d' % (n % 10) * 300_000)"
    )
    file = tmp_path / "file"
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", code, file], env=ENVIRONMENT)
        file.unlink(missing_ok=True)
        deadline = time.monotonic() + 20
        while not file.exists() and time.monotonic() < deadline:
            pass
        writer.kill()
        writer.wait()
        data = file.read_bytes()
        assert (len(data), len(set(data))) == (300_000, 1)


def test_syncs_a_folder_and_tolerates_a_filesystem_that_cannot(tmp_path: Path) -> None:
    durable.sync_folder(tmp_path)
    durable.sync_folder(Path("/proc"))


def test_refuses_to_sync_a_folder_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        durable.sync_folder(tmp_path / "absent")

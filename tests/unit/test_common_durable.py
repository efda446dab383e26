"""A file written atomically is whole, exact in its mode, and leaves nothing behind when it fails."""

import os
import stat
import subprocess
import sys
import time
from contextlib import suppress
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


# --- what a person named ---

IS_ROOT = os.geteuid() == 0
AS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="only root makes devices, and gives files away")
AS_USER = pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")


def write_to(path: Path, data: bytes, mode: int = 0o600) -> None:
    with durable.writing_to(path, mode=mode) as stream:
        stream.write(data)


def test_a_new_file_is_whole_and_has_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    write_to(tmp_path / "new", b"data", mode=0o640)
    assert ((tmp_path / "new").read_bytes(), (tmp_path / "new").stat().st_mode & 0o7777) == (b"data", 0o640)
    assert names_in(tmp_path) == ["new"]


def test_a_file_that_was_there_keeps_its_mode_and_stays_whole_when_it_is_not_written_to_the_end(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    file.chmod(0o664)
    with suppress(ZeroDivisionError), durable.writing_to(file, mode=0o600) as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert file.read_bytes() == b"old"
    write_to(file, b"new")
    assert (file.read_bytes(), file.stat().st_mode & 0o7777) == (b"new", 0o664)
    assert names_in(tmp_path) == ["file"]


@AS_ROOT
def test_a_file_of_another_user_stays_theirs_but_is_not_run_as_them(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    os.chown(tmp_path / "file", 12345, 54321)
    (tmp_path / "file").chmod(0o4755)
    write_to(tmp_path / "file", b"new")
    status = (tmp_path / "file").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (12345, 54321, 0o755)


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    if exists:
        (tmp_path / "elsewhere/file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("elsewhere/file")
    write_to(tmp_path / "link", b"new")
    assert (tmp_path / "link").readlink() == Path("elsewhere/file")
    assert (tmp_path / "elsewhere/file").read_bytes() == b"new"
    assert names_in(tmp_path / "elsewhere") == ["file"]


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        write_to(tmp_path / "pipe", b"data")
        assert reader.communicate(timeout=20)[0] == b"data"
    assert (tmp_path / "pipe").is_fifo()


SOMEBODY = 12345


def owned(path: Path, uid: int) -> Path:
    os.chown(path, uid, uid, follow_symlinks=False)
    return path


@AS_ROOT
@pytest.mark.parametrize("uid", [0, SOMEBODY])
@pytest.mark.parametrize("named", ["out/file", "link/file", "out/there", "out/link/../roots/file"])
@pytest.mark.parametrize("exists", [True, False])
def test_root_follows_its_own_links_and_no_other_users(tmp_path: Path, named: str, uid: int, exists: bool) -> None:
    for folder in ("out", "roots"):
        (tmp_path / folder).mkdir()
    victim = tmp_path / "roots/file"
    if exists:
        victim.write_bytes(b"old")
    owned(tmp_path / "out", uid)
    for link, leads in (
        ("out/file", "../roots/file"),
        ("link", "roots"),
        ("out/there", victim),
        ("out/link", "../roots/"),
    ):
        (tmp_path / link).symlink_to(leads)
        owned(tmp_path / link, uid)
    before = sorted(tmp_path.rglob("*"))
    if uid == 0:
        write_to(tmp_path / named, b"new")
    else:
        with pytest.raises(
            OSError, match=rf"/(file|link|there) is a link of the user {SOMEBODY}'s, which root does not"
        ):
            write_to(tmp_path / named, b"new")

    assert victim.exists() == (exists or uid == 0)
    assert not victim.exists() or victim.read_bytes() == (b"new" if uid == 0 else b"old")
    assert sorted(tmp_path.rglob("*")) == sorted({*before, *([victim] if uid == 0 else [])})


@AS_ROOT
def test_root_waits_for_no_reader_of_another_users_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    owned(tmp_path / "pipe", SOMEBODY)
    with pytest.raises(OSError, match=f"pipe is a pipe of the user {SOMEBODY}'s"):
        write_to(tmp_path / "pipe", b"data")


@AS_ROOT
def test_what_is_put_in_the_place_of_a_file_meanwhile_is_replaced_and_not_followed(tmp_path: Path) -> None:
    for name in ("file", "roots"):
        (tmp_path / name).write_bytes(b"old")
    with durable.writing_to(tmp_path / "file", mode=0o600) as stream:
        stream.write(b"new")
        (tmp_path / "file").unlink()
        (tmp_path / "file").symlink_to("roots")
    assert ((tmp_path / "file").read_bytes(), (tmp_path / "roots").read_bytes()) == (b"new", b"old")
    assert not (tmp_path / "file").is_symlink()


@AS_ROOT
@pytest.mark.parametrize("named", ["relative", "./relative", "../{}/relative", "//{}/relative"])
def test_root_reaches_names_however_they_are_written(
    tmp_path: Path, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_to(Path(named.format(tmp_path.name if named.startswith("..") else str(tmp_path).lstrip("/"))), b"data")
    assert (tmp_path / "relative").read_bytes() == b"data"


@AS_ROOT
def test_links_that_lead_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    with pytest.raises(OSError, match="Too many levels"):
        write_to(tmp_path / "one", b"data")


@AS_ROOT
@pytest.mark.parametrize(("minor", "error"), [(3, None), (7, "No space left")])
def test_a_device_is_written_to_and_stays_one(tmp_path: Path, minor: int, error: str | None) -> None:
    device = tmp_path / "device"  # of the kind of /dev/null and of /dev/full, which are everybody's
    os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(1, minor))
    if error is None:
        write_to(device, b"data")
    else:
        with pytest.raises(OSError, match=error):
            write_to(device, b"data")
    assert device.is_char_device()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_an_open_descriptor_is_written_on_where_it_stands(tmp_path: Path, name: str) -> None:
    code = (
        "import os, pathlib; from exodus_common import durable; os.write(1, b'head ')\n"
        f"with durable.writing_to(pathlib.Path({name!r}), mode=0o600) as stream: stream.write(b'body ')\n"
        "os.write(1, b'tail')"
    )
    with (tmp_path / "output").open("wb") as output:
        subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, stdout=output, check=True)
    assert (tmp_path / "output").read_bytes() == b"head body tail"
    assert names_in(tmp_path) == ["output"]


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_to(tmp_path, b"data")
    assert names_in(tmp_path) == []


@AS_USER
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o444)
    with pytest.raises(PermissionError):
        write_to(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


@AS_USER
def test_a_folder_that_takes_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError) as raised:
            write_to(tmp_path / "file", b"new")
    finally:
        tmp_path.chmod(0o755)
    assert f"{tmp_path} does not take one" in durable.cannot_write(tmp_path / "file", raised.value)

"""An archive behind ssh, as the operators had it in 2019: a port, a key, a known host; and all that can fail there."""

import gc
import hashlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exodus_storage_guard.errors import StoreFailed, StoreFull
from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores import names
from exodus_storage_guard.stores.contract import Store
from exodus_storage_guard.stores.opening import opened
from exodus_storage_guard.stores.ssh import scripts
from tests.parts.guard import Guarded, sha256_of
from tests.parts.mounts import mounted
from tests.parts.sshd import Sshd, running_sshd
from tests.parts.waiting import wait_until


@pytest.fixture
def behind_ssh(guarded: Guarded, sshd: Sshd) -> Guarded:
    sshd.expect_host_key()
    return guarded.write(archive={"url": sshd.url(guarded.archive), **sshd.settings})


def store_at(sshd: Sshd, folder: Path, seconds: float = 5) -> Store:
    return opened(sshd.archive(folder), seconds)


def test_the_story_of_2019_with_an_archive_behind_ssh(behind_ssh: Guarded) -> None:
    keys = behind_ssh.fill(97, newest=181)
    before = {key: sha256_of(behind_ssh.store / key) for key in keys}
    assert behind_ssh("init").exit_code == 0

    swept = behind_ssh("sweep", "--json")
    verified = behind_ssh("verify")

    assert swept.exit_code == 0, swept.all_output
    assert behind_ssh.archived() == {key: before[key] for key in keys[:22]}
    assert behind_ssh.stored() == set(keys[22:])
    assert "22 of 22 right" in verified.stdout

    restored = behind_ssh("restore", keys[3])
    assert restored.exit_code == 0, restored.all_output
    assert sha256_of(behind_ssh.store / keys[3]) == before[keys[3]]


def test_an_archive_behind_ssh_is_hashed_on_its_own_machine(behind_ssh: Guarded) -> None:
    keys = behind_ssh.fill(97, newest=181)
    behind_ssh("init")
    behind_ssh("sweep")
    copy = behind_ssh.archive / keys[0]
    copy.write_bytes(b"rotten" + copy.read_bytes()[6:])

    verified = behind_ssh("verify")

    assert verified.exit_code == 1
    assert f"the copy of {keys[0]}" in verified.stdout
    assert "21 of 22 right" in verified.stdout


def test_a_host_key_that_changed_stops_everything_and_says_what_to_compare(behind_ssh: Guarded, sshd: Sshd) -> None:
    keys = behind_ssh.fill(97, newest=181)
    behind_ssh("init")
    sshd.expect_host_key("another-host")

    swept = behind_ssh("sweep")

    assert swept.exit_code == 1
    assert "Host key verification failed" in swept.stderr
    assert "compare the key with the machine's own" in swept.stderr
    assert behind_ssh.stored() == set(keys)


@pytest.mark.parametrize("missing", ["identity_file", "known_hosts_file"])
def test_a_key_and_whose_host_it_is_are_required(behind_ssh: Guarded, sshd: Sshd, missing: str) -> None:
    behind_ssh.write(archive={"url": sshd.url(behind_ssh.archive), **sshd.settings, missing: None})

    refused = behind_ssh("init")

    assert (refused.exit_code, f"{missing}: found nothing" in refused.stderr) == (78, True)


def test_a_configuration_that_somebody_put_into_the_home_is_not_read(behind_ssh: Guarded, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".ssh/config").write_text(f"Host *\n  ProxyCommand touch {tmp_path}/obeyed\n")
    (home / ".ssh/config").chmod(0o600)

    made = subprocess.run(
        behind_ssh.argv("init"), env=behind_ssh.environment | {"HOME": str(home)}, capture_output=True, timeout=60
    )

    assert made.returncode == 0, made.stderr
    assert not (tmp_path / "obeyed").exists()


def test_a_key_that_is_not_let_in_is_named(behind_ssh: Guarded, sshd: Sshd) -> None:
    wrong = {**sshd.settings, "identity_file": str(sshd.keys / "another-client")}
    behind_ssh.write(archive={"url": sshd.url(behind_ssh.archive), **wrong})

    tried = behind_ssh("init")

    assert tried.exit_code == 1
    assert "Permission denied" in tried.stderr
    assert "is identity_file the right key" in tried.stderr
    assert "PRIVATE" not in tried.all_output


def test_a_folder_that_is_not_there_is_named(guarded: Guarded, sshd: Sshd) -> None:
    sshd.expect_host_key()
    guarded.write(archive={"url": sshd.url(guarded.folder / "nowhere"), **sshd.settings})

    tried = guarded("init")

    assert tried.exit_code == 1
    assert "nowhere" in tried.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ('echo Welcome; eval "$SSH_ORIGINAL_COMMAND"', 'writes "Welcome" to its standard output before a command'),
        ('printf Hello; eval "$SSH_ORIGINAL_COMMAND"', 'writes "Hello" to its standard output before a command'),
        ("internal-sftp", "and runs no command: an archive needs an account with a shell"),
        ("echo This account is not available; exit 1", 'writes "This account is not available" to its'),
        ("yes", 'writes "y y y'),
        ("exit 3", "exit status 3"),
    ],
    ids=["noise", "noise-in-line", "sftp-only", "no-login", "noise-without-end", "silent"],
)
def test_an_account_that_does_something_else_is_told_with_what_to_do(command: str, said: str, tmp_path: Path) -> None:
    with running_sshd(tmp_path / "sshd", f"ForceCommand {command}") as server, pytest.raises(StoreFailed) as told:
        store_at(server, tmp_path).stat("key")

    assert said in str(told.value)
    assert "-9" not in str(told.value).replace(str(tmp_path), "")  # pytest numbers its folders: one may be 90


def test_an_account_whose_noise_goes_to_standard_error_will_do(tmp_path: Path) -> None:
    command = 'echo Welcome >&2; eval "$SSH_ORIGINAL_COMMAND"'
    with running_sshd(tmp_path / "sshd", f"ForceCommand {command}") as server:
        assert store_at(server, tmp_path).stat("key") is None


def test_complaints_without_an_end_are_given_up(tmp_path: Path) -> None:
    command = 'case "$SSH_ORIGINAL_COMMAND" in *ready*) eval "$SSH_ORIGINAL_COMMAND";; *) yes oh no >&2;; esac'
    forced = f"ForceCommand {command}"
    with running_sshd(tmp_path / "sshd", forced) as server:
        store = store_at(server, tmp_path, seconds=30)
        with pytest.raises(StoreFailed, match="oh no oh no"):
            store.stat("key")
        assert _connections(server) != []

        del store

        wait_until(lambda: gc.collect() is not None and not _connections(server), "it outlives whoever made it")


def _connections(server: Sshd) -> list[bytes]:
    """Give the command lines of the clients that are connected."""
    port = f"\0-p\0{server.port}\0".encode()
    found = list[bytes]()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(file.read_bytes())
    return [one for one in found if one.startswith(b"ssh\0") and port in one]


def test_a_connection_that_drops_in_the_middle_leaves_nothing_and_the_next_try_works(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    with running_sshd(tmp_path / "sshd") as server:
        store = store_at(server, folder)
        assert store.stat("key") is None
        content = os.urandom(3 * 1024 * 1024)

        def dropping() -> Iterator[bytes]:
            yield content[:1024]
            # Before that its ssh may not have been taken in yet, and would connect by itself once it is refused.
            wait_until(lambda: [one for one in folder.glob(f"{names.PART}*") if one.stat().st_size])
            _drop_connections(server)
            yield content[1024:]

        wanted = StoredObject("key", len(content), "", datetime.now(UTC))
        with pytest.raises(StoreFailed, match="ssh"):
            store.put(wanted, dropping())
        assert store.stat("key") is None

        store.put(wanted, [content])
        assert store.sha256("key") == hashlib.sha256(content).hexdigest()


def _drop_connections(server: Sshd) -> None:
    """Kill what sshd forked for its connections, and not sshd."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True, timeout=10).stdout
    children: dict[int, list[int]] = {}
    for line in listed.splitlines():
        pid, parent = map(int, line.split())
        children.setdefault(parent, []).append(pid)
    for child in children.get(server.process.pid, []):
        for pid in [child, *children.get(child, [])]:
            with suppress(ProcessLookupError):  # one goes by itself once the one above it is gone
                os.kill(pid, signal.SIGKILL)


def test_a_machine_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    with running_sshd(tmp_path / "sshd") as server:
        store = store_at(server, folder, seconds=1)
        assert store.stat("key") is None
        os.kill(server.process.pid, signal.SIGSTOP)  # whoever connects anew waits
        fresh = store_at(server, folder, seconds=1)
        try:
            with pytest.raises(StoreFailed):
                fresh.stat("key")
        finally:
            os.kill(server.process.pid, signal.SIGCONT)


def test_a_hash_that_takes_long_over_there_is_waited_for_and_shows_signs_of_life(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sshd.expect_host_key()
    store, beats = store_at(sshd, tmp_path, seconds=1), list[int]()
    store.put(StoredObject("key", 7, "", datetime.now(UTC)), [b"content"])
    monkeypatch.setattr(scripts, "SHA256", f"sleep 3; {scripts.SHA256}")

    assert store.sha256("key", beats.append) == hashlib.sha256(b"content").hexdigest()

    assert len(beats) >= 3


def test_a_remote_disk_that_is_full_is_named_as_full_and_keeps_no_half(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    with (
        mounted(f"mount -t tmpfs -o size=1500k tmpfs {folder}") as namespace,
        running_sshd(tmp_path / "sshd", within=namespace) as server,
    ):
        store = store_at(server, folder)
        content = os.urandom(2 * 1024 * 1024)
        with pytest.raises(StoreFull):
            store.put(StoredObject("key", len(content), "", datetime.now(UTC)), [content])

        assert list(store.listing()) == []
        assert not list(namespace.path(folder).glob(".exodus-part*"))


def test_the_folder_of_a_connection_whose_process_was_killed_is_removed_and_that_of_a_live_one_is_not(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sshd.expect_host_key()
    with tempfile.TemporaryDirectory() as short:  # a socket's name may have a hundred bytes
        monkeypatch.setattr(tempfile, "tempdir", short)
        over, at_work, others = (Path(short) / f"exodus-ssh-{name}-x" for name in ("999999999", os.getpid(), "notes"))
        for folder in (over, at_work, others):
            folder.mkdir()

        assert store_at(sshd, tmp_path).stat("key") is None

        assert not over.exists()
        assert at_work.exists()
        assert others.exists()


def test_threads_share_one_connection(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    with running_sshd(tmp_path / "sshd") as server:
        store = store_at(server, folder, seconds=20)
        at = datetime.now(UTC)
        threads = [
            threading.Thread(target=lambda n=n: store.put(StoredObject(f"{n}", 1, "", at), [b"x"])) for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert {one.key for one in store.listing()} == {str(number) for number in range(20)}
        accepted = (tmp_path / "sshd/sshd.log").read_text().count("Accepted publickey")
        assert accepted == 1

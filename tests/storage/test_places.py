"""Store and archive are never one place, whatever they are called: it is asked of the places themselves."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exodus_common.errors import SettingsInvalid
from exodus_storage_guard.tiering.archive import MARK
from tests.parts.bucketed import keys_in
from tests.parts.guard import MIB, Guarded, sha256_of
from tests.parts.marks import on_sqlite
from tests.parts.mounts import mounted
from tests.parts.s3 import S3Server
from tests.parts.sshd import Sshd

pytestmark = on_sqlite


def small(guarded: Guarded, **tables: dict[str, Any]) -> dict[str, str]:
    """Fill a store above its high mark; give what is in it."""
    guarded.write(capacity={"total_bytes": "10 MiB"}, admission={"emergency_reserve": 0}, **tables)
    guarded.fill(9, oldest=400, newest=200)
    return {key: sha256_of(guarded.store / key) for key in guarded.stored()}


# --- folders ---


@pytest.mark.parametrize(
    "script",
    [
        "mount --bind store archive",
        "mkdir store/sub; mount --bind store/sub archive",
        "mkdir store/sub; mount --bind archive store/sub",
        "mkdir archive/sub; mount --bind archive/sub store",
        "mkdir archive/sub; mount --bind store archive/sub",
        "mkdir both; mount --bind both store; mount --bind store archive",
    ],
)
def test_folders_that_mounts_make_one_place_are_refused_and_left_as_they_are(script: str, guarded: Guarded) -> None:
    before = small(guarded)
    with mounted(f"cd {guarded.folder}; {script}") as namespace:
        refused = guarded.inside(namespace, "init")
        seen = [path.name for path in namespace.path(guarded.store).rglob("*") if path.is_file()]

    assert refused.exit_code == 78, refused.all_output
    assert "are one place, or lie in each other" in refused.stderr
    assert not [name for name in seen if name.startswith(".exodus")]
    assert {key: sha256_of(guarded.store / key) for key in before} == before


def test_folders_of_one_disk_that_are_mounted_apart_are_two_places(guarded: Guarded) -> None:
    small(guarded)
    script = f"cd {guarded.folder}; mkdir -p disk/a disk/b; cp -p store/* disk/a; "
    script += "mount --bind disk/a store; mount --bind disk/b archive"
    with mounted(script) as namespace:
        made, swept = guarded.inside(namespace, "init"), guarded.inside(namespace, "sweep", "--json")

    assert made.exit_code == 0, made.all_output
    assert swept.json["freed_bytes"] == 2 * MIB


def test_a_mount_that_comes_after_init_is_seen_before_anything_is_deleted(guarded: Guarded) -> None:
    before = small(guarded)
    guarded("init")
    shutil.copy(guarded.archive / MARK, guarded.store / MARK)  # as one disk in place of two would have it
    with mounted(f"mount --bind {guarded.store} {guarded.archive}") as namespace:
        refused = guarded.inside(namespace, "sweep", "--need", "9 MiB")

    assert refused.exit_code == 78, refused.all_output
    assert {key: sha256_of(guarded.store / key) for key in before} == before


def test_a_store_that_only_has_a_copy_of_the_archives_mark_is_another_place(guarded: Guarded) -> None:
    small(guarded)
    guarded("init")
    shutil.copy(guarded.archive / MARK, guarded.store / MARK)

    swept = guarded("sweep", "--json")

    assert swept.exit_code == 0, swept.all_output
    assert swept.json["freed_bytes"] >= 2 * MIB
    assert not list(guarded.archive.glob(".exodus-is-this*"))


def test_each_batch_can_look_whether_the_places_are_what_they_were(guarded: Guarded) -> None:
    small(guarded)
    guarded("init")
    run = guarded.run()
    run.check_places()

    guarded.archive.rename(guarded.folder / "unmounted")
    (guarded.folder / "archive").symlink_to(guarded.store)

    with pytest.raises(SettingsInvalid, match="one place"):
        run.check_places()


def test_an_archive_on_the_disk_that_is_measured_is_refused_and_warned_of(guarded: Guarded) -> None:
    guarded.write(capacity={"source": "filesystem", "total_bytes": None})
    refused = guarded("init")
    guarded.write()
    guarded("init")
    guarded.write(capacity={"source": "filesystem", "total_bytes": None})

    assert refused.exit_code == 78
    assert "archiving frees nothing there" in refused.stderr
    assert "archiving frees nothing there" in guarded("status").stdout


def test_an_archive_on_another_disk_than_the_one_that_is_measured_is_none_to_warn_of(guarded: Guarded) -> None:
    guarded.write(capacity={"source": "filesystem", "total_bytes": None})
    with mounted(f"mount -t tmpfs tmpfs {guarded.archive}") as namespace:
        made = guarded.inside(namespace, "init")
        told = guarded.inside(namespace, "status").stdout

    assert made.exit_code == 0, made.all_output
    assert "frees nothing" not in told


# --- behind ssh ---


def test_an_archive_behind_ssh_that_is_the_stores_own_folder_is_refused(guarded: Guarded, sshd: Sshd) -> None:
    sshd.expect_host_key()
    before = small(guarded, archive={"url": sshd.url(guarded.store), **sshd.settings})

    refused = guarded("init")

    assert refused.exit_code == 78, refused.all_output
    assert {name: sha256_of(guarded.store / name) for name in guarded.stored()} == before


@pytest.mark.parametrize("nested", ["archive in store", "store in archive"])
def test_an_archive_behind_ssh_that_lies_in_the_store_or_holds_it_is_refused(
    nested: str, guarded: Guarded, sshd: Sshd
) -> None:
    sshd.expect_host_key()
    folder = guarded.store / "old" if nested == "archive in store" else guarded.folder
    folder.mkdir(exist_ok=True)
    small(guarded, archive={"url": sshd.url(folder), **sshd.settings})

    refused = guarded("init")

    assert refused.exit_code == 78, refused.all_output
    assert not list(guarded.folder.rglob(".exodus-is-this*"))


# --- buckets ---

Tables = Callable[[str, str], dict[str, dict[str, Any]]]


@pytest.fixture
def named(tmp_path: Path, minio: S3Server) -> Tables:
    """Give settings of a store, and of an archive on the same server that is called otherwise."""
    keys = keys_in(tmp_path)

    def tables(store: str, archive: str) -> dict[str, dict[str, Any]]:
        other = f"http://localhost:{minio.port}"
        return {
            "store": {"url": f"s3://{store}", "endpoint": minio.endpoint, **keys},
            "archive": {"url": f"s3://{archive}", "endpoint": other, **keys},
        }

    return tables


@pytest.mark.parametrize(
    ("store", "archive"), [("", ""), ("", "/old"), ("/live", ""), ("/live", "/live/old"), ("/a/live", "/a")]
)
def test_a_bucket_under_two_names_is_one_place(
    store: str, archive: str, guarded: Guarded, named: Tables, minio: S3Server
) -> None:
    bucket = minio.bucket()
    path = guarded.put("x.apk", size=10)
    key = f"{store.removeprefix('/')}/x.apk".removeprefix("/")
    minio.client.fput_object(bucket, key, str(path))
    guarded.write(**named(f"{bucket}{store}", f"{bucket}{archive}"))

    refused = guarded("init")

    assert refused.exit_code == 78, refused.all_output
    left = [one.object_name or "" for one in minio.client.list_objects(bucket, recursive=True)]
    assert [name for name in left if not name.endswith(MARK)] == [key]


def test_two_buckets_of_one_server_under_two_names_are_two_places(
    guarded: Guarded, named: Tables, minio: S3Server
) -> None:
    guarded.write(**named(minio.bucket(), minio.bucket()))

    assert guarded("init").exit_code == 0
    assert guarded("sweep").exit_code == 0

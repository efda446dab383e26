"""MinIO's client in a platform, guarded: what it stores is within a reservation, and what was archived is read."""

import hashlib
import io
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import minio
import pytest
from minio.deleteobjects import DeleteError, DeleteObject
from minio.error import S3Error

from exodus_storage_guard import StorageGuard
from exodus_storage_guard.adapters import minio_objects
from exodus_storage_guard.adapters.gate import Gate
from exodus_storage_guard.adapters.minio import Minio
from exodus_storage_guard.adapters.room import HELD
from exodus_storage_guard.errors import StoreFailed, UploadRefused
from tests.parts.bucketed import Bucketed
from tests.parts.command import ROOT
from tests.parts.guard import MIB, Guarded, apk_key, sha256_of
from tests.parts.s3 import ACCESS_KEY, SECRET_KEY, S3Server


@pytest.fixture
def bucketed(tmp_path: Path, minio: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucketed]:
    """Give a bucket of 20 MiB, guarded, whose settings are those of this process."""
    found = Bucketed(tmp_path / "guard", server=minio, bucket=minio.bucket()).write(
        capacity={"total_bytes": "20 MiB"}, admission={"emergency_reserve": 0}
    )
    assert found("init").exit_code == 0
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EXODUS_STORAGE_GUARD_CONFIG", str(found.config))
    forget_settings()
    yield found
    forget_settings()


def forget_settings() -> None:
    """Have the client read them anew, as a new process does."""
    for cached in (minio_objects.gate, minio_objects._selected):
        cached.cache_clear()


@pytest.fixture
def client(bucketed: Bucketed) -> Minio:
    address = bucketed.server.endpoint.removeprefix("http://")
    return Minio(address, access_key=ACCESS_KEY, secret_key=SECRET_KEY, secure=False)


def file_of(folder: Path, size: int) -> str:
    path = folder / "one.apk"
    path.write_bytes(os.urandom(size))
    return str(path)


def counted(bucketed: Bucketed, key: str) -> int | None:
    entry = bucketed.run().catalogue.get(key)
    return entry.bytes if entry else None


def test_a_file_is_stored_within_a_reservation_of_its_own(client: Minio, bucketed: Bucketed, tmp_path: Path) -> None:
    client.fput_object(bucketed.bucket, apk_key(1), file_of(tmp_path, MIB))
    client.put_object(bucketed.bucket, apk_key(2), io.BytesIO(b"x" * 10), 10)

    assert (counted(bucketed, apk_key(1)), counted(bucketed, apk_key(2))) == (MIB, 10)
    assert bucketed.run().catalogue.reservations() == []


def test_what_has_no_room_is_not_stored(client: Minio, bucketed: Bucketed, tmp_path: Path) -> None:
    with pytest.raises(UploadRefused):
        client.fput_object(bucketed.bucket, apk_key(1), file_of(tmp_path, 21 * MIB))

    assert bucketed.contents() == {}


@pytest.mark.parametrize("key", ["icon.png", f"{apk_key(1)}.clist", "at-the-root.apk"])
def test_what_the_pattern_does_not_select_is_stored_however_full_it_is(
    key: str, client: Minio, bucketed: Bucketed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gate, "admit", nobody_is_asked)
    client.put_object(bucketed.bucket, key, io.BytesIO(b"x" * 10), 10)

    assert set(bucketed.contents()) == {key}


def nobody_is_asked(*asked: Any, **more: Any) -> None:
    raise AssertionError("nobody asked for an upload")


def test_what_is_stored_within_a_task_is_counted_when_that_ends_and_not_what_it_removed(
    client: Minio, bucketed: Bucketed, tmp_path: Path
) -> None:
    gate = Gate(bucketed.config)
    with gate.holding(gate.admit(MIB)):
        client.fput_object(bucketed.bucket, apk_key(1), file_of(tmp_path, 2 * MIB))
        client.put_object(bucketed.bucket, apk_key(2), io.BytesIO(b"x"), 1)
        client.remove_object(bucketed.bucket, apk_key(2))
        (held,) = bucketed.run().catalogue.reservations()

    assert held.bytes >= 2 * MIB, "it grew before the file was sent"
    assert (counted(bucketed, apk_key(1)), counted(bucketed, apk_key(2))) == (2 * MIB, None)
    assert HELD.get() is None


@pytest.mark.parametrize("is_held", [True, False])
def test_of_what_has_no_known_length_is_counted_what_was_read(is_held: bool, client: Minio, bucketed: Bucketed) -> None:
    gate = Gate(bucketed.config)
    with gate.holding(gate.admit(MIB)) if is_held else nullcontext():
        client.put_object(bucketed.bucket, apk_key(1), io.BytesIO(bytes(12 * MIB)), -1, part_size=5 * MIB)

    assert counted(bucketed, apk_key(1)) == 12 * MIB
    assert bucketed.run().catalogue.reservations() == []


def test_what_has_no_known_length_ends_where_its_room_does(client: Minio, bucketed: Bucketed) -> None:
    gate = Gate(bucketed.config)
    with pytest.raises(UploadRefused), gate.holding(gate.admit(MIB)):
        client.put_object(bucketed.bucket, apk_key(1), io.BytesIO(bytes(30 * MIB)), -1, part_size=5 * MIB)

    assert bucketed.contents() == {}
    assert counted(bucketed, apk_key(1)) is None
    assert bucketed.run().catalogue.reservations() == []


def test_what_is_removed_by_the_dozen_is_not_counted_and_what_stayed_is(
    client: Minio, bucketed: Bucketed, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(bucketed.config)
    with gate.holding(gate.admit(MIB)):
        for number in (1, 2, 3):
            client.put_object(bucketed.bucket, apk_key(number), io.BytesIO(bytes(10)), 10)
        assert list(client.remove_objects(bucketed.bucket, [DeleteObject(apk_key(1))])) == []
        stays = [DeleteError("AccessDenied", "no", apk_key(2), None)]
        monkeypatch.setattr(minio.Minio, "remove_objects", lambda *asked, **more: iter(stays))
        told = client.remove_objects(
            bucketed.bucket, delete_object_list=iter([DeleteObject(apk_key(2)), DeleteObject(apk_key(3))])
        )
        assert list(told) == stays

    assert [counted(bucketed, apk_key(number)) for number in (1, 2, 3)] == [None, 10, None]


def test_a_store_that_is_a_part_of_a_bucket_is_guarded_there_alone(client: Minio, bucketed: Bucketed) -> None:
    bucketed.write(
        store={"url": f"s3://{bucketed.bucket}/apks"},
        capacity={"total_bytes": "20 MiB"},
        admission={"emergency_reserve": 0},
        state={"url": f"sqlite:///{bucketed.folder}/state/of-a-part.db"},
        archive={"url": f"directory://{bucketed.folder}/archive-of-a-part"},
    )
    (bucketed.folder / "archive-of-a-part").mkdir()
    assert bucketed("init").exit_code == 0
    forget_settings()

    client.put_object(bucketed.bucket, f"apks/{apk_key(1)}", io.BytesIO(bytes(10)), 10)
    client.put_object(bucketed.bucket, apk_key(2), io.BytesIO(bytes(10)), 10)
    with pytest.raises(UploadRefused):
        client.put_object(bucketed.bucket, f"apks/{apk_key(3)}", io.BytesIO(bytes(21 * MIB)), 21 * MIB)

    assert (counted(bucketed, apk_key(1)), counted(bucketed, apk_key(2))) == (10, None)
    assert client.get_object(bucketed.bucket, f"apks/{apk_key(1)}").data == bytes(10)


def test_where_the_store_is_no_bucket_it_is_said_once_that_nothing_is_guarded(
    client: Minio, bucketed: Bucketed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EXODUS_STORAGE_GUARD_CONFIG", str(Guarded(tmp_path / "folders").write().config))
    forget_settings()

    for number in (1, 2):
        client.put_object(bucketed.bucket, apk_key(number), io.BytesIO(bytes(10)), 10)

    (said,) = [one.getMessage() for one in caplog.records if one.name.endswith("minio_objects")]
    assert "nothing is guarded" in said


def test_what_was_archived_is_read_as_if_the_store_had_it(client: Minio, bucketed: Bucketed) -> None:
    before = archive_some(bucketed)

    whole = client.get_object(bucketed.bucket, apk_key(0))
    streamed = b"".join(client.get_object(bucketed.bucket, apk_key(0)).stream(32 * 1024))
    kept = client.get_object(bucketed.bucket, apk_key(8)).data

    for key, content in ((apk_key(0), whole.data), (apk_key(0), streamed), (apk_key(8), kept)):
        assert hashlib.sha256(content).hexdigest() == before[key]
    assert whole.headers["Content-Type"] == "application/octet-stream"
    assert apk_key(0) not in bucketed.contents(), "the store is not refilled"


def test_what_was_archived_is_read_into_a_file_whole_or_not_at_all(
    client: Minio, bucketed: Bucketed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = archive_some(bucketed)
    target = tmp_path / "new/one.apk"

    told = client.fget_object(bucketed.bucket, apk_key(0), str(target))
    kept = client.fget_object(bucketed.bucket, apk_key(8), str(tmp_path / "kept.apk"))

    assert sha256_of(target) == before[apk_key(0)]
    assert (told.bucket_name, told.object_name, told.size) == (bucketed.bucket, apk_key(0), 2 * MIB)
    assert (kept.size, sha256_of(tmp_path / "kept.apk")) == (2 * MIB, before[apk_key(8)])
    target.unlink()
    monkeypatch.setattr(StorageGuard, "fetch", cut_short)
    with pytest.raises(StoreFailed):
        client.fget_object(bucketed.bucket, apk_key(0), str(target))
    with pytest.raises(S3Error):
        client.fget_object(bucketed.bucket, apk_key(77), str(target))
    assert list(target.parent.iterdir()) == []


def cut_short(guard: StorageGuard, key: str, file: BinaryIO) -> None:
    file.write(b"half")
    raise StoreFailed("it is cut short")


def archive_some(bucketed: Bucketed) -> dict[str, str]:
    """Store nine objects, and have the oldest archived; give them all."""
    for number in range(9):
        bucketed.put(apk_key(number), size=2 * MIB, days=400 - number)
    before = bucketed.contents()
    bucketed("sync")
    assert bucketed("sweep").exit_code == 0
    assert apk_key(0) not in bucketed.contents()
    return before


def test_minios_client_of_2024_reads_what_was_archived_and_counts_what_it_stores(bucketed: Bucketed) -> None:
    before = archive_some(bucketed)
    bucketed.command(f'#!/bin/sh\nexec {shlex.join(bucketed.argv())} "$@"\n')  # has an environment of its own
    done = subprocess.run(
        [ROOT / ".platforms/old/bin/python", "-P", "-c", AS_IN_2024, bucketed.server.endpoint, bucketed.bucket],
        env=bucketed.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [before[apk_key(0)], before[apk_key(0)], str(2 * MIB), *["NoSuchKey"] * 2]
    assert (counted(bucketed, apk_key(20)), counted(bucketed, apk_key(21))) == (10, None)


AS_IN_2024 = f"""
import hashlib, io, os, sys, tempfile
import minio
from exodus_storage_guard.adapters.gate import Gate
from exodus_storage_guard.adapters.minio import Minio

bucket = sys.argv[2]
assert minio.__version__.startswith("6."), minio.__version__
client = Minio(sys.argv[1].removeprefix("http://"), {ACCESS_KEY!r}, {SECRET_KEY!r}, secure=False)
print(hashlib.sha256(client.get_object(bucket, {apk_key(0)!r}).read()).hexdigest())
with tempfile.TemporaryDirectory() as folder:
    told = client.fget_object(bucket, {apk_key(0)!r}, folder + "/one.apk")
    print(hashlib.sha256(open(folder + "/one.apk", "rb").read()).hexdigest())
    print(told.size)
    for missing in ({apk_key(77)!r}, "no-such.png"):
        try:
            client.get_object(bucket, missing)
        except minio.error.NoSuchKey as error:
            print(type(error).__name__)
gate = Gate()
with gate.holding(gate.admit(1000)):
    client.put_object(bucket, {apk_key(20)!r}, io.BytesIO(bytes(10)), 10)
    client.put_object(bucket, {apk_key(21)!r}, io.BytesIO(bytes(10)), 10)
    assert list(client.remove_objects(bucket, objects_iter=[{apk_key(21)!r}])) == []
"""


@pytest.mark.parametrize("key", [apk_key(77), "no-such.png"])
def test_what_is_nowhere_is_missing_as_ever(key: str, client: Minio, bucketed: Bucketed) -> None:
    with pytest.raises(S3Error) as missing:
        client.get_object(bucketed.bucket, key)

    assert missing.value.code == "NoSuchKey"


def test_what_the_store_has_is_read_while_the_guard_is_broken(client: Minio, bucketed: Bucketed) -> None:
    bucketed.put(apk_key(1), size=10)
    bucketed.config.write_text("no settings")

    assert len(client.get_object(bucketed.bucket, apk_key(1)).data) == 10
    with pytest.raises(S3Error):
        client.get_object(bucketed.bucket, apk_key(2))
    with pytest.raises(UploadRefused):
        client.put_object(bucketed.bucket, apk_key(3), io.BytesIO(b"x"), 1)

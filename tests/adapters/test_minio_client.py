"""MinIO's client in a platform, guarded: what it stores is within a reservation, and what was archived is read."""

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from minio.error import S3Error

from exodus_storage_guard.adapters import minio as guarded_minio
from exodus_storage_guard.adapters.gate import Gate
from exodus_storage_guard.adapters.minio import Minio
from exodus_storage_guard.adapters.room import HELD
from exodus_storage_guard.errors import UploadRefused
from tests.parts.bucketed import Bucketed
from tests.parts.guard import MIB, apk_key
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
    for cached in (guarded_minio._gate, guarded_minio._selected):
        cached.cache_clear()
    yield found
    for cached in (guarded_minio._gate, guarded_minio._selected):
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


def test_what_was_archived_is_read_as_if_the_store_had_it(client: Minio, bucketed: Bucketed) -> None:
    for number in range(9):
        bucketed.put(apk_key(number), size=2 * MIB, days=400 - number)
    before = bucketed.contents()
    bucketed("sync")
    assert bucketed("sweep").exit_code == 0
    assert apk_key(0) not in bucketed.contents()

    whole = client.get_object(bucketed.bucket, apk_key(0))
    streamed = b"".join(client.get_object(bucketed.bucket, apk_key(0)).stream(32 * 1024))
    kept = client.get_object(bucketed.bucket, apk_key(8)).data

    for key, content in ((apk_key(0), whole.data), (apk_key(0), streamed), (apk_key(8), kept)):
        assert hashlib.sha256(content).hexdigest() == before[key]
    assert whole.headers["Content-Type"] == "application/octet-stream"
    assert apk_key(0) not in bucketed.contents(), "the store is not refilled"


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

"""Space on a MinIO: how it is measured, what does not come back, and what can never be freed."""

import io
import json
import os
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from minio import S3Error
from minio.commonconfig import COMPLIANCE, ENABLED
from minio.retention import Retention
from minio.versioningconfig import VersioningConfig

from exodus_common.clock import SystemClock
from exodus_storage_guard.admission import asking, reservations
from exodus_storage_guard.admission.control import NOBODY, AdmissionControl
from exodus_storage_guard.admission.sweeper import Sweeper
from exodus_storage_guard.errors import UploadRefused
from exodus_storage_guard.model import Need, Reservation, Total
from exodus_storage_guard.stores.s3.bucket import BucketDoor
from exodus_storage_guard.stores.s3.store import S3Store
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.tiering.sync import sync
from tests.parts.bucketed import Bucketed
from tests.parts.clocks import Jumped
from tests.parts.command import ROOT
from tests.parts.guard import MIB, Guarded, apk_key
from tests.parts.mounts import mounted
from tests.parts.s3 import ACCESS_KEY, SECRET_KEY, S3Server, running_minio
from tests.parts.waiting import holds_in_time


def tables(server: S3Server, bucket: str, folder: Path, **store: Any) -> dict[str, Any]:
    """Give the settings of a store in a bucket, with the keys in files."""
    (folder / "access-key").write_text(f"{ACCESS_KEY}\n")
    (folder / "secret-key").write_text(SECRET_KEY)
    keys = {"access_key_file": str(folder / "access-key"), "secret_key_file": str(folder / "secret-key")}
    usual = {"url": f"s3://{bucket}", "endpoint": server.endpoint, **keys, **store}
    return {"store": usual, "select": {"minimum_age_days": 0}}


def put(server: S3Server, bucket: str, key: str, size: int = MIB) -> None:
    server.client.put_object(bucket, key, io.BytesIO(os.urandom(size)), size)


def in_bucket(server: S3Server, bucket: str, *, versions: bool = False) -> list[str]:
    found = server.client.list_objects(bucket, recursive=True, include_version=versions)
    return [one.object_name or "" for one in found]


V2, V3 = "minio/v2/metrics/cluster", "minio/metrics/v3/cluster/health"


@pytest.mark.parametrize(
    ("path", "settings"),
    [
        (V2, {"source": "minio"}),
        (V3, {"source": "minio"}),
        (V2, {"source": "prometheus"}),
        (V3, {"source": "prometheus"}),
        (
            V2,
            {
                "source": "prometheus",
                "total_metric": 'minio_cluster_capacity_usable_total_bytes{{server="127.0.0.1:{port}"}}',
                "free_metric": "minio_cluster_capacity_usable_free_bytes",
            },
        ),
    ],
)
def test_capacity_comes_from_what_minio_tells_prometheus(
    path: str, settings: dict[str, str], tmp_path: Path, minio: S3Server
) -> None:
    guarded = Guarded(tmp_path)
    named = {name: value.format(port=minio.port) for name, value in settings.items()}
    guarded.write(
        **tables(minio, minio.bucket(), tmp_path),
        capacity={**named, "url": f"{minio.endpoint}/{path}", "total_bytes": None},
    )
    done = guarded("init")
    assert done.exit_code == 0, done.all_output

    found = guarded("status", "--json").json["capacity"]
    disk = os.statvfs(minio.folder)

    assert found["source"] == settings["source"]
    kept_for_root = disk.f_bfree - disk.f_bavail  # is no capacity, says MinIO
    assert found["total_bytes"] == (disk.f_blocks - kept_for_root) * disk.f_frsize
    assert abs(found["free_bytes"] - disk.f_bavail * disk.f_frsize) < 1024 * MIB


def test_a_minio_that_asks_for_a_token_is_measured_with_the_one_that_mc_prints(tmp_path: Path) -> None:
    with running_minio(tmp_path / "minio", MINIO_PROMETHEUS_AUTH_TYPE="jwt") as server:
        token = tmp_path / "token"
        guarded = Guarded(tmp_path)
        metrics = {"url": f"{server.endpoint}/{V2}", "token_file": str(token), "total_bytes": None}
        guarded.write(**tables(server, server.bucket(), tmp_path), capacity={"source": "prometheus", **metrics})
        token.write_text("another.one.x")
        refused = guarded("init")
        token.write_text(_bearer_token(server, tmp_path))

        assert guarded("init").exit_code == 0

    assert refused.exit_code == 1
    assert "HTTP 403; is token_file right?" in refused.stderr
    assert "another.one.x" not in refused.all_output


def _bearer_token(server: S3Server, folder: Path) -> str:
    host = f"http://{ACCESS_KEY}:{SECRET_KEY}@127.0.0.1:{server.port}"
    argv = [str(ROOT / ".go/bin/mc"), "--json", "admin", "prometheus", "generate", "ours"]
    known = os.environ | {"MC_HOST_ours": host, "MC_CONFIG_DIR": str(folder)}
    done = subprocess.run(argv, env=known, capture_output=True, check=True, timeout=30)
    return str(json.loads(done.stdout)["bearerToken"])


@pytest.mark.parametrize("source", ["minio", "prometheus"])
def test_an_admission_with_an_old_measurement_has_minio_asked_again_by_whoever_may(
    source: str, tmp_path: Path, minio: S3Server
) -> None:
    guarded = Guarded(tmp_path)
    capacity = {"source": source, "url": f"{minio.endpoint}/minio/v2/metrics/cluster", "total_bytes": None}
    guarded.write(**tables(minio, minio.bucket(), tmp_path), capacity=capacity, watermarks=NEVER_FULL)
    guarded("init")
    later = Jumped(timedelta(minutes=10))
    run = guarded.run(clock=later)

    with pytest.raises(UploadRefused, match="no measurement of the last 300 s"):
        reservations.admit(*_wanted(run, later, NOBODY))
    reservations.admit(*_wanted(run, later, Looks(run)))


NEVER_FULL = {"low": "97%", "high": "98%", "flood": "99%"}


@dataclass
class Looks:
    """Measure for others, as the command does."""

    run: Run

    def look(self) -> None:
        self.run.measure()

    def release(self, need: Need) -> None:
        raise AssertionError("there is room")

    def start_sweep(self, need: Need | None) -> bool:
        raise AssertionError("there is room")

    def fetch(self, key: str, target: BinaryIO) -> None:
        raise AssertionError("nobody reads")


def _wanted(run: Run, clock: SystemClock, room: Sweeper) -> tuple[AdmissionControl, Reservation]:
    desk = AdmissionControl(run.settings, run.catalogue, clock, room)
    return desk, asking.request(desk, 1, None)


@pytest.mark.parametrize(
    ("url", "said"),
    [("http://127.0.0.1:1/metrics", "does it answer?"), ("{endpoint}/minio/health/live", "are they the cluster's?")],
)
def test_metrics_that_cannot_be_had_are_named(url: str, said: str, tmp_path: Path, minio: S3Server) -> None:
    guarded = Guarded(tmp_path)
    capacity = {"source": "minio", "url": url.format(endpoint=minio.endpoint), "total_bytes": None}
    guarded.write(**tables(minio, minio.bucket(), tmp_path), capacity=capacity)

    tried = guarded("init")

    assert tried.exit_code == 1
    assert said in tried.stderr


def test_what_lies_in_minios_trash_is_on_its_way_and_nothing_more_is_deleted_for_it(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with (
        mounted(f"mount -t tmpfs -o size=1g tmpfs {disk}") as namespace,  # nobody else writes there
        running_minio(
            tmp_path / "minio", within=namespace, data=disk, MINIO_API_DELETE_CLEANUP_INTERVAL="1h"
        ) as server,
    ):
        bucket = server.bucket()
        for number in range(12):
            put(server, bucket, apk_key(number), 8 * MIB)
        guarded = Guarded(tmp_path / "guard")
        guarded.folder.mkdir()
        seen = namespace.path(disk)
        used = _used(seen)
        guarded.write(
            store=tables(server, bucket, guarded.folder)["store"],
            archive=None,  # it would lie on the same disk
            select={"action": "prune", "minimum_age_days": 0},
            capacity={"source": "filesystem", "path": str(seen), "total_bytes": None},
            # What init tries its rights with lies in the trash as well, some KiB.
            watermarks={"low": used - 23 * MIB, "high": used - 8 * MIB, "flood": used + 512 * MIB},
        )
        assert guarded("init").exit_code == 0

        first = guarded("sweep", "--json").json
        again = guarded("sweep", "--json").json

        assert first["freed_bytes"] == 24 * MIB
        assert again["freed_bytes"] == 0
        pending = guarded("status", "--json").json["pending_bytes"]
        assert 23 * MIB <= pending <= 25 * MIB  # MinIO writes a little of its own meanwhile
        assert _used(seen) >= used - MIB


def test_what_uploads_filled_again_before_anybody_looked_has_come_back(tmp_path: Path) -> None:
    disk, size = tmp_path / "disk", 13 * MIB // 2
    disk.mkdir()
    with (
        mounted(f"mount -t tmpfs -o size=400m tmpfs {disk}") as namespace,
        running_minio(
            tmp_path / "minio", within=namespace, data=disk, MINIO_API_DELETE_CLEANUP_INTERVAL="1h"
        ) as server,
    ):

        def purge() -> None:
            namespace.sh(f"rm -rf {disk}/.minio.sys/tmp/.trash/*")

        bucketed = Bucketed(tmp_path / "guard", server=server, bucket=server.bucket()).write(
            capacity={"source": "filesystem", "path": str(namespace.path(disk)), "total_bytes": None},
            watermarks={"low": "74%", "high": "85%", "flood": "95%"},
            admission={"emergency_reserve": "1 MiB"},
        )

        def is_admitted_once_it_is_purged() -> bool:
            purge()  # MinIO moves to its trash by and by
            return bucketed("admit", "--bytes", "30 MiB").exit_code == 0

        bucketed.nobody_makes_room()
        for number in range(58):
            bucketed.put(apk_key(number), size=size)
        assert bucketed("init").exit_code == 0
        swept = bucketed("sweep", "--json").json
        assert 80 * MIB < bucketed("status", "--json").json["pending_bytes"] <= swept["freed_bytes"]

        purge()
        for number in range(60, 72):
            admitted = bucketed("admit", "--bytes", str(size), "--key", apk_key(number))
            bucketed.put(apk_key(number), size=size, days=0)
            assert bucketed("commit", admitted.stdout.strip()).exit_code == 0
        assert bucketed("status", "--json").json["capacity"]["used_bytes"] > 360 * MIB

        assert len(bucketed("plan", "--json").json["objects"]) >= 10
        assert len(bucketed("plan", "--need", "30 MiB", "--json").json["objects"]) >= 2
        needed = bucketed("sweep", "--need", "30 MiB", "--json").json
        assert needed["freed_bytes"] >= needed["need_bytes"] > 0
        assert bucketed("admit", "--bytes", "30 MiB").exit_code == 75  # it lies in the trash by now
        in_time = holds_in_time(is_admitted_once_it_is_purged)
        assert in_time, f"{needed} {bucketed('status').all_output} {bucketed('admit', '--bytes', '30 MiB').all_output}"
        assert bucketed("sweep", "--json").json["freed_bytes"] >= 10 * MIB


def _used(path: Path) -> int:
    found = os.statvfs(path)
    return (found.f_blocks - found.f_bavail) * found.f_frsize


def test_in_a_versioned_bucket_exactly_the_version_that_was_proven_goes(tmp_path: Path, minio: S3Server) -> None:
    bucket = minio.bucket()
    minio.client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    keys = [apk_key(number) for number in range(97)]
    for key in keys:
        put(minio, bucket, key, 1024)
    guarded = Guarded(tmp_path)
    guarded.write(
        **tables(minio, bucket, tmp_path), capacity={"total_bytes": "100 KiB"}, admission={"emergency_reserve": 0}
    )
    guarded("init")

    swept = guarded("sweep", "--json")

    assert swept.exit_code == 0, swept.all_output
    assert len(in_bucket(minio, bucket)) == 75
    assert len(in_bucket(minio, bucket, versions=True)) == 75  # nor does a marker stay
    assert len(guarded.archived()) == 22


def test_an_object_with_older_versions_is_not_freeable_and_that_is_said(tmp_path: Path, minio: S3Server) -> None:
    bucket = minio.bucket()
    minio.client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    keys = [apk_key(number) for number in range(4)]
    for key in keys:
        put(minio, bucket, key)
        put(minio, bucket, key)
    guarded = Guarded(tmp_path)
    guarded.write(
        **tables(minio, bucket, tmp_path), capacity={"total_bytes": "4 MiB"}, admission={"emergency_reserve": 0}
    )
    guarded("init")

    swept = guarded("sweep", "--json")
    planned = guarded("plan", "--json")

    assert swept.exit_code == 1
    assert "has 2 versions" in swept.json["reason"]
    assert sorted(in_bucket(minio, bucket)) == sorted(keys)
    assert len(in_bucket(minio, bucket, versions=True)) == 8
    assert planned.json["objects"] == []
    assert [one["reason"] for one in planned.json["kept"]] == [
        "not freeable: older versions, a lock or a hold of the store's own"
    ]


def test_a_locked_object_is_not_freeable_and_that_is_said(tmp_path: Path, minio: S3Server) -> None:
    bucket = minio.bucket()
    minio.client.remove_bucket(bucket)
    minio.client.make_bucket(bucket, object_lock=True)
    keys = [apk_key(number) for number in range(4)]
    until = SystemClock().now().replace(year=2030)
    for key in keys:
        content = io.BytesIO(os.urandom(MIB))
        minio.client.put_object(bucket, key, content, MIB, retention=Retention(COMPLIANCE, until))
    guarded = Guarded(tmp_path)
    guarded.write(
        **tables(minio, bucket, tmp_path), capacity={"total_bytes": "4 MiB"}, admission={"emergency_reserve": 0}
    )
    guarded("init")

    swept = guarded("sweep", "--json")

    assert swept.exit_code == 1
    assert "lock" in swept.json["reason"].lower() or "WORM" in swept.json["reason"]
    assert sorted(in_bucket(minio, bucket)) == sorted(keys)
    assert guarded("plan", "--json").json["objects"] == []


@pytest.mark.parametrize("kind", ["minio", "versitygw"])
def test_uploads_that_nobody_finished_are_named_and_nothing_is_deleted_for_them(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server: S3Server = request.getfixturevalue(kind)
    bucket = server.bucket()
    put(server, bucket, apk_key(1))
    server.begin_upload(bucket, "upload.apk", parts=3)
    guarded = Guarded(tmp_path)
    guarded.write(
        **tables(server, bucket, tmp_path), capacity={"total_bytes": "10 MiB"}, admission={"emergency_reserve": 0}
    )
    guarded("init")
    at_once = guarded("plan", "--need", "20 MiB", "--json").json["kept"]

    sync(guarded.run(clock=Jumped(timedelta(hours=2))))

    later = guarded("plan", "--need", "10 MiB", "--json").json
    assert at_once == []
    assert later["kept"] == [
        {"reason": "not freeable: uploads in parts that nobody has finished", "count": 1, "bytes": 15 * MIB}
    ]
    assert "15.0 MiB in 1 not freeable: uploads in parts" in later["reason"]
    assert "1 uploads in parts that nobody has finished hold 15.0 MiB" in guarded("status").stdout
    assert guarded("sweep").exit_code == 0
    assert in_bucket(server, bucket) == [apk_key(1)]
    assert [one.name for one in BucketDoor(server.access(), bucket).unfinished()] == ["upload.apk"]


@pytest.mark.parametrize("kind", ["minio", "versitygw"])
def test_uploads_to_an_archive_that_nobody_finished_are_given_up_and_those_of_others_are_not(
    kind: str, request: pytest.FixtureRequest
) -> None:
    server: S3Server = request.getfixturevalue(kind)
    bucket = server.bucket()
    server.begin_upload(bucket, "ours/a b%2F.apk")
    server.begin_upload(bucket, "theirs/upload.apk")
    archive, now = S3Store(BucketDoor(server.access(), bucket), "ours/"), SystemClock().now()

    assert archive.discard_unfinished(now - timedelta(hours=1)) == 0
    assert archive.discard_unfinished(now + timedelta(hours=1)) == 1

    assert archive.unfinished(now + timedelta(hours=1)) == Total()
    left = [one for one in BucketDoor(server.access(), bucket).unfinished() if not one.name.startswith("ours/")]
    assert [one.name for one in left] == ["theirs/upload.apk"]


@pytest.mark.full  # it renews its figures once a minute
def test_a_minio_whose_disk_is_really_full_is_swept_and_takes_uploads_again(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with (
        mounted(f"mount -t tmpfs -o size=300m tmpfs {disk}") as namespace,
        running_minio(tmp_path / "minio", within=namespace, data=disk) as server,
    ):
        bucketed = Bucketed(tmp_path / "guard", server=server, bucket=server.bucket())
        metrics = f"{server.endpoint}/minio/v2/metrics/cluster"
        bucketed.write(
            capacity={"source": "minio", "url": metrics, "total_bytes": None}, admission={"emergency_reserve": "1 MiB"}
        )
        with pytest.raises(S3Error, match=r"XMinioStorageFull|no space left"):  # as it has noticed
            _fill_up(bucketed)
        before = bucketed.contents()
        assert bucketed("init").exit_code == 0

        refused = bucketed("admit", "--bytes", "20 MiB", "--json")
        admitted = bucketed("admit", "--bytes", "20 MiB", "--wait", "150", "--json", timeout=180)

        assert refused.exit_code == 75
        assert admitted.exit_code == 0, admitted.all_output
        bucketed.put("upload.apk", size=20 * MIB)
        now = bucketed.contents()
        now.pop("upload.apk")
        assert now | bucketed.archived() == before


def _fill_up(bucketed: Bucketed) -> None:
    for number in range(100):
        bucketed.put(apk_key(number), size=8 * MIB, days=400 - number)

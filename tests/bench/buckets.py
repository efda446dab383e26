"""Measure the storage half on MinIO, side by side in one run: moving, releasing, listing, admitting by PostgreSQL.

Run as `make bench`, or `tests/bench/buckets.py --quick` for a tenth of everything; large, small, release, sync, share
and admit name parts. What moves, large or small, is compared with `mc mirror` and `mc rm`, and with `rclone move`;
neither of them proves a copy by its hash.
"""

import hashlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "hooks")]

from minio.deleteobjects import DeleteObject  # noqa: E402 - after the path is set

from tests.bench.admissions import admitting  # noqa: E402
from tests.bench.storage import high_water, shown, timed  # noqa: E402
from tests.parts.bucketed import QUERY, keys_in  # noqa: E402
from tests.parts.guard import Guarded, apk_key  # noqa: E402
from tests.parts.postgresql import Postgresql, make_cluster, running_postgresql  # noqa: E402
from tests.parts.s3 import S3Server, running_minio  # noqa: E402

_SCALE = 10 if "--quick" in sys.argv else 1
_ROUNDS = 3
_MC = str(ROOT / ".go/bin/mc")
_RCLONE = str(ROOT / ".venv/bin/rclone")
Targets = dict[str, Callable[[], Any]]


def main() -> None:
    """Print every figure, or those of the parts that are named."""
    wanted = [part for part in PARTS if part in sys.argv[1:]] or list(PARTS)
    with tempfile.TemporaryDirectory(prefix="exodus-bench-", dir="/var/tmp") as folder:
        place = Path(folder)
        with running_minio(place / "minio", MINIO_API_DELETE_CLEANUP_INTERVAL="1s") as server:
            for part in wanted:
                PARTS[part](server, place)


def large(server: S3Server, place: Path) -> None:
    move(server, place, 200 // _SCALE, 20_000_000)


def small(server: S3Server, place: Path) -> None:
    move(server, place, 5_000 // _SCALE, 20_000)


def move(server: S3Server, place: Path, count: int, size: int) -> None:
    print("archive + verify + delete, seconds (median of 3, spread), from a bucket of MinIO:")
    for kind in ("bucket", "directory"):
        moving(server, place / "work", kind, count, size)


def release(server: S3Server, place: Path) -> None:
    releasing(server, place / "release", 5_000 // _SCALE)


def sync(server: S3Server, place: Path) -> None:
    listing(server, place / "listing", 100_000 // _SCALE)


def share(server: S3Server, place: Path) -> None:
    with running_postgresql(make_cluster(place / "cluster"), durable=True) as cluster:
        sharing(server, cluster, place / "shared", 100 // _SCALE, 20_000_000)


def admit(server: S3Server, place: Path) -> None:
    print("admit with room and the catalogue in PostgreSQL, milliseconds:")
    with running_postgresql(make_cluster(place / "admitting"), durable=True) as cluster:
        for count in (1_000, 1_000_000 // _SCALE):
            admitting(place / f"admit{count}", count, cluster.database())


PARTS: dict[str, Callable[[S3Server, Path], None]] = {
    "large": large,
    "small": small,
    "release": release,
    "sync": sync,
    "share": share,
    "admit": admit,
}


def guarded_on(server: S3Server, folder: Path, bucket: str, low: str = "0%", **tables: Any) -> Guarded:
    """Give a guard over a bucket that sweeps all there is."""
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    folder.mkdir(parents=True)
    store = {"url": f"s3://{bucket}", "endpoint": server.endpoint, "region": "us-east-1", **keys_in(folder)}
    return Guarded(folder).write(
        store=store,
        capacity={"total_bytes": "1 TiB"},
        admission={"emergency_reserve": 0},
        select={"minimum_age_days": 0},
        watermarks={"low": low, "high": "90%", "flood": "95%"},
        **tables,
    )


def fill(server: S3Server, bucket: str, count: int, size: int, platform: Path | None = None) -> None:
    """Put objects into a bucket; with `platform` a database records the SHA-256 of each, as Exodus' has it."""
    content, client = os.urandom(size), server.client

    def put(number: int) -> tuple[str, str]:
        key, whole = apk_key(number), number.to_bytes(8) + content[8:]
        client.put_object(bucket, key, BytesIO(whole), size)
        return key, "" if platform is None else hashlib.sha256(whole).hexdigest()

    with ThreadPoolExecutor(8) as threads:
        put_there = list(threads.map(put, range(count)))
    if platform is not None:
        with closing(sqlite3.connect(platform)) as connection, connection:
            connection.execute("DROP TABLE IF EXISTS apk")
            connection.execute("CREATE TABLE apk (name TEXT PRIMARY KEY, created_at TEXT, sha256 TEXT)")
            connection.executemany("INSERT INTO apk VALUES (?, '2025-01-01', ?)", put_there)


def empty(server: S3Server, bucket: str) -> None:
    names = [DeleteObject(one.object_name or "") for one in server.client.list_objects(bucket, recursive=True)]
    assert not list(server.client.remove_objects(bucket, names))


def archive_in(server: S3Server, bucket: str, folder: Path) -> dict[str, Any]:
    keys = {f"{one}_key_file": str(folder / f"{one}-key") for one in ("access", "secret")}
    return {"archive": {"url": f"s3://{bucket}", "endpoint": server.endpoint, "region": "us-east-1", **keys}}


def recorded_in(platform: Path) -> dict[str, Any]:
    return {"records": {"url": f"sqlite:///{platform}", "query": QUERY}}


@dataclass(frozen=True)
class Others:
    """Move everything from one bucket to another, or to a folder, as people do without us."""

    server: S3Server
    folder: Path
    store: str
    archive: str | None

    @property
    def there(self) -> Path:
        return self.folder / "there"

    def mc(self) -> None:
        target = f"here/{self.archive}" if self.archive else str(self.there)
        self._called(_MC, "--quiet", "mirror", f"here/{self.store}", target)
        self._called(_MC, "--quiet", "rm", "--recursive", "--force", f"here/{self.store}")

    def rclone(self) -> None:
        self._called(_RCLONE, "move", f"here:{self.store}", f"here:{self.archive}" if self.archive else str(self.there))

    def _called(self, *argv: str) -> None:
        server = self.server
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "MC_HOST_here": f"http://{server.access_key}:{server.secret_key}@127.0.0.1:{server.port}",
            "RCLONE_CONFIG_HERE_TYPE": "s3",
            "RCLONE_CONFIG_HERE_PROVIDER": "Minio",
            "RCLONE_CONFIG_HERE_ENDPOINT": server.endpoint,
            "RCLONE_CONFIG_HERE_ACCESS_KEY_ID": server.access_key,
            "RCLONE_CONFIG_HERE_SECRET_ACCESS_KEY": server.secret_key,
        }
        subprocess.run(argv, env=environment, check=True, capture_output=True, timeout=3600)


def moving(server: S3Server, folder: Path, kind: str, count: int, size: int) -> None:
    archive, platform = server.bucket(), folder.with_name("platform.db")
    others = Others(server, folder, server.bucket(), archive if kind == "bucket" else None)
    memory = 0

    def by_us() -> None:
        nonlocal memory
        memory = max(memory, high_water(guarded, "sweep", "--quiet"))

    runs = {"ours": by_us, "ours by the platform's records": by_us, "mc": others.mc, "rclone": others.rclone}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(_ROUNDS):
        for name, work in runs.items():
            empty(server, archive)
            fill(server, others.store, count, size, platform)
            tables = archive_in(server, archive, folder) if kind == "bucket" else {}
            tables |= recorded_in(platform) if "records" in name else {}
            guarded = guarded_on(server, folder, others.store, **tables)
            others.there.mkdir(exist_ok=True)
            if work is by_us:
                assert guarded("init", timeout=600).exit_code == 0
            seconds[name].append(timed(work))
            assert not list(server.client.list_objects(others.store, recursive=True))
    print(f"  {count} of {size} bytes to a {kind}; memory {memory / 1024:.0f} MB:")
    for name, found in seconds.items():
        print(f"    {name:31} {shown(found)}", flush=True)


def releasing(server: S3Server, folder: Path, count: int) -> None:
    bucket, rates, bare = server.bucket(), list[float](), list[float]()
    for _ in range(_ROUNDS):
        fill(server, bucket, count, 1_000)
        guarded = guarded_on(server, folder, bucket, low="75%", sweep={"premigrate": "100%"})
        assert guarded("init", timeout=600).exit_code == 0
        assert guarded("sweep", timeout=600).exit_code == 0
        begin = time.perf_counter()
        done = guarded("sweep", "--need", "1 TiB", "--premigrated-only", timeout=600)
        rates.append(count / (time.perf_counter() - begin))
        assert not list(server.client.list_objects(bucket, recursive=True)), done.all_output
        fill(server, bucket, count, 1_000)
        names = [DeleteObject(apk_key(number)) for number in range(count)]
        bare.append(count / timed(partial(_removed_bare, server, bucket, names)))
    print("release of what is premigrated, looked at again and seen to be gone, objects a second:")
    print(f"  ours {shown(rates)}   bare DeleteObjects {shown(bare)}", flush=True)


def _removed_bare(server: S3Server, bucket: str, names: list[DeleteObject]) -> None:
    list(server.client.remove_objects(bucket, names))


def sharing(server: S3Server, cluster: Postgresql, folder: Path, count: int, size: int) -> None:
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(_ROUNDS):
        for many in found:
            bucket = server.bucket()
            fill(server, bucket, count, size)
            guarded = guarded_on(server, folder, bucket, state={"url": cluster.database()})
            assert guarded("init", timeout=600).exit_code == 0
            found[many].append(timed(partial(_at_once, guarded, many)))
            assert not list(server.client.list_objects(bucket, recursive=True))
    print(f"sweeping processes at once, {count} of {size} bytes to a directory, seconds:")
    print(f"  one {shown(found[1])}   two {shown(found[2])}", flush=True)


def _at_once(guarded: Guarded, many: int) -> None:
    for run in [guarded.start("sweep", "--quiet") for _ in range(many)]:
        said = run.communicate(timeout=3600)
        assert run.returncode == 0, said


def listing(server: S3Server, folder: Path, count: int) -> None:
    bucket = server.bucket()
    fill(server, bucket, count, 100)
    guarded = guarded_on(server, folder, bucket)
    assert guarded("init", timeout=600).exit_code == 0
    ours, theirs, memory = list[float](), list[float](), 0
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    environment["MC_HOST_here"] = f"http://{server.access_key}:{server.secret_key}@127.0.0.1:{server.port}"
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        memory = max(memory, high_water(guarded, "sync", "--quiet"))
        ours.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        argv = [_MC, "ls", "--recursive", f"here/{bucket}"]
        subprocess.run(argv, env=environment, check=True, capture_output=True, timeout=3600)
        theirs.append(time.perf_counter() - begin)
    print(f"sync of {count:,} objects, seconds:")
    print(f"  ours {shown(ours)}   mc ls --recursive {shown(theirs)}   memory {memory / 1024:.0f} MB", flush=True)


if __name__ == "__main__":
    main()

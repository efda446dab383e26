"""The story of 2019 and the faults of servers, on MinIO and versitygw, with archives and catalogues of every kind."""

import hashlib
import json
import os
import socket
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from minio import Minio, MinioAdmin
from minio.commonconfig import ENABLED
from minio.credentials.providers import StaticProvider
from minio.versioningconfig import VersioningConfig

from exodus_common.clock import SystemClock
from exodus_storage_guard.errors import NotFreeable, ObjectChanged, StoreFailed
from exodus_storage_guard.model import Entry, ObjectState, StoredObject
from exodus_storage_guard.stores.contract import Chunks, Store, nobody
from exodus_storage_guard.stores.s3 import store as s3
from exodus_storage_guard.stores.s3.bucket import BucketDoor, Found
from exodus_storage_guard.stores.s3.pool import Access
from exodus_storage_guard.stores.s3.ranges import Page, Range
from exodus_storage_guard.stores.s3.store import S3Store
from exodus_storage_guard.tiering.archive import Archive
from exodus_storage_guard.tiering.bandwidth import Flow
from exodus_storage_guard.tiering.copying import Copier, CopyDiffers
from tests.parts.bucketed import KINDS, Bucketed, Kind, bucketed_of, keys_in
from tests.parts.command import ROOT
from tests.parts.guard import MIB, apk_key
from tests.parts.proxy import MODES, Proxy, proxy_to
from tests.parts.s3 import S3Server, running_minio
from tests.parts.waiting import wait_until

PAIRS = {
    Kind("minio", "s3", "sqlite"),
    Kind("minio", "same-server", "sqlite"),
    Kind("minio", "ssh", "postgresql"),
    Kind("versitygw", "directory", "postgresql"),
}


@pytest.fixture(
    params=[pytest.param(one, marks=() if one in PAIRS else pytest.mark.full, id="-".join(one)) for one in KINDS]
)
def bucketed(request: pytest.FixtureRequest, tmp_path: Path) -> Bucketed:
    """Give a store in a bucket with an archive of each kind and a catalogue of each."""
    return bucketed_of(request.param, tmp_path, request.getfixturevalue)


def test_the_story_of_2019(bucketed: Bucketed) -> None:
    bucketed.write(watermarks={"high": "95%"}, select={"minimum_age_days": 0.5})
    keys = bucketed.fill(97)
    for name in ("fdroid_index.xml", f"{keys[0]}.clist", "upload.apk"):
        bucketed.put(name, size=10)
    before = bucketed.contents()
    assert bucketed("init").exit_code == 0

    full = bucketed("admit", "--bytes", "5 MiB", "--json")
    admitted = bucketed("admit", "--bytes", "5 MiB", "--wait", "60", "--json")

    assert full.exit_code == 75
    assert full.json["retry_after_seconds"] >= 1
    assert admitted.exit_code == 0, admitted.all_output
    archived = bucketed.archived()
    assert 7 <= len(archived) <= 8
    assert archived == {key: before[key] for key in keys[: len(archived)]}
    assert bucketed.stored() == set(before) - set(archived)

    bucketed("release", admitted.json["reservation"])
    bucketed.write(capacity={"total_bytes": "200 MiB"})
    restored = bucketed("restore", *archived, "--json")

    assert restored.exit_code == 0, restored.all_output
    assert bucketed.contents() == before
    found = bucketed.server.client.stat_object(bucketed.bucket, keys[0])
    assert found.content_type == "application/vnd.android.package-archive"
    assert found.metadata is not None
    assert found.metadata["x-amz-meta-handle"] == "org.example"
    assert bucketed("verify").exit_code == 0
    assert bucketed("sync", "--json").json["changes"] == {}


def test_a_catalogue_that_was_lost_is_made_anew(bucketed: Bucketed) -> None:
    bucketed.fill(97, newest=181)
    assert bucketed("init").exit_code == 0
    assert bucketed("sweep").exit_code == 0
    states = bucketed.states()
    bucketed.lose_catalogue()

    rebuilt = bucketed("rebuild")

    assert rebuilt.exit_code == 0, rebuilt.all_output
    assert bucketed.states() == states == {"resident": 75, "archived": 22}


def test_an_etag_of_several_parts_comes_back_with_the_object(tmp_path: Path, minio: S3Server) -> None:
    bucketed = Bucketed(tmp_path, server=minio, bucket=minio.bucket())
    bucketed.write(capacity={"total_bytes": "40 MiB"}, admission={"emergency_reserve": 0})
    keys = [apk_key(1), apk_key(2)]
    bucketed.put(keys[0], size=23 * MIB)
    bucketed.put(keys[1], size=12 * MIB)
    before = {key: minio.client.stat_object(bucketed.bucket, key).etag for key in keys}
    bucketed("init")
    assert bucketed("sweep", "--need", "39 MiB").exit_code == 1  # not all of it is there
    assert bucketed.stored() == set()

    bucketed.write(capacity={"total_bytes": "100 MiB"})
    assert bucketed("restore", *keys).exit_code == 0

    assert {key: minio.client.stat_object(bucketed.bucket, key).etag for key in keys} == before
    assert (before[keys[0]] or "").endswith("-5")


def test_one_server_copies_by_itself_and_only_what_was_looked_at(minio: S3Server, versitygw: S3Server) -> None:
    for server in (minio, versitygw):
        store, archive = (S3Store(BucketDoor(server.access(), server.bucket()), "") for _ in range(2))
        wanted = StoredObject("key", 7, "", datetime.now(UTC), "text/plain", {"handle": "org.example"})
        stored = store.put(wanted, [b"content"])

        with pytest.raises(ObjectChanged):
            archive.take(store, replace(stored, etag="another"), "copy")
        assert list(archive.listing()) == []
        assert archive.take(store, stored, "copy") == store.stat("key")

        with archive.open("copy") as (found, chunks):
            assert b"".join(chunks) == b"content"
        assert (found.content_type, found.metadata["handle"]) == ("text/plain", "org.example")
        elsewhere = S3Store(BucketDoor(server.access(access_key="another"), server.bucket()), "")
        assert not elsewhere.take(store, stored, "copy")


def test_what_is_too_large_for_a_server_to_copy_goes_through_us(
    minio: S3Server, versitygw: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_MOST_COPIED_BYTES", 6)
    for server in (minio, versitygw):
        store = S3Store(BucketDoor(server.access(), server.bucket()), "")
        wanted = StoredObject("key", 7, "", datetime.now(UTC), "text/plain", {"handle": "org.example"})
        stored = store.put(wanted, [b"content"])

        assert store.take(store, stored, "copy") is None
        store.move("key", "moved")

        assert [one.key for one in store.listing()] == ["moved"]
        with store.open("moved") as (found, chunks):
            assert b"".join(chunks) == b"content"
        assert (found.content_type, found.metadata["handle"]) == ("text/plain", "org.example")


def test_what_cannot_be_deleted_is_not_copied_either_when_it_is_moved(minio: S3Server) -> None:
    bucket = minio.bucket()
    minio.client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    store = S3Store(BucketDoor(minio.access(), bucket), "")
    wanted = StoredObject("key", 7, "", datetime.now(UTC))
    store.put(wanted, [b"content"])
    store.move("key", "moved")
    assert [one.key for one in store.listing()] == ["moved"]
    store.write_small("moved", b"another")

    with pytest.raises(NotFreeable, match="2 versions"):
        store.move("moved", "elsewhere")

    assert [one.key for one in store.listing()] == ["moved"]


def test_one_object_that_nobody_answers_for_is_told_and_a_dead_server_fails_as_a_whole(
    minio: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = BucketDoor(minio.access(), minio.bucket())
    store = S3Store(door, "")
    for key in ("first", "broken"):
        store.put(StoredObject(key, 7, "", datetime.now(UTC)), [b"content"])
    usual = door.head

    def head(name: str) -> Found | None:
        if name == "broken":
            raise StoreFailed("InternalError")
        return usual(name)

    monkeypatch.setattr(door, "head", head)

    looks = store.stat_all(["first", "broken", "never-there"])
    assert set(looks.found) == {"first"}
    assert {key: str(error) for key, error in looks.failed.items()} == {"broken": "InternalError"}

    dead = BucketDoor(minio.access(endpoint="http://127.0.0.1:1"), "bucket")
    with pytest.raises(StoreFailed):
        S3Store(dead, "").stat_all(["first"])


class Questioned(BucketDoor):
    """A door that counts what is asked: pages, and single objects."""

    pages = heads = 0

    def page(self, wanted: Range, token: str | None) -> Page:
        self.pages += 1
        return super().page(wanted, token)

    def head(self, name: str) -> Found | None:
        self.heads += 1
        return super().head(name)


def test_a_batch_that_was_deleted_is_seen_to_be_gone_by_one_page_of_a_listing(
    minio: S3Server, versitygw: S3Server
) -> None:
    for server in (minio, versitygw):
        door = Questioned(server.access(), server.bucket())
        store = S3Store(door, "")
        stored = [store.put(StoredObject(apk_key(number), 1, "", datetime.now(UTC)), [b"x"]) for number in range(100)]
        door.heads = 0

        assert store.delete_all(stored[:90]) == {}
        assert store.present([one.key for one in stored[:95]]) == {one.key for one in stored[90:95]}

        assert (door.pages, door.heads) == (1, 90), "each was looked at before it was deleted"


def test_an_object_that_was_placed_beside_the_gateway_has_no_identity_and_is_not_deleted(versitygw: S3Server) -> None:
    bucket = versitygw.bucket()
    store = S3Store(BucketDoor(versitygw.access(), bucket), "")
    (versitygw.folder / "data" / bucket / "key").write_bytes(b"content")
    (placed,) = store.listing()
    assert not placed.etag
    plain = store.put(StoredObject("plain", 7, "", datetime.now(UTC)), [b"content"])

    failed = store.delete_all([placed, plain])

    assert list(failed) == ["key"]
    assert isinstance(failed["key"], NotFreeable)
    assert "has no ETag" in str(failed["key"])
    assert [one.key for one in store.listing()] == ["key"]


def test_an_object_whose_etag_is_the_same_and_whose_time_is_not_is_another(
    minio: S3Server, versitygw: S3Server
) -> None:
    for server in (minio, versitygw):
        store = S3Store(BucketDoor(server.access(), server.bucket()), "")
        stored = store.put(StoredObject("key", 7, "", datetime.now(UTC)), [b"content"])
        earlier = replace(stored, last_modified=stored.last_modified - timedelta(seconds=1))
        archive = S3Store(BucketDoor(server.access(), server.bucket()), "")

        with pytest.raises(ObjectChanged):
            store.delete(earlier)
        with pytest.raises(ObjectChanged):
            archive.take(store, earlier, "copy")
        assert store.delete_all([earlier]).keys() == {"key"}
        within = stored.last_modified.replace(microsecond=999999)
        assert store.delete_all([replace(stored, last_modified=within)]) == {}, "as listings had it"


def test_a_mark_that_is_huge_is_not_read(minio: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    store = S3Store(BucketDoor(minio.access(), minio.bucket()), "")
    store.write_small("mark", b"12345678")
    assert store.read_small("mark") == b"12345678"
    monkeypatch.setattr(s3, "MOST_SMALL_BYTES", 7)

    with pytest.raises(StoreFailed, match="mark has 8 bytes"):
        store.read_small("mark")


def test_what_minio_does_not_list_any_more_is_not_taken_to_be_gone(minio: S3Server) -> None:
    door = BucketDoor(minio.access(), minio.bucket())
    whole, folder = S3Store(door, ""), S3Store(door, "apks/")
    keys = [f"{number}.apk" for number in range(100)]
    for key in keys:
        folder.put(StoredObject(key, 1, "", datetime.now(UTC)), [b"x"])
    whole.put(StoredObject("apks", 1, "", datetime.now(UTC)), [b"x"])

    assert [one.key for one in whole.listing()] == ["apks"], "MinIO lists what is below an object now"
    assert folder.present(keys) == {*keys}
    assert whole.present([f"apks/{key}" for key in keys]) == {f"apks/{key}" for key in keys}


class Counted(S3Store):
    """A bucket that counts how often an object is read."""

    reads = 0

    @contextmanager
    def open(self, key: str) -> Iterator[tuple[StoredObject, Chunks]]:
        self.reads += 1
        with super().open(key) as found:
            yield found


@pytest.mark.parametrize(
    ("recorded", "reads", "said"),
    [("right", 0, ""), (None, 1, ""), ("wrong", 1, "is not what the platform recorded")],
)
def test_a_copy_that_a_server_made_is_proven_by_what_the_platform_recorded_or_else_by_the_source(
    recorded: str | None, reads: int, said: str, minio: S3Server
) -> None:
    store = Counted(BucketDoor(minio.access(), minio.bucket()), "")
    archive = Archive(S3Store(BucketDoor(minio.access(), minio.bucket()), ""))
    content = os.urandom(MIB)
    sha256 = hashlib.sha256(content).hexdigest()
    stored = store.put(StoredObject("key", MIB, "", datetime.now(UTC)), [content])
    clock = SystemClock()
    known = {"right": sha256, "wrong": "0" * 64}.get(recorded or "")
    entry = Entry(stored, ObjectState.COPYING, clock.now(), recorded_sha256=known)
    copier = Copier(store, archive, Flow(0, clock, nobody), clock)

    if said:
        with pytest.raises(CopyDiffers, match=said):
            copier.prove(entry)
        assert archive.manifest("key") is None
    else:
        proof = copier.prove(entry)
        assert (proof.copy, proof.sha256) == ("key", sha256)
        manifest = archive.manifest("key")
        assert manifest is not None
        assert (manifest.sha256, manifest.bytes) == (sha256, MIB)
    assert store.reads == reads
    assert store.sha256("key") == sha256


def test_a_copy_that_a_server_got_wrong_is_put_aside_whatever_was_recorded(minio: S3Server) -> None:
    store = S3Store(BucketDoor(minio.access(), minio.bucket()), "")
    there = S3Store(BucketDoor(minio.access(), minio.bucket()), "")
    content = os.urandom(MIB)

    class Wrong(S3Store):
        def take(self, source: Store, stored: StoredObject, new_key: str) -> StoredObject | None:
            return there.put(replace(stored, key=new_key), [os.urandom(MIB)])

    archive = Archive(Wrong(there._door, ""))
    stored = store.put(StoredObject("key", MIB, "", datetime.now(UTC)), [content])
    clock = SystemClock()
    recorded = hashlib.sha256(content).hexdigest()
    for sha256 in (recorded, None):
        entry = Entry(stored, ObjectState.COPYING, clock.now(), recorded_sha256=sha256)
        with pytest.raises(CopyDiffers, match="the copy is put aside, and the object stays"):
            Copier(store, archive, Flow(0, clock, nobody), clock).prove(entry)
        assert there.stat("key") is None
    assert store.sha256("key") == recorded


@pytest.mark.full
@pytest.mark.timeout(900)
def test_an_object_larger_than_one_request_may_carry_is_stored_read_back_and_deleted() -> None:
    block, blocks = os.urandom(MIB), 5 * 1024 + 1
    digest = hashlib.sha256()
    for _ in range(blocks):
        digest.update(block)
    # Where tests usually keep their files may be memory.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, running_minio(Path(folder)) as server:
        store = S3Store(BucketDoor(server.access(), server.bucket()), "")

        stored = store.put(StoredObject("large", blocks * MIB, "", datetime.now(UTC)), repeat(block, blocks))

        assert store.sha256("large") == digest.hexdigest()
        assert stored.is_same_content(next(store.listing()))
        assert stored.etag.endswith(f"-{-(-blocks // 8)}"), "in parts of 8 MiB"
        assert store.delete(stored)
        assert store.stat("large") is None


# --- servers that misbehave ---


@pytest.fixture
def proxy(minio: S3Server) -> Iterator[Proxy]:
    with proxy_to(minio.port) as found:
        yield found


@pytest.fixture
def behind_proxy(tmp_path: Path, minio: S3Server, proxy: Proxy) -> Bucketed:
    """Give a full store behind a proxy."""
    bucketed = Bucketed(tmp_path, server=minio, bucket=minio.bucket(), endpoint=proxy.endpoint)
    bucketed.write(
        capacity={"total_bytes": "10 MiB"},
        admission={"emergency_reserve": 0},
        sweep={"request_timeout_seconds": 2},
    )
    bucketed.fill(9, oldest=400, newest=200)
    assert bucketed("init").exit_code == 0
    return bucketed


@pytest.mark.parametrize("mode", MODES)
def test_a_store_that_misbehaves_is_named_loses_nothing_and_is_swept_once_it_is_well(
    mode: str, behind_proxy: Bucketed, proxy: Proxy
) -> None:
    before = behind_proxy.contents()
    proxy.mode = mode

    ill = behind_proxy("sweep", "--need", "3 MiB", "--json")
    proxy.mode = "pass"

    assert ill.exit_code == 1, ill.all_output
    assert "127.0.0.1" in ill.all_output
    assert "Traceback" not in ill.all_output
    assert "exodus-secret" not in ill.all_output
    assert behind_proxy.contents() == before

    behind_proxy("sweep", "--json")  # what failed waits for its retry, others go first
    well = behind_proxy("sweep", "--json")
    assert well.exit_code == 0, well.all_output
    assert behind_proxy.contents() | behind_proxy.archived() == before


def test_a_server_that_sends_us_elsewhere_is_named_and_nobody_else_is_asked(
    behind_proxy: Bucketed, proxy: Proxy
) -> None:
    before = behind_proxy.contents()
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        proxy.elsewhere, proxy.mode = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/", "301"

        sent_on = behind_proxy("sweep", "--need", "3 MiB", "--json")

        elsewhere.settimeout(0)
        with pytest.raises(BlockingIOError):  # the request has a signature in it
            elsewhere.accept()
    assert sent_on.exit_code == 1, sent_on.all_output
    assert "PermanentRedirect: made up by the proxy" in sent_on.all_output
    assert "Traceback" not in sent_on.all_output
    assert behind_proxy.contents() == before


@pytest.mark.parametrize("mode", [*MODES, "507"])
def test_an_archive_that_misbehaves_is_named_and_the_sources_stay(
    mode: str, tmp_path: Path, minio: S3Server, proxy: Proxy
) -> None:
    archive = {"url": f"s3://{minio.bucket()}", "endpoint": proxy.endpoint, **keys_in(tmp_path)}
    bucketed = Bucketed(tmp_path, server=minio, bucket=minio.bucket(), archive_settings=archive, archive_server=minio)
    bucketed.write(
        capacity={"total_bytes": "10 MiB"}, admission={"emergency_reserve": 0}, sweep={"request_timeout_seconds": 2}
    )
    bucketed.fill(9, oldest=400, newest=200)
    before = bucketed.contents()
    assert bucketed("init").exit_code == 0
    proxy.mode = mode

    ill = bucketed("sweep", "--json")
    proxy.mode = "pass"

    assert ill.exit_code == 1, ill.all_output
    assert "Traceback" not in ill.all_output
    assert bucketed.contents() | bucketed.archived() == before
    assert len(bucketed.stored()) == 9


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("access-key", "nobody", "the access key is wrong"),
        ("secret-key", "not-the-secret", "the secret key is wrong"),
    ],
)
def test_a_wrong_key_is_named_and_shown_to_nobody(
    name: str, value: str, said: str, tmp_path: Path, minio: S3Server
) -> None:
    bucketed = Bucketed(tmp_path, server=minio, bucket=minio.bucket()).write()
    (tmp_path / name).write_text(value)

    tried = bucketed("init")

    assert tried.exit_code == 1
    assert said in tried.stderr
    assert "not-the-secret" not in tried.all_output


def test_a_wrong_region_is_told_with_the_right_one(tmp_path: Path, versitygw: S3Server) -> None:
    bucketed = Bucketed(tmp_path, server=versitygw, bucket=versitygw.bucket())
    right = bucketed.write(store={"region": "us-east-1"})("init")
    assert right.exit_code == 0, right.all_output

    wrong = bucketed.write(store={"region": "elsewhere"})("init")

    assert wrong.exit_code == 1
    assert 'set region = "us-east-1"' in wrong.stderr


def _is_refused(store: S3Store) -> bool:
    try:
        store.now()
    except StoreFailed:
        return True
    return False


@pytest.mark.parametrize("region", ["elsewhere", None, "mars"])
def test_a_wrong_region_is_told_whatever_is_asked_first(region: str | None, tmp_path: Path) -> None:
    with running_minio(tmp_path, MINIO_SITE_REGION="mars") as server:
        of_mars = Minio(f"127.0.0.1:{server.port}", server.access_key, server.secret_key, secure=False, region="mars")
        of_mars.make_bucket("bucket", "mars")
        access = Access(server.endpoint, server.access_key, server.secret_key, region)
        store = S3Store(BucketDoor(access, "bucket"), "")
        if region == "elsewhere":  # a MinIO that has just begun takes any region, until it has read its settings
            wait_until(lambda: _is_refused(store))
        for asked in (store.now, lambda: store.stat("key"), lambda: list(store.listing())):
            if region == "elsewhere":
                with pytest.raises(StoreFailed, match='set region = "mars"'):
                    asked()
            else:
                asked()


def test_a_bucket_that_is_not_there_is_named(tmp_path: Path, minio: S3Server) -> None:
    tried = Bucketed(tmp_path, server=minio, bucket="not-there").write()("init")

    assert tried.exit_code == 1
    assert "there is no such bucket" in tried.stderr


def test_a_server_that_is_not_there_is_named(tmp_path: Path, minio: S3Server) -> None:
    tried = Bucketed(tmp_path, server=minio, bucket="any", endpoint="http://127.0.0.1:1").write()("init")

    assert tried.exit_code == 1
    assert "127.0.0.1:1" in tried.stderr
    assert "refused" in tried.stderr


# --- rights ---


def test_the_policy_of_the_docs_is_enough_for_all_the_guard_does(tmp_path: Path, minio: S3Server) -> None:
    store, archive = minio.bucket(), minio.bucket()
    keys = {name: str(tmp_path / name) for name in ("access_key_file", "secret_key_file")}
    user = add_user(minio, tmp_path, [policy(store), policy(archive)])
    bucketed = Bucketed(
        tmp_path,
        server=minio,
        bucket=store,
        archive_settings={"url": f"s3://{archive}", "endpoint": minio.endpoint, **keys},
        archive_server=minio,
    )
    bucketed.write(store=keys)
    bucketed.fill(96, newest=181)
    bucketed.put(apk_key(200), size=40 * MIB, days=500)
    minio.client.set_bucket_versioning(store, VersioningConfig(ENABLED))
    bucketed.write(store=keys, capacity={"total_bytes": "120 MiB"})

    def done(*arguments: str) -> None:
        ran = bucketed(*arguments)
        assert ran.exit_code == 0, (arguments, ran.all_output)

    done("init")
    done("sweep")
    done("verify")
    done("hold", apk_key(50))
    bucketed.write(store=keys, capacity={"total_bytes": "200 MiB"})
    done("restore", apk_key(200))
    done("fetch", apk_key(0), str(tmp_path / "fetched"))
    done("forget", "--yes", apk_key(0))
    bucketed.lose_catalogue()
    done("rebuild")
    assert user in (tmp_path / "access_key_file").read_text()


@pytest.mark.parametrize("missing", ["s3:ListBucket", "s3:GetObject", "s3:DeleteObject"])
def test_a_right_that_is_missing_is_named_and_nothing_is_lost(missing: str, tmp_path: Path, minio: S3Server) -> None:
    bucket = minio.bucket()
    lacking = policy(bucket)
    for statement in lacking["Statement"]:
        statement["Action"] = [action for action in statement["Action"] if not action.startswith(missing)]
    add_user(minio, tmp_path, [lacking])
    bucketed = Bucketed(tmp_path, server=minio, bucket=bucket)
    keys = {name: str(tmp_path / name) for name in ("access_key_file", "secret_key_file")}
    bucketed.write(capacity={"total_bytes": "10 MiB"}, admission={"emergency_reserve": 0})
    bucketed.fill(9, oldest=400, newest=200)
    before = bucketed.contents()
    assert bucketed("init").exit_code == 0
    bucketed.write(store=keys, capacity={"total_bytes": "10 MiB"}, admission={"emergency_reserve": 0})

    swept = bucketed("sweep")

    assert swept.exit_code == 1
    assert "lacks a right" in swept.all_output or "AccessDenied" in swept.all_output, swept.all_output
    assert bucketed.contents() == before


def policy(bucket: str) -> dict[str, Any]:
    """Read the policy that docs/minio.md tells operators to use."""
    text = (ROOT / "docs/minio.md").read_text()
    found: dict[str, Any] = json.loads(text.split("```json")[1].split("```")[0].replace("BUCKET", bucket))
    return found


def add_user(server: S3Server, folder: Path, policies: list[dict[str, Any]]) -> str:
    """Add a user with these rights; write the keys into files."""
    admin = MinioAdmin(
        endpoint=f"127.0.0.1:{server.port}",
        credentials=StaticProvider(server.access_key, server.secret_key),
        secure=False,
    )
    name, secret = f"guard-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    whole = {**policies[0], "Statement": [one for each in policies for one in each["Statement"]]}
    admin.policy_add(f"policy-of-{name}", policy=whole)
    admin.user_add(name, secret)
    admin.attach_policy([f"policy-of-{name}"], user=name)
    (folder / "access_key_file").write_text(name)
    (folder / "secret_key_file").write_text(secret)
    return name

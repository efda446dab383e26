"""What every store does: one suite, over each of them."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exodus_storage_guard.errors import KeyRefused, ObjectChanged, ObjectMissing, StoreFailed
from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores.contract import Store
from exodus_storage_guard.stores.directory.store import DirectoryStore
from exodus_storage_guard.stores.opening import opened
from exodus_storage_guard.stores.s3.bucket import BucketDoor
from exodus_storage_guard.stores.s3.store import S3Store
from tests.parts.s3 import S3Server
from tests.parts.sshd import Sshd

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
BIG = bytes(range(256)) * 4096 * 3
ODD_KEYS = [
    "plain.apk",
    "with space.apk",
    "-rf",
    "--config",
    "line\nfeed",
    "quote'\"\\",
    "a/b/c.apk",
    "ünïcödé",
    "per%20cent",
    "x" * 200,
]


KINDS = ["directory", "minio", "versitygw", "ssh"]


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Give an empty store of each kind."""
    if request.param in ("minio", "versitygw"):
        server: S3Server = request.getfixturevalue(request.param)
        return S3Store(BucketDoor(server.access(), server.bucket()), "below/here/")
    folder = tmp_path / "store"
    folder.mkdir()
    if request.param == "ssh":
        sshd: Sshd = request.getfixturevalue("sshd")
        return behind_ssh(sshd, folder)
    return DirectoryStore(folder)


def behind_ssh(sshd: Sshd, folder: Path) -> Store:
    return opened(sshd.archive(folder), 10)


def wanted(key: str, content: bytes) -> StoredObject:
    return StoredObject(key, len(content), "", AT)


def put(store: Store, key: str, content: bytes = b"content") -> StoredObject:
    return store.put(wanted(key, content), iter([content[:3], content[3:]]))


def content_of(store: Store, key: str) -> bytes:
    with store.open(key) as (stored, chunks):
        content = b"".join(chunks)
        assert len(content) == stored.bytes
        return content


@pytest.mark.parametrize("key", ODD_KEYS)
def test_what_was_put_is_there_under_its_key_and_no_other(store: Store, key: str) -> None:
    stored = put(store, key)

    assert content_of(store, key) == b"content"
    assert [one.key for one in store.listing()] == [key]
    seen = store.stat(key)
    assert seen is not None
    assert stored.is_same_content(seen)
    assert stored.is_same_content(next(store.listing()))
    assert stored.last_modified == AT


def test_an_empty_object_and_a_large_one_are_objects(store: Store) -> None:
    put(store, "empty", b"")
    put(store, "large", BIG)

    assert content_of(store, "empty") == b""
    assert content_of(store, "large") == BIG
    assert store.sha256("empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("key", ["", ".", "..", "../up", "a/../b", "/abs", "a//b", "a/", "nul\0byte", "a/./b"])
def test_a_key_that_would_not_stay_in_its_place_is_refused(store: Store, key: str) -> None:
    with pytest.raises(KeyRefused):
        put(store, key)
    with pytest.raises(KeyRefused):
        store.stat(key)
    assert list(store.listing()) == []


def test_what_is_not_there_is_missing_and_nothing_else(store: Store) -> None:
    assert store.stat("nothing") is None
    assert store.stat("no/folder/nothing") is None
    assert store.read_small("no/folder/nothing") is None
    assert store.read_small("nothing") is None
    assert store.delete(wanted("nothing", b"")) is False
    with pytest.raises(ObjectMissing), store.open("nothing"):
        pass
    with pytest.raises(ObjectMissing):
        store.sha256("nothing")


def test_put_never_replaces_an_object(store: Store) -> None:
    put(store, "key", b"first")

    with pytest.raises(ObjectChanged):
        put(store, "key", b"second")

    assert content_of(store, "key") == b"first"
    assert len(list(store.listing())) == 1


@pytest.mark.parametrize("size", [-1, 1])
def test_put_of_other_than_the_wanted_bytes_leaves_nothing(store: Store, size: int) -> None:
    short = replace(wanted("key", b"content"), bytes=7 + size)

    with pytest.raises(ObjectChanged):
        store.put(short, iter([b"content"]))

    assert list(store.listing()) == []
    assert store.stat("key") is None


def test_put_whose_bytes_fail_leaves_nothing(store: Store) -> None:
    def failing() -> Iterator[bytes]:
        yield b"cont"
        raise StoreFailed("the source is gone")

    with pytest.raises(StoreFailed, match="the source is gone"):
        store.put(wanted("key", b"content"), failing())

    assert list(store.listing()) == []


def test_exactly_the_object_that_was_looked_at_is_deleted(store: Store) -> None:
    first = put(store, "key", b"first")
    store.delete(first)
    second = put(store, "key", b"other")

    with pytest.raises(ObjectChanged):
        store.delete(replace(first, etag="another"))
    assert content_of(store, "key") == b"other"

    assert store.delete(second) is True
    assert store.stat("key") is None
    assert store.delete(second) is False


def test_a_batch_is_deleted_but_for_what_is_not_what_it_was(store: Store) -> None:
    kept = put(store, "kept")
    first, second, changed = (put(store, key, key.encode()) for key in ("a/first", "second", "changed"))
    others = replace(changed, etag="another")

    failed = store.delete_all([first, others, second, wanted("never-there", b"")])

    assert list(failed) == ["changed"]
    assert isinstance(failed["changed"], ObjectChanged)
    assert {one.key for one in store.listing()} == {kept.key, "changed"}
    assert store.delete_all([]) == {}


def test_which_of_many_there_are_is_told(store: Store) -> None:
    for key in ("a/first", "second", "third"):
        put(store, key, key.encode())
    told = list[int]()

    assert set(store.present(["second", "a/first", "a", "never-there"], told.append)) == {"a/first", "second"}
    assert told == [0] * 4
    assert list(store.present([])) == []


def test_content_that_was_replaced_is_told_from_what_was_there(store: Store) -> None:
    first = put(store, "key", b"first")
    store.delete(first)
    second = put(store, "key", b"other")

    assert not first.is_same_content(second)
    assert second.is_same_content(next(store.listing()))


def test_small_objects_are_replaced_whole(store: Store) -> None:
    store.write_small("a/mark.json", b"one")
    store.write_small("a/mark.json", b"two")

    assert store.read_small("a/mark.json") == b"two"


def test_an_object_is_moved_with_its_content(store: Store) -> None:
    put(store, "a/key")
    store.move("a/key", "b/other")

    assert store.stat("a/key") is None
    assert content_of(store, "b/other") == b"content"


@pytest.mark.parametrize(
    "store", [*KINDS[:-1], pytest.param("ssh", marks=pytest.mark.full)], indirect=True
)  # over ssh each is put by itself
def test_what_time_it_is_there_is_told_and_leaves_nothing_behind(store: Store) -> None:
    before = datetime.now(UTC)
    found = store.now()

    assert found is not None
    assert abs(found - before) < timedelta(seconds=30)
    assert list(store.listing()) == []
    assert store.unfinished(datetime.now(UTC) + timedelta(days=1)).count == 0


def test_the_listing_is_of_all_objects_however_many(store: Store) -> None:
    keys = {f"{number % 7}/{number}" for number in range(1050)}
    for key in keys:
        put(store, key, b"")

    assert {one.key for one in store.listing()} == keys


def test_what_is_being_written_is_no_object_and_is_cleared_away_once_nobody_writes_it(
    store: Store, tmp_path: Path
) -> None:
    def looking() -> Iterator[bytes]:
        yield b"con"
        assert list(store.listing()) == []
        assert store.discard_unfinished(datetime.now(UTC) - timedelta(hours=1)) == 0
        yield b"tent"

    put(store, "another")
    store.delete(store.stat("another") or pytest.fail("it was put"))
    store.put(wanted("key", b"content"), looking())

    assert content_of(store, "key") == b"content"


# --- a folder's own ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "store"
    place.mkdir()
    return place


@pytest.mark.parametrize(
    "make",
    [
        lambda place, out: (place / "key").symlink_to(out / "secret"),
        lambda place, out: (place / "key").symlink_to("key"),
        lambda place, out: os.mkfifo(place / "key"),
        lambda place, out: (place / "key").mkdir(),
    ],
    ids=["link", "loop", "fifo", "folder"],
)
def test_links_and_what_is_no_file_are_no_objects(
    make: Callable[[Path, Path], None], folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    make(folder, outside)
    store = DirectoryStore(folder)

    assert list(store.listing()) == []
    assert store.stat("key") is None
    with pytest.raises((KeyRefused, StoreFailed)), store.open("key") as (_, chunks):
        list(chunks)


def test_a_link_to_a_folder_is_not_entered(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("secret")
    (folder / "link").symlink_to(outside)
    store = DirectoryStore(folder)

    assert list(store.listing()) == []
    with pytest.raises(KeyRefused):
        store.stat("link/file")
    with pytest.raises(KeyRefused):
        put(store, "link/new")
    assert [path.name for path in outside.iterdir()] == ["file"]


def test_a_name_that_is_too_long_is_a_clear_error(folder: Path) -> None:
    with pytest.raises(KeyRefused, match="too long"):
        put(DirectoryStore(folder), "x" * 1024)


@pytest.mark.parametrize("change", [b"same size", b"longer than it was"])
def test_a_file_that_is_written_while_it_is_read_is_no_object_that_was_read(folder: Path, change: bytes) -> None:
    store = DirectoryStore(folder)
    put(store, "key", b"in places")

    with store.open("key") as (_, chunks):
        next(chunks)
        (folder / "key").write_bytes(change)
        with pytest.raises(ObjectChanged, match="while it was read"):
            list(chunks)
    assert content_of(store, "key") == change


def test_a_folder_that_nobody_may_write_to_does_not_tell_the_time(tmp_path: Path) -> None:
    assert DirectoryStore(tmp_path / "nowhere").now() is None
    assert DirectoryStore(Path("/proc/self")).now() is None


def test_a_folder_that_is_not_there_may_be_a_disk_that_is_not_mounted(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "nowhere")

    with pytest.raises(StoreFailed, match="is its disk mounted"):
        list(store.listing())
    with pytest.raises(StoreFailed, match="is its disk mounted"):
        put(store, "key")


@pytest.mark.parametrize("kind", ["directory", "ssh"])
def test_leftovers_of_a_writer_that_was_killed_are_cleared_away_once_nobody_touches_them(
    kind: str, folder: Path, sshd: Sshd
) -> None:
    left = folder / ".exodus-part-0123"
    left.write_text("half")
    os.utime(left, (0, 0))  # as one whose copy is just being given its name
    store = DirectoryStore(folder) if kind == "directory" else behind_ssh(sshd, folder)

    assert list(store.listing()) == []
    assert store.discard_unfinished(datetime.now(UTC) - timedelta(days=1)) == 0
    assert store.discard_unfinished(datetime.now(UTC) + timedelta(days=1)) == 1
    assert list(folder.iterdir()) == []

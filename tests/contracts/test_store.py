"""What every store does: one suite, over each of them."""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exodus_storage_guard.errors import (
    KeyRefused,
    ListingIncomplete,
    ObjectChanged,
    ObjectMissing,
    StoreFailed,
    StoreFull,
)
from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores import leftovers, names
from exodus_storage_guard.stores.contract import Looks, Store
from exodus_storage_guard.stores.directory import files, filesystem
from exodus_storage_guard.stores.directory import store as directory
from exodus_storage_guard.stores.directory.store import DirectoryStore
from exodus_storage_guard.stores.opening import opened
from exodus_storage_guard.stores.s3.bucket import BucketDoor
from exodus_storage_guard.stores.s3.store import S3Store
from exodus_storage_guard.stores.ssh import scripts
from exodus_storage_guard.tiering.archive import looks_of
from tests.parts.mounts import mounted
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
    assert stored.last_modified == seen.last_modified == next(store.listing()).last_modified
    assert stored.last_modified == AT or isinstance(store, S3Store), "a bucket has times of its own"


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


@pytest.mark.parametrize(
    "key", ["a\r.apk", "a\x01.apk", "a\x1b.apk", "a\x85.apk", "a\r\n.apk", " a.apk", "a.apk ", "a\u2028"]
)
def test_a_key_that_a_format_could_change_is_deleted_and_none_that_looks_like_it(store: Store, key: str) -> None:
    near = {key.replace("\r", "\n"), key.replace("\r\n", "\n"), key.strip(), "a.apk", "a\ufffd.apk"} - {key}
    wanted = put(store, key)
    for other in near:
        put(store, other, b"another")
    plain = put(store, "plain.apk")

    assert store.delete_all([wanted, plain]) == {}

    assert store.stat(key) is None
    assert {one.key for one in store.listing()} == near
    again = put(store, key)
    assert store.delete(again)
    assert {one.key for one in store.listing()} == near


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


def test_many_are_described_as_each_is_alone(store: Store) -> None:
    keys = [f"{number:03}" for number in range(70)]
    for key in keys:
        put(store, key, key.encode())

    looks = store.stat_all([*keys, "never-there", "a/never-there"])

    found = looks.found
    assert set(found) == {*keys}
    assert looks.failed == {}
    for key in keys[::23]:
        alone = store.stat(key)
        assert alone is not None
        assert looks_of(found[key]) == looks_of(alone)
    assert looks_of(found[keys[0]]) != looks_of(found[keys[1]])
    assert store.stat_all([]) == Looks({}, {})


def test_what_cannot_be_looked_at_among_many_is_told_and_the_others_are_described(store: Store) -> None:
    first, last = put(store, "first"), put(store, "last")

    looks = store.stat_all(["first", "a//b", "never-there", "last"])

    assert {key: looks_of(stored) for key, stored in looks.found.items()} == {
        "first": looks_of(store.stat("first") or first),
        "last": looks_of(store.stat("last") or last),
    }
    assert list(looks.failed) == ["a//b"]
    assert isinstance(looks.failed["a//b"], KeyRefused)


def test_an_object_is_not_moved_over_another(store: Store) -> None:
    put(store, "key", b"first")
    put(store, "other", b"second")

    with pytest.raises(ObjectChanged):
        store.move("key", "other")

    assert content_of(store, "key") == b"first"
    assert content_of(store, "other") == b"second"


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


@pytest.mark.parametrize(
    "store", [*KINDS[:-1], pytest.param("ssh", marks=pytest.mark.full)], indirect=True
)  # over ssh each is put by itself
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


@pytest.mark.parametrize("place", ["/proc/self", "/nowhere"])
def test_where_nothing_can_be_written_what_time_it_is_is_not_known(place: str) -> None:
    with pytest.raises(StoreFailed):
        DirectoryStore(Path(place)).now()


def waited_for_a_tick(folder: Path) -> None:
    """See the filesystem's clock go on: a time that has not changed tells nothing."""
    first = folder.stat().st_ctime_ns
    while folder.stat().st_ctime_ns == first:
        os.chown(folder, -1, -1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_folder_without_room_for_a_file_tells_the_time_all_the_same(
    number: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = os.open

    def full(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(number, os.strerror(number))
        return usual(path, flags, *arguments, **options)

    before = datetime.now(UTC)
    monkeypatch.setattr(os, "open", full)
    waited_for_a_tick(folder)

    found = DirectoryStore(folder).now()

    assert found is not None
    assert abs(found - before) < timedelta(seconds=30)


@pytest.mark.parametrize(("options", "is_told"), [("nr_inodes=1", True), ("ro", False)], ids=["full", "read-only"])
def test_a_filesystem_tells_the_time_when_it_is_full_and_not_when_it_is_read_only(
    options: str, is_told: bool, folder: Path
) -> None:
    with mounted(f"mount -t tmpfs -o {options} tmpfs {folder}") as namespace:
        place = namespace.path(folder)
        store = DirectoryStore(place)
        if is_told:
            with pytest.raises(StoreFull):
                put(store, "key")
            waited_for_a_tick(place)
            assert abs((store.now() or AT) - datetime.now(UTC)) < timedelta(seconds=30)
        else:
            with pytest.raises(StoreFailed, match="Read-only"):
                store.now()


def test_a_folder_that_is_not_there_may_be_a_disk_that_is_not_mounted(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "nowhere")

    with pytest.raises(StoreFailed, match="is its disk mounted"):
        list(store.listing())
    with pytest.raises(StoreFailed, match="is its disk mounted"):
        put(store, "key")


def test_a_filesystem_that_makes_its_sizes_up_is_not_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = os.statvfs_result((4096, 4096, 10, 5, 5, 9, 9, 9, 0, 255))
    wrong = os.statvfs_result((4096, 4096, 10, 5, 11, 9, 9, 9, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: right)
    assert DirectoryStore(folder).capacity() is not None

    monkeypatch.setattr(os, "statvfs", lambda path: wrong)

    with pytest.raises(StoreFailed, match="cannot be"):
        DirectoryStore(folder).capacity()


@pytest.mark.parametrize("dark", ["home", "home/apks"])
def test_a_folder_that_may_not_be_entered_is_told_with_who_may_not(dark: str, folder: Path) -> None:
    home = folder / "home"
    inside = home / "apks"
    inside.mkdir(parents=True)
    home.chmod(0o755)
    (folder / dark).chmod(0)
    store = DirectoryStore(inside)
    try:
        with as_nobody(folder):
            for asked in (lambda: list(store.listing()), lambda: store.stat("key"), lambda: put(store, "key")):
                with pytest.raises(StoreFailed) as told:
                    asked()
                assert "may not enter it" in str(told.value)
                assert f"namei -l {inside}" in str(told.value)
                assert "mounted" not in str(told.value)
            assert "may not enter it" in filesystem.obstacle(inside)
    finally:
        (folder / dark).chmod(0o700)
    assert store.stat("key") is None
    assert "mounted" in filesystem.obstacle(home / "nowhere")


@pytest.mark.parametrize("kind", ["directory", "ssh"])
def test_leftovers_of_a_writer_that_was_killed_are_cleared_away_once_nobody_touches_them(
    kind: str, folder: Path, sshd: Sshd
) -> None:
    left = folder / ".exodus-part-0123456789abcdef"
    left.write_text("half")
    os.utime(left, (0, 0))  # as one whose copy is just being given its name
    store = DirectoryStore(folder) if kind == "directory" else behind_ssh(sshd, folder)

    assert list(store.listing()) == []
    assert store.discard_unfinished(datetime.now(UTC) - timedelta(days=1)) == 0
    assert store.discard_unfinished(datetime.now(UTC) + timedelta(days=1)) == 1
    assert list(folder.iterdir()) == []


# --- what is deleted from a folder is what was looked at ---


def replace_file(folder: Path, key: str, content: bytes) -> None:
    """Put a newer object in the place of one, as most programs do."""
    new = folder / "new"
    new.write_bytes(content)
    new.rename(folder / key)


def after_the_look(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Have something happen once a file that is to be deleted was looked at, and never again."""
    usual, once = files.described, iter([then])

    def described(key: str, status: os.stat_result) -> StoredObject:
        for act in once:
            act()
        return usual(key, status)

    monkeypatch.setattr(directory, "described", described)


def set_aside(folder: Path, key: str) -> Path:
    """Leave a file as one does that is killed before it deletes what it has set aside; give its name."""
    store = DirectoryStore(folder)
    stored = store.stat(key) or pytest.fail("it is there")
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(os, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            store.delete(stored)
    (left,) = folder.glob(f"{names.ASIDE}*")
    return left


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


LATER = datetime.now(UTC) + timedelta(days=1)
LONG = "x" * 250


@pytest.mark.parametrize("key", ["key", LONG])
def test_a_file_that_was_replaced_after_the_look_stays(key: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStore(folder)
    stored = put(store, key, b"first")
    after_the_look(monkeypatch, lambda: replace_file(folder, key, b"newer"))

    with pytest.raises(ObjectChanged, match="not the object that was looked at"):
        store.delete(stored)

    assert (folder / key).read_bytes() == b"newer"
    assert [path.name for path in folder.iterdir()] == [key]


@pytest.mark.parametrize("key", ["key", LONG])
def test_a_file_that_nobody_replaced_is_deleted_and_leaves_nothing(key: str, folder: Path) -> None:
    store = DirectoryStore(folder)

    assert store.delete(put(store, key)) is True
    assert list(folder.iterdir()) == []


def test_a_file_that_was_written_in_its_place_after_the_look_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryStore(folder)
    stored = put(store, "key", b"first")
    after_the_look(monkeypatch, partial((folder / "key").write_bytes, b"newer"))

    with pytest.raises(ObjectChanged):
        store.delete(stored)

    assert (folder / "key").read_bytes() == b"newer"


def test_beside_one_who_replaces_objects_none_is_deleted_but_what_was_looked_at(folder: Path) -> None:
    store, written, deleted = DirectoryStore(folder), list[int](), list[int]()
    stop = threading.Event()

    def replacing() -> None:
        while not stop.is_set():
            written.append(len(written) + 10)
            replace_file(folder, "key", bytes(written[-1]))

    client = threading.Thread(target=replacing)
    client.start()
    for _ in range(2000):
        looked_at = store.stat("key")
        if looked_at is not None:
            with suppress(ObjectChanged):
                deleted += [looked_at.bytes] if store.delete(looked_at) else []
    stop.set()
    client.join()

    last = store.stat("key")
    assert (last.bytes if last else deleted[-1]) == written[-1]
    assert sorted(set(deleted)) == deleted
    assert [path.name for path in folder.iterdir()] in ([], ["key"])


# --- what a killed deletion had set aside is put back by whoever comes later ---


def put_back(store: Store, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if by == "discard_unfinished":
        store.discard_unfinished(LATER)
        return
    monkeypatch.setattr(leftovers, "AT_WORK", timedelta(days=-1))
    list(store.listing())


BY = pytest.mark.parametrize("by", ["listing", "discard_unfinished"])


@BY
@pytest.mark.parametrize("key", ["key", LONG])
@pytest.mark.parametrize("content", [b"content", b"another"])
def test_what_a_killed_deletion_had_set_aside_gets_its_name_back(
    key: str, content: bytes, by: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(DirectoryStore(folder), key)
    left = set_aside(folder, key)
    if content != b"content":
        (left / key if left.is_dir() else left).write_bytes(content)
    store = DirectoryStore(folder)

    assert list(store.listing()) == []
    assert len(list(folder.iterdir())) == 1, "whoever set it aside may be at work"
    assert store.unfinished(LATER).count == 1
    put_back(store, by, monkeypatch)

    assert content_of(store, key) == content
    assert [path.name for path in folder.iterdir()] == [key]
    assert store.unfinished(LATER).count == 0
    assert store.discard_unfinished(LATER) == 0


@BY
@pytest.mark.parametrize("key", ["key", LONG])
def test_what_cannot_be_put_back_since_another_has_its_name_stays_and_is_told_once(
    key: str, by: str, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(DirectoryStore(folder), key)
    left = set_aside(folder, key)
    (folder / key).write_bytes(b"newer")
    store = DirectoryStore(folder)

    put_back(store, by, monkeypatch)
    put_back(store, by, monkeypatch)
    assert store.discard_unfinished(LATER) == 0

    assert (folder / key).read_bytes() == b"newer"
    assert (left / key if left.is_dir() else left).read_bytes() == b"content"
    (told,) = caplog.messages
    assert left.name in told
    assert "compare the two" in told


@pytest.mark.parametrize("key", ["key", LONG])
def test_what_was_put_back_by_one_who_was_killed_before_he_was_done_is_there_once(key: str, folder: Path) -> None:
    put(DirectoryStore(folder), key)
    left = set_aside(folder, key)
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(os, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            DirectoryStore(folder).discard_unfinished(LATER)
    assert left.exists()
    assert (folder / key).exists()

    assert DirectoryStore(folder).discard_unfinished(LATER) == 1

    assert [path.name for path in folder.iterdir()] == [key]
    assert (folder / key).read_bytes() == b"content"


def test_what_was_set_aside_in_a_folder_below_is_told_with_its_path(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(DirectoryStore(folder), "a/b/key")
    aside = folder / "a/b" / names.aside_name("key", "0" * 16)
    (folder / "a/b/key").rename(aside)
    put(DirectoryStore(folder), "a/b/key")

    DirectoryStore(folder).discard_unfinished(LATER)

    assert f"a/b/{aside.name} was set aside" in caplog.text


# --- names of ours, and those that look nearly so ---

NEARLY_OURS = [
    ".exodus-part-my.apk",
    ".exodus-part-0123456789abcde",
    ".exodus-part-0123456789abcdef0",
    ".exodus-part-0123456789ABCDEF",
    ".exodus-aside-1-2-foo.apk",
    ".exodus-aside-1-2-/foo.apk",
    ".exodus-aside-0123456789abcdef-0123456-foo.apk",
    ".exodus-aside-0123456789abcdef-01234567-foo/foo.apk",
    ".exodus-aside-/foo.apk",
    ".exodus-part-0123456789abcdef/foo.apk",
]
OURS = [
    ".exodus-part-0123456789abcdef",
    "a/.exodus-part-0123456789abcdef",
    ".exodus-aside-0123456789abcdef-01234567-foo.apk",
    ".exodus-aside-0123456789abcdef-01234567-line\nfeed",
    ".exodus-aside-0123456789abcdef-01234567-",
    ".exodus-aside-0123456789abcdef-01234567-/foo.apk",
]
IN_FOLDERS = pytest.mark.parametrize("store", ["directory", "ssh"], indirect=True)


@IN_FOLDERS
@pytest.mark.parametrize("key", NEARLY_OURS)
def test_a_key_that_is_nearly_a_name_of_ours_is_an_object_like_others(store: Store, key: str) -> None:
    put(store, key)

    assert store.discard_unfinished(LATER) == 0

    assert [one.key for one in store.listing()] == [key]
    assert content_of(store, key) == b"content"
    assert store.unfinished(LATER).count == 0
    store.move(key, "moved")
    store.move("moved", key)
    assert store.delete(store.stat(key) or pytest.fail("it is there"))


@IN_FOLDERS
@pytest.mark.parametrize("key", OURS)
def test_a_key_that_is_exactly_a_name_of_ours_is_refused(store: Store, key: str) -> None:
    with pytest.raises(KeyRefused):
        put(store, key)
    with pytest.raises(KeyRefused):
        store.stat(key)
    with pytest.raises(KeyRefused):
        store.write_small(key, b"")
    assert list(store.listing()) == []


def test_a_file_that_cannot_be_deleted_keeps_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStore(folder)
    stored = put(store, "key")
    usual = os.unlink

    def refusing(path: str, *, dir_fd: int) -> None:
        if os.stat(path, dir_fd=dir_fd).st_nlink == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        usual(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refusing)

    with pytest.raises(StoreFailed, match="Input/output error"):
        store.delete(stored)

    assert [path.name for path in folder.iterdir()] == ["key"]


def test_a_put_describes_what_it_has_put_and_nothing_that_replaced_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryStore(folder)
    usual = files.give_name

    def give_name(*arguments: Any) -> None:
        usual(*arguments)
        replace_file(folder, "key", b"another")

    monkeypatch.setattr(directory, "give_name", give_name)
    stored = put(store, "key")

    assert stored.bytes == len(b"content")
    with pytest.raises(ObjectChanged):
        store.delete(stored)


# --- odd things in a folder ---


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Be a user whom modes mean something to, and who may enter a folder, for the time of a block."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder, *folder.parents):
        if path.stat().st_uid == 0 and path != Path("/"):  # pytest keeps its folders to their owner
            path.chmod(path.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("mode", [0o000, 0o444], ids=["nothing", "names-only"])
def test_a_folder_that_cannot_be_looked_at_is_named_and_the_rest_is_listed(mode: int, folder: Path) -> None:
    store, seen = DirectoryStore(folder), list[str]()
    for key in ("before", "dark/deep/key", "with/key"):
        put(store, key)
    (folder / "with").chmod(0o755)
    (folder / "dark").chmod(mode)

    with as_nobody(folder), pytest.raises(ListingIncomplete, match="dark/: Permission denied") as found:
        seen += (stored.key for stored in store.listing())

    (folder / "dark").chmod(0o700)
    assert sorted(seen) == ["before", "with/key"]
    assert found.value.unseen == ("dark/",)
    assert len(list(store.listing())) == 3


@pytest.mark.parametrize("at", [10**12, -(10**12)])
def test_a_time_that_no_calendar_has_is_the_nearest_and_tells_contents_apart_all_the_same(
    at: int, folder: Path
) -> None:
    put(DirectoryStore(folder), "key")
    status = os.stat_result((0o100644, 1, 2, 1, 0, 0, 7, 0, 0, 0), {"st_mtime_ns": at * 10**9, "st_ctime_ns": 0})
    other = os.stat_result((0o100644, 1, 2, 1, 0, 0, 7, 0, 0, 0), {"st_mtime_ns": at * 10**9 + 1, "st_ctime_ns": 0})

    found = files.described("key", status)

    assert found.last_modified.year in (1, 9999)
    assert found.last_modified.isoformat()
    assert not found.is_same_content(files.described("key", other))


def test_a_copy_is_hashed_whatever_becomes_of_its_times(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStore(folder)
    put(store, "key", b"first")

    def touching(size_bytes: int) -> None:
        os.utime(folder / "key", (0, 0))

    assert store.sha256("key", touching) == hashlib.sha256(b"first").hexdigest()


def test_the_mode_that_somebody_wrote_makes_no_file_everybodys_and_none_unreadable(folder: Path) -> None:
    modes = {"777": 0o664, "0": 0o600, "999": 0o640, "²": 0o640, "644": 0o644, "100640": 0o640}
    modes |= {"4755": 0o644, "2660": 0o660, "1002": 0o600, "-644": 0o640, " 644": 0o640, "": 0o640, "6" * 5000: 0o640}
    for number, (told, mode) in enumerate(modes.items()):
        DirectoryStore(folder).put(replace(wanted(str(number), b""), metadata={"mode": told}), [])  # whoever told it
        assert (folder / str(number)).stat().st_mode & 0o7777 == mode


# --- the same behind ssh ---


@pytest.fixture
def remote(sshd: Sshd, folder: Path) -> Store:
    return behind_ssh(sshd, folder)


@pytest.mark.parametrize("key", ["key", "below/key", LONG])
def test_over_there_a_file_that_was_replaced_after_the_look_stays(
    key: str, folder: Path, remote: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = put(remote, key, b"first")
    replaced = scripts.DELETE.replace("mv -fT", 'printf newer > n; mv -T n "$a"; mv -fT')
    monkeypatch.setattr(scripts, "DELETE", replaced)

    with pytest.raises(ObjectChanged):
        remote.delete(stored)

    assert (folder / key).read_bytes() == b"newer"
    assert [path for path in folder.rglob("*") if path.is_file()] == [folder / key]


def set_aside_over_there(folder: Path, remote: Store, key: str) -> Path:
    """Leave a file as a script does that is killed before it deletes what it has set aside; give its path."""
    stored = put(remote, key)
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(scripts, "DELETE", scripts.DELETE.replace('if [ "$(printf', 'kill -9 $$; if [ "$(printf'))
        with pytest.raises(StoreFailed):
            remote.delete(stored)
    (left,) = (path for path in folder.rglob("*") if path.is_file())
    return left


@pytest.mark.parametrize("key", ["key", "below/key", LONG])
@pytest.mark.parametrize("content", [b"content", b"another"])
def test_over_there_what_a_killed_deletion_had_set_aside_gets_its_name_back(
    key: str, content: bytes, folder: Path, remote: Store
) -> None:
    left = set_aside_over_there(folder, remote, key)
    if content != b"content":
        left.write_bytes(content)

    assert list(remote.listing()) == []
    assert left.exists(), "whoever set it aside may be at work"
    assert remote.discard_unfinished(LATER) == 1

    assert [one.key for one in remote.listing()] == [key]
    assert content_of(remote, key) == content
    assert not list(folder.rglob(f"{names.ASIDE}*"))


@BY
@pytest.mark.parametrize("key", ["key", LONG])
def test_over_there_what_cannot_be_put_back_since_another_has_its_name_stays_and_is_told_once(
    key: str, by: str, folder: Path, remote: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left = set_aside_over_there(folder, remote, key)
    (folder / key).write_bytes(b"newer")

    put_back(remote, by, monkeypatch)
    put_back(remote, by, monkeypatch)

    assert (folder / key).read_bytes() == b"newer"
    assert left.read_bytes() == b"content"
    (told,) = caplog.messages
    assert str(left.relative_to(folder)) in told
    assert "compare the two" in told


def test_over_there_what_was_put_back_by_one_who_was_killed_before_he_was_done_is_there_once(
    folder: Path, remote: Store
) -> None:
    left = set_aside_over_there(folder, remote, "key")
    os.link(left, folder / "key")

    assert remote.discard_unfinished(LATER) == 1

    assert [path.name for path in folder.iterdir()] == ["key"]
    assert (folder / "key").read_bytes() == b"content"


@pytest.mark.parametrize("kind", ["directory", "ssh"])
def test_a_folder_that_became_a_file_is_told_for_the_keys_below_it_alone(kind: str, folder: Path, sshd: Sshd) -> None:
    store = DirectoryStore(folder) if kind == "directory" else behind_ssh(sshd, folder)
    put(store, "first")
    put(store, "last")
    (folder / "was a folder").write_bytes(b"now a file")
    below = "was a folder/key"

    looks = store.stat_all(["first", below, "never-there", "x" * 300, "last"])

    assert set(looks.found) == {"first", "last"}
    assert set(looks.failed) == {below, "x" * 300}
    assert "a link or a file is in the way" in str(looks.failed[below])
    assert "too long" in str(looks.failed["x" * 300])


@pytest.mark.parametrize("kind", ["directory", "ssh"])
def test_a_store_that_is_not_there_fails_as_a_whole(kind: str, folder: Path, sshd: Sshd) -> None:
    store = DirectoryStore(folder) if kind == "directory" else behind_ssh(sshd, folder)
    folder.rmdir()

    with pytest.raises(StoreFailed):
        store.stat_all(["first"])


def test_over_there_a_link_to_a_folder_is_not_entered(folder: Path, remote: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("secret")
    (folder / "link").symlink_to(outside)
    put(remote, "plain")
    stored = remote.stat("plain") or pytest.fail("it was put")

    for asked in (
        lambda: put(remote, "link/new"),
        lambda: put(remote, "link/below/new"),
        lambda: remote.write_small("link/file", b"other"),
        lambda: remote.stat("link/file"),
        lambda: remote.read_small("link/file"),
        lambda: remote.sha256("link/file"),
        lambda: remote.delete(replace(stored, key="link/file")),
        lambda: remote.move("link/file", "mine"),
        lambda: remote.move("plain", "link/mine"),
    ):
        with pytest.raises(KeyRefused, match="links are not followed"):
            asked()

    assert {path.name: path.read_text() for path in outside.iterdir()} == {"file": "secret"}
    assert content_of(remote, "plain") == b"content"


def test_over_there_a_folder_that_cannot_be_looked_at_is_named(
    folder: Path, remote: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("before", "dark/key", "with/key"):
        put(remote, key)
    if os.geteuid() == 0:  # who may read everything: find(1) is to take this one for what it may not
        listed = scripts.LIST.replace("\\( -readable -executable \\)", "! -name dark")
        monkeypatch.setattr(scripts, "LIST", listed.replace("! ! -name", "-name"))
    else:
        (folder / "dark").chmod(0)
    seen = list[str]()

    with pytest.raises(ListingIncomplete, match="dark/: Permission denied") as found:
        seen += (stored.key for stored in remote.listing())

    (folder / "dark").chmod(0o700)
    assert sorted(seen) == ["before", "with/key"]
    assert found.value.unseen == ("dark/",)


def test_over_there_what_find_writes_in_other_words_is_an_error_of_ours(
    remote: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "STAT", "echo welcome")

    with pytest.raises(StoreFailed, match="gave no description"):
        remote.stat("key")

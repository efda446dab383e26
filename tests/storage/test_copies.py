"""What the guard knows of copies: every one of a key, whose each is, and what is left when knowledge is lost."""

import json
import os
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exodus_storage_guard.admission.control import NOBODY, AdmissionControl
from exodus_storage_guard.errors import NotInitialised, ObjectMissing, StoreFailed
from exodus_storage_guard.model import ObjectState, StoredObject, Verdict
from exodus_storage_guard.state.contract import REBUILDING, Change
from exodus_storage_guard.stores.directory.store import DirectoryStore
from exodus_storage_guard.tiering import initialise, rebuild, recall, sync, verify
from exodus_storage_guard.tiering.archive import MARK, Archive
from exodus_storage_guard.tiering.bandwidth import Flow
from exodus_storage_guard.tiering.copy_names import copy_names, manifest_name
from exodus_storage_guard.tiering.copying import Copier, CopyDiffers
from exodus_storage_guard.tiering.run import Run
from exodus_storage_guard.transitions import Event
from tests.parts.doors import replace_methods
from tests.parts.guard import Guarded, apk_key, sha256_of, swept

KEY = apk_key(1)
OLD, NEW = b"the old content", b"the new content, longer"


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    """Give a platform whose every APK is old and one too many."""
    return Guarded(tmp_path).write(
        capacity={"total_bytes": 100}, admission={"emergency_reserve": 0}, watermarks={"low": "1%", "high": "2%"}
    )


def begun(guarded: Guarded, **doors: Any) -> Run:
    run = guarded.run(**doors)
    initialise.initialise(run)
    return run


def archived(run: Run, guarded: Guarded, key: str, content: bytes, *, days: float = 400) -> None:
    """Have an upload archived and released."""
    guarded.put(key, content=content, days=days)
    sync.sync(run, emptied=True)
    report = swept(run)
    assert key not in guarded.stored(), report


def state(run: Run, key: str = KEY) -> ObjectState:
    entry = run.catalogue.get(key)
    assert entry is not None
    return entry.state


def fetched(run: Run, guarded: Guarded, key: str = KEY) -> bytes:
    target = guarded.folder / "fetched"
    recall.fetch(run, key, str(target))
    return target.read_bytes()


def restored(run: Run, key: str = KEY) -> recall.Recalled:
    control = AdmissionControl(run.settings, run.catalogue, run.clock, NOBODY)
    return recall.restore(run, control, key)


def lost_catalogue(run: Run, guarded: Guarded) -> None:
    run.catalogue.database.close()  # type: ignore[attr-defined]  # a detail of these two kinds
    guarded.lose_catalogue()


def in_archive(guarded: Guarded) -> set[str]:
    """Name all that is in the archive but its mark."""
    found = {str(path.relative_to(guarded.archive)) for path in guarded.archive.rglob("*") if path.is_file()}
    return found - {MARK}


def verified(run: Run) -> list[tuple[str, Verdict]]:
    return sorted((one.key, one.verdict) for one in verify.verify(run, None))


# --- every copy of a key ---


def test_what_is_uploaded_over_an_archived_key_and_vanishes_leaves_the_archived_content(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    path = guarded.put(KEY, content=NEW)
    sync.sync(run)
    assert (state(run), verified(run)) == (ObjectState.RESIDENT, [(KEY, Verdict.OK)])
    path.unlink()

    sync.sync(run, emptied=True)

    assert state(run) is ObjectState.ARCHIVED
    assert fetched(run, guarded) == OLD
    restored(run)
    assert path.read_bytes() == OLD


def test_both_contents_of_a_key_are_verified_and_the_newest_is_rebuilt(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, NEW)
    archived(run, guarded, KEY, OLD)
    assert verified(run) == [(KEY, Verdict.OK)] * 2
    for manifest in guarded.archive.glob("*.manifest.json"):  # as if a day lay between
        fields = json.loads(manifest.read_text())
        day = "02" if fields["sha256"] == run.catalogue.copies_of(KEY)[0].sha256 else "01"
        manifest.write_text(json.dumps(fields | {"archived_at": f"2026-01-{day}T00:00:00Z"}))
    lost_catalogue(run, guarded)

    told = rebuild.rebuild(run)

    assert (told.archived, told.new, told.problems, told.anew) == (1, 1, (), True)
    assert fetched(run, guarded) == OLD
    assert verified(run) == [(KEY, Verdict.OK)] * 2


def test_an_older_copy_that_is_damaged_is_told_and_its_object_is_as_before(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    archived(run, guarded, KEY, NEW)
    (guarded.archive / KEY).write_bytes(b"x" * len(OLD))

    (wrong,) = (one for one in verify.verify(run, None) if one.verdict is not Verdict.OK)

    assert "it is an older one, and is known no more" in wrong.reason
    assert verified(run) == [(KEY, Verdict.OK)]
    assert fetched(run, guarded) == NEW
    assert [one.event for one in run.catalogue.history(KEY)][-1] == "lost"


def test_a_lost_object_names_what_there_is_and_is_restored_once_its_copy_is_right_again(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    archived(run, guarded, KEY, NEW)
    newest = guarded.archive / run.catalogue.copies_of(KEY)[0].name
    newest.rename(guarded.folder / "hidden")
    verified(run)
    assert state(run) is ObjectState.LOST

    for attempt in (lambda: restored(run), lambda: fetched(run, guarded)):
        with pytest.raises(ObjectMissing):
            attempt()
    with pytest.raises(ObjectMissing, match=f"older ones in .*: {KEY}"):
        restored(run)
    (guarded.folder / "hidden").rename(newest)

    assert fetched(run, guarded) == NEW
    assert restored(run).verdict is Verdict.OK
    assert (guarded.store / KEY).read_bytes() == NEW


def test_of_an_archive_that_is_away_nothing_is_lost(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    looks = verify.verify(run, None)
    hidden = guarded.folder / "unmounted"
    original = Archive.sha256

    class Unmounted(Archive):
        def sha256(self, name: str, moved: Any = None) -> str:
            guarded.archive.rename(hidden)
            guarded.archive.mkdir()
            return original(self, name)

    assert run.archive is not None
    unmounted = replace(run, archive=Unmounted(run.archive.store))
    del looks

    (told,) = verify.verify(unmounted, None)

    assert (told.verdict, "is its disk mounted?" in told.reason) == (Verdict.CRITICAL, True)
    assert state(run) is ObjectState.ARCHIVED


# --- a takedown ---


def test_forgetting_removes_every_copy_and_a_rebuild_brings_none_back(guarded: Guarded) -> None:
    run = begun(guarded)
    other = apk_key(2)
    archived(run, guarded, other, OLD)
    for content in (OLD, NEW, OLD + NEW):
        archived(run, guarded, KEY, content)
    assert run.archive is not None
    run.archive.quarantine(run.catalogue.copies_of(KEY)[1].name)
    (guarded.archive / f".exodus-quarantine/0123abcd-{KEY}").write_bytes(b"never described")
    (guarded.archive / f"{KEY}~0123456789ab").write_bytes(b"nor this")
    aside = {name for name in in_archive(guarded) if name.startswith(".exodus-quarantine")}
    assert len(aside) == 3, "the copy that was put aside has its manifest with it"

    assert recall.forget(run, KEY).verdict is Verdict.OK

    assert in_archive(guarded) == {other, manifest_name(other)}
    assert verified(run) == [(other, Verdict.OK)]
    lost_catalogue(run, guarded)
    rebuild.rebuild(run)
    assert run.catalogue.get(KEY) is None
    assert state(run, other) is ObjectState.ARCHIVED


def test_a_takedown_that_is_cut_short_is_done_again(guarded: Guarded) -> None:
    run = begun(guarded)
    for content in (OLD, NEW):
        archived(run, guarded, KEY, content)
    assert run.archive is not None
    calls = list[StoredObject]()

    def dying(store: DirectoryStore, stored: StoredObject) -> bool:
        if calls:
            raise StoreFailed("killed")
        calls.append(stored)
        return DirectoryStore.delete(store, stored)

    replace_methods(run.archive.store, delete=dying)
    with pytest.raises(StoreFailed, match="killed"):
        recall.forget(run, KEY)
    lost_catalogue(run, guarded)
    again = guarded.run()
    rebuild.rebuild(again)

    assert recall.forget(again, KEY).verdict is Verdict.OK
    assert in_archive(guarded) == set()


def test_what_was_forgotten_and_is_put_back_into_the_archive_is_told_and_not_taken(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    kept = {name: (guarded.archive / name).read_bytes() for name in in_archive(guarded)}
    recall.forget(run, KEY)
    for name, content in kept.items():  # from a backup of the archive
        (guarded.archive / name).write_bytes(content)

    told = rebuild.rebuild(run)

    assert [f"forget {KEY}" in problem for problem in told.problems] == [True]
    assert state(run) is ObjectState.GONE
    recall.forget(run, KEY)
    assert in_archive(guarded) == set()
    assert recall.forget(run, KEY).reason == "is forgotten already"


@pytest.mark.parametrize("target", [MARK, apk_key(2), f".exodus-quarantine/0123abcd-{apk_key(2)}"])
def test_nothing_is_removed_that_is_not_of_the_key(guarded: Guarded, target: str) -> None:
    run = begun(guarded)
    for number in (1, 2):
        archived(run, guarded, apk_key(number), OLD)
    (guarded.archive / ".exodus-quarantine").mkdir()
    (guarded.archive / f".exodus-quarantine/0123abcd-{apk_key(2)}").write_bytes(b"put aside")
    before = {name: sha256_of(guarded.archive / name) for name in {*in_archive(guarded), MARK}}
    execute = "UPDATE objects SET copy = CAST(? AS BLOB)"
    run.catalogue.database.write(lambda session: session.execute(execute, (target,)))  # type: ignore[attr-defined]  # by hand

    with pytest.raises(StoreFailed, match="nothing was removed"):
        recall.forget(run, KEY)

    assert {name: sha256_of(guarded.archive / name) for name in {*in_archive(guarded), MARK}} == before


# --- whose a name is ---


class Folding(DirectoryStore):
    """A folder to which names that differ in case, or in how letters are composed, are one."""

    def _folder_of(self, key: str, *, make: bool = False) -> Any:
        names = (str(path.relative_to(self._folder)) for path in self._folder.rglob("*") if path.is_file())
        present = {unicodedata.normalize("NFC", name).casefold(): name for name in names}
        return super()._folder_of(present.get(unicodedata.normalize("NFC", key).casefold(), key), make=make)


@pytest.mark.parametrize("content", [(OLD, OLD, OLD), (OLD, NEW, OLD)], ids=["same", "other"])
@pytest.mark.parametrize("fold", [str.swapcase, lambda key: unicodedata.normalize("NFD", key)], ids=["case", "form"])
def test_keys_that_are_one_name_to_the_archive_have_copies_of_their_own(
    guarded: Guarded, fold: Callable[[str], str], content: tuple[bytes, bytes, bytes]
) -> None:
    guarded.write(
        capacity={"total_bytes": 100},
        admission={"emergency_reserve": 0},
        watermarks={"low": "1%", "high": "2%"},
        select={"pattern": "."},
    )
    archive = Archive(Folding(guarded.archive))
    run = begun(guarded, archive=archive)
    key = "\u00fcber \u00e9toile.apk"
    keys = [key, fold(key), fold(key).title() if fold is str.swapcase else key.upper()]
    assert len(set(keys)) == 3
    for one, bytes_ in zip(keys, content, strict=True):
        archived(run, guarded, one, bytes_)

    assert [fetched(run, guarded, one) for one in keys] == list(content)
    assert len({run.catalogue.get(one).copy for one in keys}) == 3  # type: ignore[union-attr]  # all of them are known
    recall.forget(run, keys[0])
    assert [fetched(run, guarded, one) for one in keys[1:]] == list(content[1:])
    lost_catalogue(run, guarded)
    told = rebuild.rebuild(run)
    assert (told.archived, told.problems) == (2, ())
    assert [fetched(run, guarded, one) for one in keys[1:]] == list(content[1:])


@pytest.mark.parametrize("first", [0, 1])
def test_a_key_that_is_called_as_another_ones_second_copy_keeps_its_own(guarded: Guarded, first: int) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    second = guarded.put(KEY, content=NEW)
    pretender = copy_names(KEY, sha256_of(second))[1] + ".apk"
    named_alike = copy_names(KEY, sha256_of(second))[1]
    guarded.write(
        capacity={"total_bytes": 100},
        admission={"emergency_reserve": 0},
        watermarks={"low": "1%", "high": "2%"},
        select={"pattern": "."},
    )
    run = guarded.run()
    contents = [(KEY, NEW), (named_alike, b"a third one"), (pretender, b"a fourth")]
    for key, content in (contents, contents[::-1])[first]:
        archived(run, guarded, key, content)

    assert [fetched(run, guarded, key) for key, _ in contents] == [content for _, content in contents]
    assert not (guarded.archive / ".exodus-quarantine").exists()
    assert {verdict for _, verdict in verified(run)} == {Verdict.OK}


def test_a_copy_that_was_named_before_tildes_were_escaped_is_rebuilt_and_forgotten(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    key = f"{KEY}~0123456789ab"
    fields = json.loads((guarded.archive / manifest_name(KEY)).read_text())
    (guarded.archive / KEY).rename(guarded.archive / key)
    (guarded.archive / manifest_name(KEY)).unlink()
    (guarded.archive / manifest_name(key)).write_text(json.dumps(fields | {"key": key}))
    lost_catalogue(run, guarded)

    assert rebuild.rebuild(run).problems == ()
    assert fetched(run, guarded, key) == OLD
    recall.forget(run, key)
    assert in_archive(guarded) == set()


# --- what is left of knowledge ---


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text("{}"),
        lambda path: path.write_bytes(b"\0" * 400),
        lambda path: path.write_text(path.read_text().replace(apk_key(2), apk_key(3))),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
    ],
    ids=["empty", "zeros", "another key", "folder", "link"],
)
def test_a_manifest_that_is_broken_is_one_problem_and_the_others_are_taken(
    guarded: Guarded, spoil: Callable[[Path], object]
) -> None:
    run = begun(guarded)
    for number in (1, 2, 4):
        archived(run, guarded, apk_key(number), OLD)
    spoil(guarded.archive / manifest_name(apk_key(2)))
    lost_catalogue(run, guarded)

    told = rebuild.rebuild(run)

    assert (told.archived, len(told.problems)) == (2, 1)
    assert apk_key(2) in told.problems[0]
    assert not run.catalogue.settled()[REBUILDING]


def test_a_copy_whose_manifest_is_moved_away_is_adopted_as_the_message_says(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    manifest = guarded.archive / manifest_name(KEY)
    manifest.write_text("{}")
    lost_catalogue(run, guarded)
    (problem,) = rebuild.rebuild(run).problems
    assert "move that manifest away and run this again" in problem

    manifest.unlink()

    assert rebuild.rebuild(run).problems == ()
    assert fetched(run, guarded) == OLD


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.write_text("{}"), "is no manifest"),
        (lambda path: path.unlink(), "it has no manifest"),
        (lambda path: path.write_text(path.read_text().replace(KEY, apk_key(3))), "of another key"),
    ],
    ids=["broken", "missing", "another key"],
)
def test_what_is_proven_is_restored_without_its_manifest_and_what_is_missing_is_said(
    guarded: Guarded, spoil: Callable[[Path], object], why: str
) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    spoil(guarded.archive / manifest_name(KEY))

    assert verified(run) == [(KEY, Verdict.OK)]
    assert fetched(run, guarded) == OLD
    told = restored(run)

    assert (told.verdict, (guarded.store / KEY).read_bytes()) == (Verdict.OK, OLD)
    assert "its content type and metadata are not known" in told.reason
    assert why in told.reason


def test_what_is_restored_with_its_manifest_lacks_nothing(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)

    assert restored(run).reason == "restored, and held"
    assert sync.sync(run).changes == {}


def test_a_rebuild_that_is_cut_short_says_so_until_it_is_run_again(guarded: Guarded) -> None:
    run = begun(guarded)
    for number in range(1, 5):
        archived(run, guarded, apk_key(number), OLD)
    lost_catalogue(run, guarded)
    dying, left = guarded.run(), [2]
    assert dying.archive is not None

    def read_small(store: DirectoryStore, key: str) -> bytes | None:
        left[0] -= key != MARK
        if left[0] < 0:
            raise KeyboardInterrupt
        return DirectoryStore.read_small(store, key)

    replace_methods(dying.archive.store, read_small=read_small)
    with pytest.raises(KeyboardInterrupt):
        rebuild.rebuild(dying)

    run = guarded.run()
    known = {apk_key(number) for number in range(1, 5) if run.catalogue.get(apk_key(number))}
    assert len(known) == 2
    checked = guarded("check", "--json").json
    assert checked["verdict"] == "warning"
    assert "a rebuild has not come to its end" in checked["reason"]
    for key in {apk_key(number) for number in range(1, 5)} - known:
        with pytest.raises(ObjectMissing, match="run it again, and it goes on: exodus-storage-guard rebuild"):
            fetched(run, guarded, key)
    told = rebuild.rebuild(run)
    assert (told.archived, told.new) == (4, 2)
    assert guarded("check", "--json").json["verdict"] == "ok"
    with pytest.raises(ObjectMissing, match="exodus-storage-guard sync"):
        fetched(run, guarded, apk_key(9))


def test_no_listing_waits_while_manifests_are_read(guarded: Guarded) -> None:
    run = begun(guarded)
    for number in range(1, 5):
        archived(run, guarded, apk_key(number), OLD)
    lost_catalogue(run, guarded)
    listing = list[bool]()

    def listed(store: DirectoryStore) -> Iterator[StoredObject]:
        listing.append(True)
        yield from DirectoryStore.listing(store)
        listing.pop()

    def read_small(store: DirectoryStore, key: str) -> bytes | None:
        assert not listing
        return DirectoryStore.read_small(store, key)

    assert run.archive is not None
    replace_methods(run.archive.store, listing=listed, read_small=read_small)

    assert rebuild.rebuild(run).archived == 4
    recall.forget(run, KEY)


def test_a_rebuild_over_a_living_catalogue_says_how_many_are_known_and_that_holds_are_not_in_the_archive(
    guarded: Guarded,
) -> None:
    run = begun(guarded)
    for number in range(1, 4):
        archived(run, guarded, apk_key(number), OLD)

    alive = guarded("rebuild")
    lost_catalogue(run, guarded)
    anew = guarded("rebuild")

    assert "3 archived are known, 0 of them new from manifests" in alive.stdout
    assert "3 archived are known, 3 of them new from manifests" in anew.stdout
    assert "holds" not in alive.stdout
    assert "holds are not in the archive: hold again" in anew.stdout


def test_an_object_whose_copy_is_missing_is_lost_and_one_that_is_in_the_store_is_not(guarded: Guarded) -> None:
    run = begun(guarded)
    for number in (1, 2):
        archived(run, guarded, apk_key(number), OLD)
    guarded.put(apk_key(2), content=OLD)
    for number in (1, 2):
        (guarded.archive / apk_key(number)).unlink()
    lost_catalogue(run, guarded)

    told = guarded("rebuild", "--json")

    assert (told.exit_code, told.json["verdict"], told.json["lost"]) == (1, "critical", 1)
    assert len(told.json["problems"]) == 2
    run = guarded.run()
    assert (state(run), state(run, apk_key(2))) == (ObjectState.LOST, ObjectState.RESIDENT)
    assert verified(run) == [(KEY, Verdict.CRITICAL)]
    (guarded.archive / KEY).write_bytes(OLD)
    assert verified(run) == [(KEY, Verdict.OK)]
    assert fetched(run, guarded) == OLD


def test_a_state_that_knows_its_archive_is_rebuilt_from_no_other_one(guarded: Guarded) -> None:
    """As where its disk is not mounted, and nothing has been archived yet."""
    run = begun(guarded)
    (guarded.archive / MARK).unlink()

    with pytest.raises(NotInitialised, match="is its disk mounted"):
        rebuild.rebuild(run)

    assert not (guarded.archive / MARK).exists()


# --- what lies there and nobody proved ---


def torn(guarded: Guarded, name: str) -> Path:
    """Leave half of an rsync of 2019 in the archive."""
    path = guarded.archive / name
    path.write_bytes(b"torn")
    os.utime(path, (1.55e9, 1.55e9))
    return path


def aside(guarded: Guarded) -> list[bytes]:
    return [path.read_bytes() for path in guarded.archive.glob(".exodus-quarantine/*") if path.is_file()]


def test_a_plain_file_is_not_taken_where_a_described_copy_of_its_key_is_known(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    second = copy_names(KEY, run.catalogue.copies_of(KEY)[0].sha256)[1]
    for name in (str, manifest_name):
        (guarded.archive / name(KEY)).rename(guarded.archive / name(second))
    plain = torn(guarded, KEY)
    lost_catalogue(run, guarded)

    told = rebuild.rebuild(run)

    assert (told.archived, told.adopted, len(told.problems)) == (1, 0, 1)
    assert f"{KEY}: it has no manifest, and is not the copy" in told.problems[0]
    assert fetched(run, guarded) == OLD
    assert not (guarded.archive / manifest_name(KEY)).exists()
    plain.unlink()  # as the message says
    assert rebuild.rebuild(run).problems == ()


def test_a_plain_file_is_not_taken_while_its_object_is_being_copied(guarded: Guarded) -> None:
    run = begun(guarded)
    guarded.put(KEY, content=OLD)
    sync.sync(run)
    entry, now = run.catalogue.get(KEY), run.clock.now()
    assert entry is not None
    (copying,) = run.catalogue.change([Change(entry, Event.COPY_BEGUN, "test", owner=run.owner)], now)
    torn(guarded, KEY)  # half of what is being copied, or a copy of before that somebody damaged

    told = rebuild.rebuild(run)

    assert "is being copied at this moment" in told.problems[0]
    assert not (guarded.archive / manifest_name(KEY)).exists()
    run.catalogue.change([Change(copying, Event.COPY_ABANDONED, "test")], now)
    assert (rebuild.rebuild(run).adopted, run.catalogue.copies_of(KEY)[0].name) == (1, KEY)


def test_a_copy_that_is_known_and_has_lost_its_manifest_is_described_again(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    (guarded.archive / manifest_name(KEY)).unlink()

    assert rebuild.rebuild(run).problems == ()

    lost_catalogue(run, guarded)
    assert rebuild.rebuild(run).archived == 1
    assert fetched(run, guarded) == OLD


def test_what_was_adopted_from_a_plain_file_is_older_than_what_was_seen_in_the_store(guarded: Guarded) -> None:
    run = begun(guarded)
    os.utime(torn(guarded, KEY))  # today, and the object is of last year
    guarded.put(KEY, content=OLD)
    assert rebuild.rebuild(run).adopted == 1
    archived(run, guarded, KEY, OLD)
    assert [one.stored.bytes for one in run.catalogue.copies_of(KEY)] == [len(OLD), len(b"torn")]
    lost_catalogue(run, guarded)

    rebuild.rebuild(run)

    assert fetched(run, guarded) == OLD


def test_a_plain_file_that_differs_stays_beside_the_copy_of_its_key_and_is_never_taken_for_it(guarded: Guarded) -> None:
    run = begun(guarded)
    plain = torn(guarded, KEY)

    archived(run, guarded, KEY, OLD)
    lost_catalogue(run, guarded)

    assert "it has no manifest, and is not the copy" in rebuild.rebuild(run).problems[0]
    assert (plain.read_bytes(), aside(guarded)) == (b"torn", [])
    assert fetched(run, guarded) == OLD


def test_an_older_version_that_has_lost_its_manifest_stays_when_a_newer_one_is_copied(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    (guarded.archive / manifest_name(KEY)).unlink()

    archived(run, guarded, KEY, NEW)

    assert [one.stored.bytes for one in run.catalogue.copies_of(KEY)] == [len(NEW), len(OLD)]
    assert ((guarded.archive / KEY).read_bytes(), aside(guarded)) == (OLD, [])
    assert fetched(run, guarded) == NEW


def test_a_plain_file_that_may_be_another_keys_is_left(guarded: Guarded) -> None:
    run = begun(guarded, archive=Archive(Folding(guarded.archive)))
    other = torn(guarded, KEY.swapcase())

    archived(run, guarded, KEY, OLD)

    assert (other.read_bytes(), aside(guarded)) == (b"torn", [])
    assert fetched(run, guarded) == OLD


@pytest.mark.parametrize("is_there_before", [True, False])
def test_a_copy_that_was_there_before_is_not_put_aside_for_what_the_platform_recorded(
    guarded: Guarded, is_there_before: bool
) -> None:
    run = begun(guarded)
    if is_there_before:
        archived(run, guarded, KEY, OLD)
    guarded.put(KEY, content=OLD, days=300)
    sync.sync(run)
    entry = run.catalogue.get(KEY)
    assert entry is not None
    assert run.archive is not None
    flow = Flow(0, run.clock, lambda size_bytes: None)
    copier = Copier(run.store, run.archive, flow, run.clock)

    with pytest.raises(CopyDiffers, match="the copy stays, too" if is_there_before else "the copy is put aside"):
        copier.prove(replace(entry, recorded_sha256="0" * 64))

    assert (guarded.archive / KEY).exists() is is_there_before
    assert aside(guarded) == ([] if is_there_before else [OLD])


# --- which version is the newest, and what is left of it ---


def test_the_newest_version_is_the_one_that_was_uploaded_last_whatever_the_clock_said(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    manifest = guarded.archive / manifest_name(KEY)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"archived_at": "2039-01-01T00:00:00Z"}))
    archived(run, guarded, KEY, NEW, days=300)
    lost_catalogue(run, guarded)

    rebuild.rebuild(run)

    assert fetched(run, guarded) == NEW
    assert [one.stored.bytes for one in run.catalogue.copies_of(KEY)] == [len(NEW), len(OLD)]


@pytest.mark.parametrize("is_sound", [True, False])
def test_a_lost_object_is_archived_by_a_rebuild_where_its_copy_is_right_again(guarded: Guarded, is_sound: bool) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    copy = guarded.archive / KEY
    copy.rename(guarded.folder / "hidden")
    verified(run)
    assert state(run) is ObjectState.LOST
    copy.write_bytes(OLD if is_sound else b"x" * len(OLD))

    told = rebuild.rebuild(run)

    assert (told.archived, told.lost, len(told.problems)) == ((1, 0, 0) if is_sound else (0, 1, 1))
    assert [one.name for one in run.catalogue.copies_of(KEY)] == ([KEY] if is_sound else [])


def test_a_copy_that_is_put_aside_at_its_release_does_not_hide_an_older_one(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    guarded.put(KEY, content=NEW)
    sync.sync(run)
    entry = run.catalogue.get(KEY)
    assert entry is not None
    now = run.clock.now()
    for event, name, sha256 in (
        (Event.COPY_BEGUN, None, None),
        (Event.COPY_PROVEN, "second", "00"),
        (Event.RELEASE_BEGUN, None, None),
        (Event.COPY_DIFFERED, None, None),
    ):
        (entry,) = run.catalogue.change([Change(entry, event, "test", copy=name, sha256=sha256)], now)
    (guarded.store / KEY).unlink()

    sync.sync(run, emptied=True)

    assert fetched(run, guarded) == OLD


# --- a takedown beside others ---


def any_key(guarded: Guarded) -> Run:
    guarded.write(
        capacity={"total_bytes": 100},
        admission={"emergency_reserve": 0},
        watermarks={"low": "1%", "high": "2%"},
        select={"pattern": "."},
    )
    return begun(guarded)


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("{}")], ids=["gone", "broken"])
@pytest.mark.parametrize("other", ["App.apk", "app.apk~0123456789ab"])
def test_forgetting_leaves_what_is_known_as_another_keys(
    guarded: Guarded, other: str, spoil: Callable[[Path], object]
) -> None:
    run = any_key(guarded)
    for key, content in (("app.apk", OLD), (other, NEW)):
        archived(run, guarded, key, content)
    entry = run.catalogue.get(other)
    assert entry is not None
    assert entry.copy is not None
    for name in (str, manifest_name):  # as `~` was written once
        (guarded.archive / name(entry.copy)).rename(guarded.archive / name(other))
    execute = "UPDATE {} SET {} = CAST(? AS BLOB) WHERE key = CAST(? AS BLOB)"
    for table, column in (("objects", "copy"), ("copies", "name")):
        sql = execute.format(table, column)
        run.catalogue.database.write(lambda session: session.execute(sql, (other, other)))  # type: ignore[attr-defined]  # noqa: B023 - by hand, and called at once
    spoil(guarded.archive / manifest_name(other))

    assert recall.forget(run, "app.apk").reason == "forgotten"

    assert not (guarded.archive / "app.apk").exists()
    assert fetched(run, guarded, other) == NEW


def test_forgetting_names_what_is_only_similar_and_leaves_it(guarded: Guarded) -> None:
    run = any_key(guarded)
    archived(run, guarded, "app.apk", OLD)
    similar = torn(guarded, "APP.apk")
    torn(guarded, "app.apk~0123456789ab")

    told = recall.forget(run, "app.apk")

    assert told.reason == "forgotten; nothing says whose these are, and they were left: APP.apk"
    assert in_archive(guarded) == {similar.name}


@pytest.mark.parametrize("content", [OLD, NEW], ids=["the same", "other"])
def test_what_is_uploaded_again_and_archived_while_the_archive_is_listed_is_not_forgotten(
    guarded: Guarded, content: bytes
) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    beside = guarded.run()
    assert run.archive is not None

    def listing(store: DirectoryStore) -> Iterator[StoredObject]:
        archived(beside, guarded, KEY, content)
        yield from DirectoryStore.listing(store)

    replace_methods(run.archive.store, listing=listing)

    with pytest.raises(StoreFailed, match="was changed meanwhile, and nothing was removed; run it again"):
        recall.forget(run, KEY)

    assert fetched(run, guarded) == content
    assert recall.forget(beside, KEY).reason == "forgotten"


def test_what_is_uploaded_again_while_its_copies_are_removed_keeps_the_others(guarded: Guarded) -> None:
    run = begun(guarded)
    archived(run, guarded, KEY, OLD)
    archived(run, guarded, KEY, NEW)
    beside, begun_ = guarded.run(), list[str]()
    assert run.archive is not None

    def delete(store: DirectoryStore, stored: StoredObject) -> bool:
        if not begun_:
            begun_.append(stored.key)
            guarded.put(KEY, content=NEW)
            sync.sync(beside)
        return DirectoryStore.delete(store, stored)

    replace_methods(run.archive.store, delete=delete)

    with pytest.raises(StoreFailed, match="changed meanwhile; run it again"):
        recall.forget(run, KEY)

    assert state(beside) is ObjectState.RESIDENT
    assert len(in_archive(guarded)) == 2, "one copy, with its manifest"

"""What every catalogue does: one suite, over each of them."""

import gc
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exodus_common.errors import ExodusError
from exodus_storage_guard.errors import ListingIncomplete, NotInitialised, StateFailed
from exodus_storage_guard.model import Capacity, Entry, ObjectState, Record, Reservation, Seen, StoredObject, Total
from exodus_storage_guard.state.contract import Catalogue, Change
from exodus_storage_guard.state.postgresql import PostgresqlCatalogue
from exodus_storage_guard.state.sqlite import SqliteCatalogue
from exodus_storage_guard.transitions import TRANSITIONS, Event
from tests.parts.postgresql import Postgresql
from tests.parts.service import opened

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOTHING_SEEN = Seen()


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalogue]:
    """Give an empty catalogue of each kind."""
    made: SqliteCatalogue | PostgresqlCatalogue = SqliteCatalogue(tmp_path / "state/state.db")
    if request.param == "postgresql":
        server: Postgresql = request.getfixturevalue("postgresql")
        made = PostgresqlCatalogue(server.database())
    made.create()
    yield made
    made.database.close()


def stored(key: str, *, size: int = 10, etag: str = "e", age: int = 0) -> StoredObject:
    return StoredObject(key, size, etag, T0 - age * HOUR)


def listed(catalogue: Catalogue, *objects: StoredObject, at: datetime = T0) -> dict[str, int]:
    return dict(catalogue.apply_listing(iter(objects), at).changes)


def got(catalogue: Catalogue, key: str) -> Entry:
    entry = catalogue.get(key)
    assert entry is not None
    return entry


def brought(catalogue: Catalogue, key: str, *events: Event, at: datetime = T0) -> Entry:
    """Bring an object through some events."""
    for event in events:
        proof = {"sha256": "ab", "copy": key} if event is Event.COPY_PROVEN else {}
        assert catalogue.change([Change(got(catalogue, key), event, "test", **proof)], at)  # type: ignore[arg-type]
    return got(catalogue, key)


def reservation(name: str, size: int = 10) -> Reservation:
    return Reservation(name, size, 2 * size, T0, T0 + HOUR)


def commit_all(catalogue: Catalogue, committed_at: Mapping[str, datetime]) -> None:
    for name, at in committed_at.items():
        catalogue.reserve(reservation(name), lambda others, totals: True)
        catalogue.commit(replace(reservation(name), committed_at=at), None, NOTHING_SEEN)


# --- listings ---


def test_a_first_listing_is_found_and_a_second_one_changes_nothing(catalogue: Catalogue) -> None:
    objects = [stored(f"{number}.apk", size=number) for number in range(12_000)]

    assert listed(catalogue, *objects) == {"added": 12_000}
    assert listed(catalogue, *reversed(objects), at=T0 + HOUR) == {}

    assert catalogue.totals() == {ObjectState.RESIDENT: Total(12_000, sum(range(12_000)))}


def test_what_others_did_to_the_store_is_noticed(catalogue: Catalogue) -> None:
    listed(catalogue, stored("stays"), stored("goes"), stored("changes"))

    changes = listed(catalogue, stored("stays"), stored("changes", etag="f", age=1), stored("new"), at=T0 + HOUR)

    assert changes == {"added": 1, "vanished": 1, "changed": 1}
    states = {key: got(catalogue, key).state for key in ("stays", "goes", "changes", "new")}
    assert states == {
        "stays": ObjectState.RESIDENT,
        "goes": ObjectState.GONE,
        "changes": ObjectState.RESIDENT,
        "new": ObjectState.RESIDENT,
    }
    assert got(catalogue, "changes").stored.etag == "f"
    assert [(one.event, one.reason) for one in catalogue.history("goes")] == [
        ("resident", "found in the store"),
        ("gone", "deleted by others"),
    ]


def test_a_changed_object_is_proven_no_more_and_one_that_was_only_touched_keeps_no_proof_either(
    catalogue: Catalogue,
) -> None:
    listed(catalogue, stored("a"), stored("b"))
    brought(catalogue, "a", Event.COPY_BEGUN, Event.COPY_PROVEN)

    changes = listed(catalogue, stored("a", etag="touched"), stored("b", etag="touched"), at=T0 + HOUR)

    assert changes == {"changed": 1}
    proven, resident = got(catalogue, "a"), got(catalogue, "b")
    assert (proven.state, proven.sha256, proven.copy) == (ObjectState.RESIDENT, None, None)
    assert (resident.stored.etag, len(list(catalogue.history("b")))) == ("touched", 1)


def test_a_premigrated_object_that_others_delete_is_archived(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"), stored("b"))
    brought(catalogue, "a", Event.COPY_BEGUN, Event.COPY_PROVEN)

    listed(catalogue, stored("b"), at=T0 + HOUR)

    assert (got(catalogue, "a").state, got(catalogue, "a").sha256) == (ObjectState.ARCHIVED, "ab")


ARCHIVING = (Event.COPY_BEGUN, Event.COPY_PROVEN, Event.RELEASE_BEGUN, Event.RELEASED)


def test_what_a_listing_could_not_look_at_is_neither_gone_nor_changed(catalogue: Catalogue) -> None:
    keys = ("a/1", "a/b/1", "a/b/2", "a/bc", "a/c", "z")
    listed(catalogue, *map(stored, keys))

    def incomplete() -> Iterator[StoredObject]:
        yield stored("a/1")
        yield stored("a/b/2", size=20)
        raise ListingIncomplete("the store", {"a/b/": "Permission denied", "z": "Input/output error"})

    found = catalogue.apply_listing(incomplete(), T0 + HOUR)

    assert found.unseen == ("a/b/", "z")
    assert {key: got(catalogue, key).state.value for key in keys} == {
        **dict.fromkeys(("a/1", "a/b/1", "a/b/2", "z"), "resident"),
        **dict.fromkeys(("a/bc", "a/c"), "gone"),
    }
    assert got(catalogue, "a/b/2").bytes == 20, "what was seen below such a place is believed"


def test_what_went_while_the_listing_ran_is_not_found_again(catalogue: Catalogue) -> None:
    listed(catalogue, stored("archived"))
    brought(catalogue, "archived", *ARCHIVING, at=T0 + HOUR)

    assert listed(catalogue, stored("archived"), at=T0 + HOUR / 2) == {}

    assert got(catalogue, "archived").state is ObjectState.ARCHIVED


def test_what_is_back_as_it_was_archived_keeps_its_proof_and_what_is_other_does_not(catalogue: Catalogue) -> None:
    listed(catalogue, stored("same"), stored("other"))
    for key in ("same", "other"):
        brought(catalogue, key, *ARCHIVING)

    assert listed(catalogue, stored("same"), stored("other", etag="new"), at=T0 + HOUR) == {
        "returned": 1,
        "found": 1,
    }

    same, other = got(catalogue, "same"), got(catalogue, "other")
    assert (same.state, same.sha256, same.copy) == (ObjectState.PREMIGRATED, "ab", "same")
    assert (other.state, other.sha256, other.copy) == (ObjectState.RESIDENT, None, None)
    assert listed(catalogue, at=T0 + 2 * HOUR) == {"vanished": 2, "copy-found": 1}
    assert got(catalogue, "same").state is ObjectState.ARCHIVED


def test_what_came_while_the_listing_ran_is_not_gone(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"))
    one = reservation("r")
    catalogue.reserve(one, lambda others, totals: True)
    catalogue.commit(replace(one, committed_at=T0 + 2 * HOUR), stored("fresh"), NOTHING_SEEN)

    listed(catalogue, stored("a"), at=T0 + HOUR)

    assert got(catalogue, "fresh").state is ObjectState.RESIDENT


def test_what_an_upload_committed_is_completed_by_the_next_listing(catalogue: Catalogue) -> None:
    one = reservation("r")
    catalogue.reserve(one, lambda others, totals: True)
    assert catalogue.commit(replace(one, committed_at=T0), stored("fresh", size=10, etag=""), NOTHING_SEEN)

    changes = listed(catalogue, stored("fresh", size=12, etag="real"), at=T0 + HOUR)

    assert changes == {}
    assert (got(catalogue, "fresh").stored.etag, catalogue.totals()[ObjectState.RESIDENT]) == ("real", Total(1, 12))


def test_what_is_at_work_is_left_alone_by_a_listing(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"), stored("b"))
    brought(catalogue, "a", Event.COPY_BEGUN)
    brought(catalogue, "b", Event.COPY_BEGUN, Event.COPY_PROVEN, Event.RELEASE_BEGUN)

    assert listed(catalogue, at=T0 + HOUR) == {}
    assert got(catalogue, "a").state is ObjectState.COPYING
    assert got(catalogue, "b").state is ObjectState.RELEASING


# --- what is uploaded again ---


def uploaded(catalogue: Catalogue, key: str, *, at: datetime, size: int = 10) -> bool:
    one = replace(reservation(f"{key} {at}", size), key=key)
    catalogue.reserve(one, lambda others, totals: True)
    return catalogue.commit(replace(one, committed_at=at), stored(key, size=size, etag=""), NOTHING_SEEN)


@pytest.mark.parametrize(
    "before",
    [
        (),
        (Event.COPY_BEGUN,),
        (Event.COPY_BEGUN, Event.COPY_FAILED),
        (Event.COPY_BEGUN, Event.COPY_PROVEN),
        (Event.COPY_BEGUN, Event.COPY_PROVEN, Event.RELEASE_BEGUN),
        ARCHIVING,
    ],
    ids=["resident", "copying", "failed", "premigrated", "releasing", "archived"],
)
def test_a_known_key_that_is_uploaded_again_is_young_and_not_proven(
    catalogue: Catalogue, before: tuple[Event, ...]
) -> None:
    catalogue.apply_listing(iter([stored("a", age=900)]), T0 - HOUR, iter([Record("a", T0 - 900 * HOUR, "ab" * 32)]))
    was = brought(catalogue, "a", *before, at=T0 - HOUR)

    assert uploaded(catalogue, "a", at=T0, size=12)

    now = got(catalogue, "a")
    assert (now.state, now.aged_from, now.bytes, now.stored.etag) == (ObjectState.RESIDENT, T0, 12, "")
    assert (now.sha256, now.copy, now.copy_mark, now.owner, now.retry_at, now.failures) == (None,) * 5 + (0,)
    assert list(catalogue.candidates(T0 - HOUR)) == []
    assert [(one.event, one.reason) for one in catalogue.history("a")][-1] == ("resident", "uploaded again")
    assert catalogue.totals() == {ObjectState.RESIDENT: Total(1, 12)}
    for event in (event for event, table in TRANSITIONS.items() if was.state in table):
        assert catalogue.change([Change(was, event, "by whoever was at work on what was there before")], T0) == []


def test_an_upload_without_a_reservation_changes_no_object(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a", age=900))

    assert not catalogue.commit(replace(reservation("none"), committed_at=T0), stored("a", etag=""), NOTHING_SEEN)

    assert got(catalogue, "a").stored == stored("a", age=900)


def test_a_listing_that_began_before_the_upload_does_not_complete_it(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a", age=900), at=T0 - HOUR)
    uploaded(catalogue, "a", at=T0)

    assert listed(catalogue, stored("a", age=900), at=T0 - HOUR / 2) == {}
    assert got(catalogue, "a").stored == stored("a", etag="")
    listed(catalogue, stored("a"), at=T0 + HOUR)
    assert got(catalogue, "a").stored == stored("a")


@pytest.mark.parametrize("before", [(), (Event.COPY_BEGUN, Event.COPY_PROVEN)], ids=["resident", "premigrated"])
@pytest.mark.parametrize("age", [1, 1800], ids=["newer", "older"])
def test_the_same_etag_with_another_time_is_another_upload(
    catalogue: Catalogue, before: tuple[Event, ...], age: int
) -> None:
    listed(catalogue, stored("a", age=900))
    brought(catalogue, "a", *before)

    assert listed(catalogue, stored("a", age=age), at=T0 + HOUR) == {"changed": 1}

    now = got(catalogue, "a")
    assert (now.state, now.sha256, now.stored) == (ObjectState.RESIDENT, None, stored("a", age=age))


def test_the_same_etag_with_another_fraction_of_a_second_is_none(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"))
    brought(catalogue, "a", Event.COPY_BEGUN, Event.COPY_PROVEN)
    precise = replace(stored("a"), last_modified=T0 + timedelta(milliseconds=999))

    assert listed(catalogue, precise, at=T0 + HOUR) == {}

    assert got(catalogue, "a").state is ObjectState.PREMIGRATED


def test_what_was_archived_and_is_there_with_a_newer_time_has_to_be_proven_again(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a", age=900))
    brought(catalogue, "a", *ARCHIVING)

    assert listed(catalogue, stored("a", age=-1), at=T0 + HOUR) == {"found": 1}

    assert (got(catalogue, "a").state, got(catalogue, "a").sha256) == (ObjectState.RESIDENT, None)


def test_a_listing_fills_nothing_in_where_something_is_proven(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a", etag=""))
    brought(catalogue, "a", Event.COPY_BEGUN, Event.COPY_PROVEN)

    assert listed(catalogue, stored("a", etag="real", size=12), at=T0 + HOUR) == {"changed": 1}

    assert (got(catalogue, "a").state, got(catalogue, "a").sha256) == (ObjectState.RESIDENT, None)


# --- copies ---


def proven(catalogue: Catalogue, key: str, name: str, sha256: str, *, at: datetime) -> Entry:
    brought(catalogue, key, Event.COPY_BEGUN, at=at)
    change = Change(got(catalogue, key), Event.COPY_PROVEN, "test", sha256=sha256, copy=name, copy_mark=f"m{sha256}")
    (entry,) = catalogue.change([change], at)
    return entry


def test_every_proven_copy_is_known_until_it_is_forgotten(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a", age=9), stored("b"))
    proven(catalogue, "a", "a", "01", at=T0)
    proven(catalogue, "b", "b", "02", at=T0)
    listed(catalogue, stored("a", etag="f"), stored("b"), at=T0 + HOUR)
    proven(catalogue, "a", "a~1", "03", at=T0 + HOUR)

    assert [(one.name, one.key, one.sha256) for one in catalogue.copies()] == [
        ("a", "a", "01"),
        ("a~1", "a", "03"),
        ("b", "b", "02"),
    ]
    catalogue.adopt(Entry(stored("a", age=1), ObjectState.ARCHIVED, T0 - HOUR, "ff", "a~1"), "known better already")
    newest, older = catalogue.copies_of("a")
    assert (newest.name, newest.archived_at, newest.mark) == ("a~1", T0 + HOUR, "m03")
    assert (older.name, older.stored, older.archived_at, older.mark) == ("a", stored("a", age=9), T0, "m01")
    brought(catalogue, "a", Event.RELEASE_BEGUN, Event.RELEASED, Event.FORGOTTEN)
    assert [one.name for one in catalogue.copies()] == ["b"]


def test_what_vanishes_and_has_older_copies_is_archived_with_the_newest(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a", age=9))
    for number in range(2):
        proven(catalogue, "a", f"a{number}", f"0{number}", at=T0 + number * HOUR)
        listed(catalogue, stored("a", etag=f"f{number}", size=20), at=T0 + number * HOUR + HOUR / 2)
    assert got(catalogue, "a").copy is None

    assert listed(catalogue, at=T0 + 3 * HOUR) == {"vanished": 1, "copy-found": 1}

    now = got(catalogue, "a")
    assert (now.state, now.copy, now.sha256, now.copy_mark) == (ObjectState.ARCHIVED, "a1", "01", "m01")
    assert (now.stored.etag, now.bytes) == ("f0", 20)
    assert [(one.event, one.reason) for one in catalogue.history("a")][-2:] == [
        ("gone", "deleted by others"),
        ("archived", "an older copy of it is in the archive"),
    ]
    assert listed(catalogue, at=T0 + 4 * HOUR) == {}


def test_what_vanishes_after_its_copy_was_lost_is_gone(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"))
    brought(catalogue, "a", Event.COPY_BEGUN, Event.COPY_PROVEN, Event.COPY_LOST)

    assert list(catalogue.copies()) == []
    assert listed(catalogue, at=T0 + HOUR) == {"vanished": 1}
    assert got(catalogue, "a").state is ObjectState.GONE


def test_an_older_copy_is_lost_without_its_object(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"))
    proven(catalogue, "a", "a", "01", at=T0)
    listed(catalogue, stored("a", etag="f"), at=T0 + HOUR)
    (copy,) = catalogue.copies_of("a")

    for _ in range(2):
        catalogue.lose_copy(copy, T0 + HOUR, "it is missing")

    assert list(catalogue.copies()) == []
    assert got(catalogue, "a").state is ObjectState.RESIDENT
    told = [(one.event, one.sha256, one.reason) for one in catalogue.history("a")]
    assert told.count(("lost", "01", "it is missing")) == 1


def test_the_newest_copy_is_that_of_the_newest_upload_whatever_the_clock_of_who_copied_it_said(
    catalogue: Catalogue,
) -> None:
    listed(catalogue, stored("a", age=9))
    proven(catalogue, "a", "a~1", "01", at=T0 + HOUR)  # its clock was ahead
    listed(catalogue, stored("a", etag="f", age=8), at=T0 + 2 * HOUR)
    proven(catalogue, "a", "a", "02", at=T0)
    catalogue.adopt(Entry(stored("a", etag=""), ObjectState.ARCHIVED, T0 + 3 * HOUR, "03", "a~2"), "by hand")

    assert [one.name for one in catalogue.copies_of("a")] == ["a", "a~1", "a~2"]
    listed(catalogue, stored("a", etag="g", age=7), at=T0 + 3 * HOUR)
    assert listed(catalogue, at=T0 + 30 * HOUR) == {"vanished": 1, "copy-found": 1}
    assert got(catalogue, "a").copy == "a"


@pytest.mark.parametrize("order", [1, -1])
def test_the_newest_upload_is_adopted_whatever_the_clock_of_who_copied_it_said(
    catalogue: Catalogue, order: int
) -> None:
    uploads = [("a", stored("a", age=9), T0), ("a~1", stored("a", age=8), T0 - HOUR), ("a~2", stored("a", etag=""), T0)]
    for name, one, at in uploads[::order]:
        catalogue.adopt(Entry(one, ObjectState.ARCHIVED, at, "ab", name), "test")

    assert got(catalogue, "a").copy == "a~1"


@pytest.mark.parametrize("event", [Event.COPY_LOST, Event.COPY_DIFFERED])
def test_of_a_copy_that_is_no_more_nothing_stays_in_its_object(catalogue: Catalogue, event: Event) -> None:
    listed(catalogue, stored("a"))
    proven(catalogue, "a", "a", "01", at=T0)

    made = brought(catalogue, "a", Event.RELEASE_BEGUN, event)

    assert (made.sha256, made.copy, made.copy_mark) == (None, None, None)
    assert got(catalogue, "a") == made
    assert list(catalogue.copies()) == []
    assert [one.sha256 for one in catalogue.history("a")][-1] == "01"


def test_what_differs_while_it_is_copied_costs_no_older_copy(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"))
    proven(catalogue, "a", "a", "01", at=T0)
    change = Change(got(catalogue, "a"), Event.ARCHIVE_CHANGED, "test", copy="a")
    catalogue.change([change], T0)

    brought(catalogue, "a", Event.COPY_BEGUN, Event.COPY_DIFFERED)

    assert [one.name for one in catalogue.copies()] == ["a"]


def test_of_what_is_lost_is_known_what_it_takes_to_find_it_again(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"))
    proven(catalogue, "a", "a", "01", at=T0)

    made = brought(catalogue, "a", Event.RELEASE_BEGUN, Event.RELEASED, Event.COPY_LOST)

    assert (made.state, made.sha256, made.copy) == (ObjectState.LOST, "01", "a")
    assert got(catalogue, "a") == made


def test_a_copy_that_is_proven_without_a_mark_has_not_that_of_the_one_before(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"))
    proven(catalogue, "a", "a", "01", at=T0)
    catalogue.change([Change(got(catalogue, "a"), Event.ARCHIVE_CHANGED, "test")], T0)
    brought(catalogue, "a", Event.COPY_BEGUN)

    catalogue.change([Change(got(catalogue, "a"), Event.COPY_PROVEN, "test", sha256="02", copy="a~1")], T0)

    assert (got(catalogue, "a").copy, got(catalogue, "a").copy_mark) == ("a~1", None)
    assert [one.mark for one in catalogue.copies_of("a") if one.name == "a~1"] == [None]


def test_whose_a_copy_is_is_told_by_its_name(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"), stored("b"), stored("c"))
    for key in ("a", "b", "c"):
        proven(catalogue, key, f"copy of {key}", "01", at=T0)
    brought(catalogue, "a", Event.RELEASE_BEGUN, Event.RELEASED, Event.COPY_LOST)
    listed(catalogue, stored("b", etag="f"), stored("c"), at=T0 + HOUR)
    brought(catalogue, "c", Event.RELEASE_BEGUN, Event.RELEASED, Event.FORGOTTEN)

    names = [*(f"copy of {key}" for key in "abc"), *map(str, range(300))]

    assert set(catalogue.owners_of_copies(names)) == {("copy of a", "a"), ("copy of b", "b")}
    assert set(catalogue.owners_of_copies([])) == set()


def adopted(catalogue: Catalogue, state: ObjectState, name: str, *, age: int) -> bool:
    return catalogue.adopt(Entry(stored("a", etag=name), state, T0 - age * HOUR, "ab", name), "test")


@pytest.mark.parametrize("ages", [(2, 1), (1, 1)], ids=["apart", "in one second"])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("newest", [ObjectState.ARCHIVED, ObjectState.LOST])
def test_of_what_the_archive_has_of_a_key_the_newest_counts_in_whatever_order(
    catalogue: Catalogue, ages: tuple[int, int], order: int, newest: ObjectState
) -> None:
    older, newer = (ObjectState.ARCHIVED, "a", ages[0]), (newest, "a~1", ages[1])
    for state, name, age in (older, newer)[::order]:
        adopted(catalogue, state, name, age=age)

    now = got(catalogue, "a")
    assert (now.state, now.copy, now.stored.etag, now.since) == (newest, "a~1", "a~1", T0 - HOUR)
    assert catalogue.totals() == {newest: Total(1, 10)}
    known = [one.name for one in catalogue.copies()]
    assert known == (["a", "a~1"] if newest is ObjectState.ARCHIVED else ["a"])
    assert not adopted(catalogue, ObjectState.ARCHIVED, "a", age=ages[0])


def test_a_copy_of_what_is_in_the_store_is_known_and_the_object_stays(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"))

    assert not adopted(catalogue, ObjectState.ARCHIVED, "a", age=1)

    assert (got(catalogue, "a").state, got(catalogue, "a").copy) == (ObjectState.RESIDENT, None)
    assert [one.name for one in catalogue.copies_of("a")] == ["a"]


def test_a_copy_of_what_is_gone_is_taken_and_one_of_what_was_forgotten_is_not(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"))
    listed(catalogue, at=T0 + HOUR)
    assert adopted(catalogue, ObjectState.ARCHIVED, "a", age=1)
    assert got(catalogue, "a").state is ObjectState.ARCHIVED

    brought(catalogue, "a", Event.FORGOTTEN)
    catalogue.hold(["a"], T0, held=True)

    assert not adopted(catalogue, ObjectState.ARCHIVED, "a", age=1)
    assert (got(catalogue, "a").state, list(catalogue.copies())) == (ObjectState.GONE, [])


@pytest.mark.parametrize("key", ["line\nfeed", "-rf", "\udcff", "x" * 1024, "ü", "a/b", "'; DROP TABLE objects; --"])
def test_every_key_that_a_store_can_have_is_kept_as_it_is(catalogue: Catalogue, key: str) -> None:
    listed(catalogue, stored(key))

    assert got(catalogue, key).key == key
    assert [one.key for one in catalogue.candidates()] == [key]
    assert [one.key for one in catalogue.history(key)] == [key]


def test_what_runs_have_taken_is_given_once_by_whoever_owns_it_and_nothing_else(catalogue: Catalogue) -> None:
    listed(catalogue, *(stored(key) for key in "abcd"))
    for key in "abc":
        brought(catalogue, key, Event.COPY_BEGUN)
    claims = [Change(got(catalogue, key), Event.COPY_BEGUN, "taken", owner=f"run-{key}") for key in "d"]
    proven = [
        Change(got(catalogue, key), Event.COPY_PROVEN, "t", sha256="ab", copy=key, owner=owner)
        for key, owner in {"b": "run-b", "c": None}.items()
    ]
    catalogue.change([*claims, *proven], T0)

    taken = {entry.key: (entry.state, entry.owner) for entry in catalogue.taken()}

    assert taken == {"b": (ObjectState.PREMIGRATED, "run-b"), "d": (ObjectState.COPYING, "run-d")}


# --- transitions ---


@pytest.mark.parametrize(
    ("event", "before", "after"),
    [(event, before, after) for event, table in TRANSITIONS.items() for before, after in table.items()],
    ids=str,
)
def test_every_transition_of_the_table_is_made_counted_and_noted(
    catalogue: Catalogue, event: Event, before: ObjectState, after: ObjectState
) -> None:
    catalogue.adopt(Entry(stored("a", size=7), before, T0, "ab", "a"), "test")

    (made,) = catalogue.change([Change(got(catalogue, "a"), event, "because", owner="me")], T0 + HOUR)

    assert made == got(catalogue, "a")
    assert (made.state, made.owner, made.since, made.note) == (after, "me", T0 + HOUR, "because")
    assert catalogue.totals() == {after: Total(1, 7)}
    last = list(catalogue.history("a"))[-1]
    assert (last.event, last.reason, last.bytes) == (
        "forgotten" if event is Event.FORGOTTEN else after,
        "because",
        7,
    )


def test_a_transition_that_the_table_has_not_is_refused(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"))

    with pytest.raises(ValueError, match="cannot be released"):
        catalogue.change([Change(got(catalogue, "a"), Event.RELEASED, "no")], T0)
    assert got(catalogue, "a").state is ObjectState.RESIDENT


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: replace(entry, owner="somebody else"),
        lambda entry: replace(entry, held=True),
        lambda entry: replace(entry, stored=replace(entry.stored, etag="f")),
        lambda entry: replace(entry, stored=replace(entry.stored, bytes=1)),
        lambda entry: replace(entry, state=ObjectState.FAILED),
    ],
    ids=["owner", "held", "etag", "bytes", "state"],
)
def test_only_what_still_is_as_it_was_read_is_changed(catalogue: Catalogue, spoil: object) -> None:
    listed(catalogue, stored("a"), stored("b"))
    stale = spoil(got(catalogue, "a"))  # type: ignore[operator]

    made = catalogue.change([Change(entry, Event.COPY_BEGUN, "x") for entry in (stale, got(catalogue, "b"))], T0)

    assert [entry.key for entry in made] == ["b"]
    assert got(catalogue, "a").state is ObjectState.RESIDENT
    assert len(list(catalogue.history("a"))) == 1


def test_of_many_who_claim_an_object_one_gets_it(catalogue: Catalogue) -> None:
    listed(catalogue, *(stored(str(number)) for number in range(50)))
    entries, claimed = list(catalogue.candidates()), list[str]()

    def claim(owner: str) -> None:
        for entry in entries:
            claimed.extend(made.key for made in catalogue.change([Change(entry, Event.COPY_BEGUN, "x", owner)], T0))

    threads = [threading.Thread(target=claim, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(claimed) == sorted(entry.key for entry in entries)


def test_failures_are_counted_until_a_copy_is_proven(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"))
    brought(catalogue, "a", Event.COPY_BEGUN, Event.COPY_FAILED)
    assert brought(catalogue, "a", Event.COPY_BEGUN, Event.COPY_FAILED).failures == 1
    assert brought(catalogue, "a", Event.COPY_BEGUN, Event.COPY_PROVEN).failures == 0


# --- streams ---


def test_candidates_come_oldest_first_and_only_what_is_at_rest(catalogue: Catalogue) -> None:
    listed(catalogue, *(stored(str(number), age=number) for number in range(2500)))
    brought(catalogue, "2499", Event.COPY_BEGUN)

    keys = [int(entry.key) for entry in catalogue.candidates()]

    assert keys == list(range(2498, -1, -1))
    assert [int(one.key) for one in catalogue.candidates(T0 - 2490 * HOUR)] == list(range(2498, 2489, -1))


def test_a_stream_goes_on_while_what_it_gave_is_changed(catalogue: Catalogue) -> None:
    listed(catalogue, *(stored(str(number), age=number) for number in range(2500)))
    seen = []
    for entry in catalogue.candidates():
        seen.append(entry.key)
        catalogue.change([Change(entry, Event.COPY_BEGUN, "x")], T0)

    assert len(set(seen)) == 2500
    assert sum(1 for _ in catalogue.in_state(ObjectState.COPYING)) == 2500


def test_a_hold_that_comes_while_a_copy_is_made_holds_and_the_copy_is_proven(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a.apk"))
    copying = brought(catalogue, "a.apk", Event.COPY_BEGUN)

    catalogue.hold(["a.apk"], T0, held=True)
    (proven,) = catalogue.change([Change(copying, Event.COPY_PROVEN, "test", sha256="ab", copy="a.apk")], T0)

    assert (proven.state, proven.held) == (ObjectState.PREMIGRATED, True)
    assert got(catalogue, "a.apk") == proven


@pytest.mark.parametrize("before", [(), (Event.COPY_BEGUN, Event.COPY_PROVEN)], ids=["resident", "premigrated"])
def test_nothing_is_begun_on_what_is_held_by_now(catalogue: Catalogue, before: tuple[Event, ...]) -> None:
    listed(catalogue, stored("a.apk"))
    seen = brought(catalogue, "a.apk", *before)
    beginnings = (Event.RELEASE_BEGUN,) if before else (Event.COPY_BEGUN, Event.PRUNE_BEGUN)

    catalogue.hold(["a.apk"], T0, held=True)

    for event in beginnings:
        assert catalogue.change([Change(seen, event, "test")], T0) == []
    catalogue.hold(["a.apk"], T0, held=False)
    assert catalogue.change([Change(seen, beginnings[-1], "test")], T0) != []


def test_a_hold_is_set_lifted_and_noted_once(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a"))

    assert catalogue.hold(["a", "unknown"], T0, held=True) == 1
    assert catalogue.hold(["a"], T0, held=True) == 1
    assert got(catalogue, "a").held
    catalogue.hold(["a"], T0, held=False)

    assert not got(catalogue, "a").held
    assert [one.event for one in catalogue.history("a")] == ["resident", "held", "unheld"]


# --- admission ---


def test_a_reservation_is_written_down_only_if_that_is_decided(catalogue: Catalogue) -> None:
    assert not catalogue.reserve(reservation("no"), lambda others, totals: False)
    assert catalogue.reserve(reservation("yes"), lambda others, totals: True)

    assert [one.id for one in catalogue.reservations()] == ["yes"]
    assert catalogue.end_reservations(["yes", "no"]) == 1
    assert not catalogue.reservations()


def test_a_decision_sees_all_others_and_never_its_own_earlier_self(catalogue: Catalogue) -> None:
    seen: list[Iterable[str]] = []

    def decide(others: Iterable[Reservation], totals: object) -> bool:
        seen.append([one.id for one in others])
        return True

    for name in ("a", "b", "a"):
        catalogue.reserve(reservation(name), decide)

    assert seen == [[], ["a"], ["b"]]


def test_an_error_in_the_decision_reserves_nothing(catalogue: Catalogue) -> None:
    def decide(others: object, totals: object) -> bool:
        raise ExodusError("no")

    with pytest.raises(ExodusError, match="no"):
        catalogue.reserve(reservation("a"), decide)

    assert not catalogue.reservations()
    assert catalogue.reserve(reservation("a"), lambda others, totals: True)


def test_a_commit_happens_once(catalogue: Catalogue) -> None:
    one = reservation("a")
    catalogue.reserve(one, lambda others, totals: True)

    assert catalogue.commit(replace(one, committed_at=T0), None, NOTHING_SEEN)
    assert not catalogue.commit(replace(one, committed_at=T0 + HOUR), None, NOTHING_SEEN)
    found = catalogue.reservation("a")
    assert found is not None
    assert found.committed_at == T0
    assert catalogue.reservation("b") is None


def test_a_part_of_a_reservation_is_one_of_its_own_and_the_rest_is_that_much_smaller(catalogue: Catalogue) -> None:
    whole = replace(reservation("whole"), bytes=10, charged_bytes=20)
    catalogue.reserve(whole, lambda others, totals: True)

    catalogue.split("whole", replace(whole, id="part", bytes=4, charged_bytes=8))
    catalogue.split("whole", replace(whole, id="more", bytes=100, charged_bytes=200))
    catalogue.split("gone", replace(whole, id="late", bytes=1, charged_bytes=2))

    found = {one.id: (one.bytes, one.charged_bytes) for one in catalogue.reservations()}
    assert found == {"whole": (0, 0), "part": (4, 8), "more": (100, 200), "late": (1, 2)}


def test_a_landed_upload_counts_until_a_measurement_has_seen_it(catalogue: Catalogue) -> None:
    commit_all(catalogue, {"early": T0, "late": T0 + HOUR})

    assert not catalogue.reservations()
    assert catalogue.landed(NOTHING_SEEN) == Total(2, 20)
    assert catalogue.landed(Seen(T0 + HOUR)) == Total(1, 10)
    assert catalogue.landed(Seen(T0 + 2 * HOUR)) == Total()


def test_where_the_catalogue_is_measured_only_a_landed_upload_without_a_key_counts(catalogue: Catalogue) -> None:
    commit_all(catalogue, {"early": T0, "late": T0 + HOUR})
    keyed = replace(reservation("keyed"), key="a")
    catalogue.reserve(keyed, lambda others, totals: True)
    catalogue.commit(replace(keyed, committed_at=T0 + HOUR), stored("a"), NOTHING_SEEN)

    assert catalogue.landed(replace(NOTHING_SEEN, keyed=True)) == Total(2, 20)
    assert catalogue.landed(Seen(T0 + HOUR, keyed=True)) == Total(1, 10)
    assert catalogue.landed(Seen(T0 + HOUR)) == Total(2, 20)


def test_what_a_clock_that_was_ahead_committed_is_counted_no_more_and_forgotten(catalogue: Catalogue) -> None:
    commit_all(catalogue, {"a": T0, "b": T0 + 365 * 24 * HOUR})
    seen = Seen(T0, future=T0 + HOUR)

    assert catalogue.landed(seen) == Total(1, 10)
    catalogue.reserve(reservation("c"), lambda others, totals: True)
    catalogue.commit(replace(reservation("c"), committed_at=T0), None, seen)
    assert "".join(name for name in "abc" if catalogue.reservation(name)) == "ac"


@pytest.mark.parametrize(("seen", "left"), [(Seen(T0 + HOUR), "bcd"), (Seen(T0 + HOUR, keyed=True), "bd")])
def test_what_is_seen_is_forgotten_by_the_next_commit(catalogue: Catalogue, seen: Seen, left: str) -> None:
    commit_all(catalogue, {"a": T0, "b": T0 + HOUR})
    for name in "cd":
        catalogue.reserve(replace(reservation(name), key=name), lambda others, totals: True)
    catalogue.commit(replace(reservation("c"), key="c", committed_at=T0 + HOUR), None, NOTHING_SEEN)

    catalogue.commit(replace(reservation("d"), key="d", committed_at=T0), None, seen)

    assert "".join(name for name in "abcd" if catalogue.reservation(name)) == left


def test_the_latest_measurement_is_given_and_samples_are_few(catalogue: Catalogue) -> None:
    assert catalogue.measured() is None
    for minute in range(120):
        at = T0 + timedelta(minutes=minute)
        catalogue.record(Capacity("filesystem", 1000, minute, 1000 - minute, at, 5))

    latest = catalogue.measured()
    assert latest is not None
    assert (latest.used_bytes, latest.free_files) == (119, 5)
    samples = catalogue.samples()
    assert samples == sorted(samples)
    assert 10 <= len(samples) <= 15


def test_a_clock_that_jumped_back_leaves_no_measurement_of_the_future(catalogue: Catalogue) -> None:
    catalogue.record(Capacity("filesystem", 1000, 1, 999, T0 + HOUR))
    catalogue.record(Capacity("filesystem", 1000, 2, 998, T0))

    assert [used for _, used in catalogue.samples()] == [2]


def test_what_init_found_out_is_kept(catalogue: Catalogue) -> None:
    catalogue.settle("archive", "one")
    catalogue.settle("archive", "two")

    assert catalogue.settled() == {"archive": "two"}


def test_what_others_wrote_down_meanwhile_is_not_overwritten(catalogue: Catalogue) -> None:
    assert catalogue.settle_again("pending", "", "one")
    assert catalogue.settle_again("pending", "one", "two")
    assert not catalogue.settle_again("pending", "one", "three")
    assert not catalogue.settle_again("pending", "", "three")

    assert catalogue.settled() == {"pending": "two"}


# --- SQLite's own ---


def test_without_init_there_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(NotInitialised, match="exodus-storage-guard init"):
        SqliteCatalogue(tmp_path / "state.db").totals()


def test_making_it_twice_keeps_what_is_there(tmp_path: Path) -> None:
    first = SqliteCatalogue(tmp_path / "state.db")
    first.create()
    first.settle("a", "b")
    SqliteCatalogue(tmp_path / "state.db").create()

    assert first.settled() == {"a": "b"}


@pytest.mark.parametrize("mask", [0, 0o077])
def test_nobody_else_may_read_or_write_it_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        made = SqliteCatalogue(tmp_path / "state/state.db")
        made.create()
        made.settle("a", "b")
    finally:
        os.umask(before)

    modes = {path.name: path.stat().st_mode & 0o7777 for path in (tmp_path / "state").iterdir()}
    assert modes == dict.fromkeys(modes, 0o600)
    assert set(modes) == {"state.db", "state.db-wal", "state.db-shm", "state.db.ballast"}
    assert (tmp_path / "state").stat().st_mode & 0o7777 == 0o700


@pytest.mark.filterwarnings("error")  # Python 3.13 and newer warn of connections that nobody closes
def test_what_a_thread_opened_is_closed_when_it_ends(tmp_path: Path) -> None:
    made = SqliteCatalogue(tmp_path / "state.db")
    made.create()
    reader = threading.Thread(target=made.settled)
    reader.start()
    reader.join()
    del made, reader
    gc.collect()

    assert not [name for name in opened(os.getpid()) if name.startswith(str(tmp_path))]


def test_a_catalogue_that_was_replaced_is_noticed_by_who_has_it_open(tmp_path: Path) -> None:
    """Else whoever runs for long goes on with a deleted file, and what is archived since cannot be read by it."""
    running = SqliteCatalogue(tmp_path / "state.db")
    running.create()
    listed(running, stored("before"))
    for file in tmp_path.glob("state.db*"):
        file.rename(file.with_name(f"lost-{file.name}"))
    with pytest.raises(NotInitialised):
        running.totals()
    anew = SqliteCatalogue(tmp_path / "state.db")
    anew.create()
    listed(anew, stored("after"), stored("now"))

    assert {entry.key for entry in running.candidates()} == {"after", "now"}
    listed(running, stored("after"), at=T0 + HOUR)
    assert got(anew, "now").state is ObjectState.GONE


@pytest.mark.parametrize(("hours", "is_left"), [(23, True), (25, False)])
def test_what_a_killed_listing_left_is_removed_by_one_a_day_later(tmp_path: Path, hours: int, is_left: bool) -> None:
    left = tmp_path / ".listing-killed"
    left.mkdir()
    (left / "listing.db").write_bytes(b"x")
    at = time.time() - hours * 3600
    os.utime(left, (at, at))
    catalogue = SqliteCatalogue(tmp_path / "state.db")
    catalogue.create()

    listed(catalogue, stored("a"))

    assert left.exists() == is_left


def test_a_file_that_is_no_catalogue_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"no database " * 100)

    with pytest.raises(StateFailed, match=r"not a database.*exodus-storage-guard rebuild"):
        SqliteCatalogue(tmp_path / "state.db").totals()


# --- runs ---


def test_a_run_that_was_heard_of_is_not_silent_for_long_and_one_that_never_was_is_not_known(
    catalogue: Catalogue,
) -> None:
    assert catalogue.silent_seconds("machine boot 1 2") is None

    catalogue.beat("machine boot 1 2")
    catalogue.beat("machine boot 1 2")
    silent = catalogue.silent_seconds("machine boot 1 2")

    assert silent is not None
    assert 0 <= silent < 30
    assert catalogue.silent_seconds("machine boot 1 3") is None


# --- what the platform recorded ---


def recorded(catalogue: Catalogue, *records: Record, at: datetime = T0) -> dict[str, int]:
    objects = [stored("one.apk", age=1), stored("two.apk", age=2), stored("three.apk", age=3)]
    return dict(catalogue.apply_listing(iter(objects), at, iter(records)).changes)


def test_objects_age_from_what_the_platform_recorded(catalogue: Catalogue) -> None:
    counted = recorded(
        catalogue, Record("one.apk", T0 - 9 * HOUR, "ab" * 32), Record("two.apk", T0 + HOUR), Record("gone.apk", T0)
    )

    assert counted == {"added": 3, "recorded": 2, "recorded, and not there": 1}
    assert [entry.key for entry in catalogue.candidates()] == ["one.apk", "three.apk", "two.apk"]
    assert [entry.key for entry in catalogue.candidates(T0 - 3 * HOUR)] == ["one.apk", "three.apk"]
    one, three = got(catalogue, "one.apk"), got(catalogue, "three.apk")
    assert (one.recorded_at, one.recorded_sha256, one.aged_from) == (T0 - 9 * HOUR, "ab" * 32, T0 - 9 * HOUR)
    assert (three.recorded_at, three.recorded_sha256, three.aged_from) == (None, None, T0 - 3 * HOUR)


def test_records_that_are_the_same_change_nothing_and_one_that_is_gone_is_forgotten(catalogue: Catalogue) -> None:
    record = Record("one.apk", T0 - 9 * HOUR, "ab" * 32)
    recorded(catalogue, record)

    assert recorded(catalogue, record, at=T0 + HOUR) == {}
    assert recorded(catalogue, at=T0 + 2 * HOUR) == {"recorded": 1}
    assert got(catalogue, "one.apk").recorded_at is None


def test_of_a_key_that_is_recorded_twice_the_oldest_counts(catalogue: Catalogue) -> None:
    recorded(catalogue, Record("one.apk", T0), Record("one.apk", T0 - 5 * HOUR), Record("one.apk", T0 - HOUR))

    assert got(catalogue, "one.apk").recorded_at == T0 - 5 * HOUR


# --- what cannot be ---


def told(catalogue: Catalogue, sql: str) -> None:
    """Write as somebody else does."""
    assert isinstance(catalogue, SqliteCatalogue | PostgresqlCatalogue)
    catalogue.database.write(lambda session: session.execute(sql))


def test_an_object_of_less_than_no_bytes_makes_no_room_among_larger_ones(catalogue: Catalogue) -> None:
    listed(catalogue, stored("a", size=100), stored("b", size=100))
    assert catalogue.totals() == {ObjectState.RESIDENT: Total(2, 200)}

    told(catalogue, "UPDATE objects SET bytes = -50 WHERE key = (SELECT key FROM objects ORDER BY key LIMIT 1)")

    with pytest.raises(StateFailed, match="-50 bytes"):
        catalogue.totals()
    with pytest.raises(StateFailed, match="-50 bytes"):
        catalogue.reserve(reservation("id"), lambda others, totals: True)


def test_an_upload_of_less_than_no_bytes_makes_no_room_among_larger_ones(catalogue: Catalogue) -> None:
    commit_all(catalogue, {"one": T0, "two": T0})
    assert catalogue.landed(Seen(T0)) == Total(2, 20)

    told(catalogue, "UPDATE reservations SET bytes = -5 WHERE id = 'one'")

    with pytest.raises(StateFailed, match="-5 bytes"):
        catalogue.landed(Seen(T0))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("UPDATE samples SET used_bytes = -1", lambda catalogue: catalogue.samples()),
        ("UPDATE samples SET free_bytes = total_bytes + 1", lambda catalogue: catalogue.measured()),
        ("UPDATE copies SET bytes = -1", lambda catalogue: list(catalogue.copies())),
        ("UPDATE copies SET bytes = -1", lambda catalogue: catalogue.copies_of("key")),
    ],
)
def test_a_measurement_or_a_copy_that_cannot_be_is_refused(
    change: str, what: Callable[[Catalogue], object], catalogue: Catalogue
) -> None:
    listed(catalogue, stored("key"))
    brought(catalogue, "key", Event.COPY_BEGUN, Event.COPY_PROVEN)
    catalogue.record(Capacity("filesystem", 100, 40, 60, T0))
    assert what(catalogue)

    told(catalogue, change)

    with pytest.raises(StateFailed, match="holds what cannot be"):
        what(catalogue)

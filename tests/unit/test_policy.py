"""What fits, what is swept, what is kept and why: pure decisions, over values that hypothesis makes up."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_storage_guard import policy
from exodus_storage_guard.model import Capacity, Entry, ObjectState, Reservation, StoredObject, Total, Watermarks
from exodus_storage_guard.policy import Action, Chooser, Kept, Selection
from exodus_storage_guard.transitions import Event, after

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MARKS = Watermarks(750, 850, 950)
AT_REST = [ObjectState.RESIDENT, ObjectState.PREMIGRATED, ObjectState.FAILED, ObjectState.QUARANTINED]
SELECTION = Selection(re.compile(r"\.apk$"), timedelta(days=180), frozenset({"uploading.apk"}))


def capacity(used: int, total: int = 1000, files: int | None = None) -> Capacity:
    return Capacity("budget", total, used, max(0, total - used), NOW, files)


def entry(
    key: str = "a.apk",
    *,
    size: int = 10,
    days: float = 300,
    state: ObjectState = ObjectState.RESIDENT,
    held: bool = False,
    retry_at: datetime | None = None,
) -> Entry:
    return Entry(StoredObject(key, size, "e", NOW - timedelta(days=days)), state, NOW, held=held, retry_at=retry_at)


def reservation(size: int, *, ends: timedelta = timedelta(hours=1)) -> Reservation:
    return Reservation("id", size, 2 * size, NOW, NOW + ends)


ENTRIES = st.lists(
    st.builds(
        entry,
        st.sampled_from(["a.apk", "b.clist", "uploading.apk", "c.apk"]),
        size=st.integers(0, 100),
        days=st.floats(0, 400),
        state=st.sampled_from(list(ObjectState)),
        held=st.booleans(),
        retry_at=st.none() | st.sampled_from([NOW - timedelta(hours=1), NOW + timedelta(hours=1)]),
    ),
    max_size=30,
)


# --- what fits ---


@pytest.mark.parametrize(
    ("used", "reserved", "wanted", "missing"),
    [(900, 0, 50, 0), (900, 0, 51, 1), (900, 50, 1, 1), (0, 0, 950, 0), (960, 0, 0, 10), (950, 0, 0, 0)],
)
def test_what_fits_ends_at_the_flood_mark(used: int, reserved: int, wanted: int, missing: int) -> None:
    assert policy.fit(capacity(used), reserved, wanted, MARKS, reserve_bytes=0).missing_bytes == missing


def test_the_emergency_reserve_stays_free() -> None:
    assert policy.fit(capacity(800), 0, 100, MARKS, reserve_bytes=100).missing_bytes == 0
    found = policy.fit(capacity(800), 0, 101, MARKS, reserve_bytes=100)
    assert (found.missing_bytes, "emergency reserve" in found.reason) == (1, True)


def test_a_sweep_is_started_above_high_and_not_below() -> None:
    assert not policy.fit(capacity(800), 0, 50, MARKS, 0).starts_sweep
    assert policy.fit(capacity(800), 0, 51, MARKS, 0).starts_sweep


def test_a_store_without_inodes_is_full() -> None:
    assert policy.fit(capacity(0, files=999), 0, 1, MARKS, 0).missing_bytes > 0
    assert policy.fit(capacity(0, files=1000), 0, 1, MARKS, 0).missing_bytes == 0


@given(st.integers(0, 1000), st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 500))
def test_whatever_is_admitted_stays_below_flood_and_out_of_the_reserve(
    used: int, reserved: int, wanted: int, reserve: int
) -> None:
    found = policy.fit(capacity(used), reserved, wanted, MARKS, reserve)

    fits = used + reserved + wanted <= 950 and 1000 - used - reserved - wanted >= reserve
    assert (found.missing_bytes == 0) == fits
    if found.missing_bytes <= used:
        assert policy.fit(capacity(used - found.missing_bytes), reserved, wanted, MARKS, reserve).missing_bytes == 0


def test_what_is_larger_than_the_store_never_fits() -> None:
    assert policy.fits_never(capacity(0), 951, MARKS, 0)
    assert not policy.fits_never(capacity(0), 950, MARKS, 0)
    assert policy.fits_never(capacity(0), 901, MARKS, 100)


@given(st.integers(0, 1000), st.integers(0, 1200))
def test_nothing_is_ever_admitted_exactly_where_one_byte_is_not_by_an_empty_store(total: int, reserve: int) -> None:
    empty, limits = capacity(0, total), Watermarks(total // 2, total * 3 // 4, total)

    never = policy.admits_nothing(empty, limits, reserve)

    assert bool(never) == (policy.fit(empty, 0, 1, limits, reserve).missing_bytes > 0)


@pytest.mark.parametrize(
    ("estimated", "known", "total", "usual"),
    [
        (64, Total(), 1_000_000, 64),
        (64, Total(), 1_000, 10),
        (64, Total(10, 100), 1_000, 20),
        (200, Total(10, 1_000), 1_000, 200),
        (64, Total(1, 0), 10, 1),
    ],
)
def test_what_is_usual_goes_by_what_is_known_and_by_no_more_than_is_estimated(
    estimated: int, known: Total, total: int, usual: int
) -> None:
    assert policy.usual_bytes(estimated, known, total) == usual


def test_an_upload_on_its_way_takes_what_it_is_charged() -> None:
    assert policy.reserved_bytes([reservation(10), reservation(5)]) == 20 + 10
    assert policy.reserved_bytes([]) == 0


def test_a_lease_ends_by_itself() -> None:
    assert policy.holds(reservation(1), NOW)
    assert not policy.holds(reservation(1, ends=timedelta()), NOW)


@pytest.mark.parametrize(
    ("jumped", "held"),
    [
        (timedelta(minutes=59), True),
        (timedelta(hours=1), False),
        (-timedelta(minutes=5), True),
        (-timedelta(minutes=6), False),
    ],
)
def test_a_lease_is_never_longer_than_it_was_given_whichever_way_a_clock_jumps(jumped: timedelta, held: bool) -> None:
    assert policy.holds(reservation(1), NOW + jumped) is held


@given(st.timedeltas(timedelta(), timedelta(days=2)), st.timedeltas(timedelta(days=-9999), timedelta(days=9999)))
def test_a_lease_that_holds_ends_within_its_length_and_a_few_minutes(lease: timedelta, jumped: timedelta) -> None:
    one = reservation(1, ends=lease)
    assert not policy.holds(one, NOW + jumped) or one.expires_at - (NOW + jumped) <= lease + policy.CLOCKS_DIFFER


@pytest.mark.parametrize(("age", "fresh"), [(299, True), (301, False), (-299, True), (-301, False)])
def test_a_measurement_of_long_ago_or_of_a_future_is_none(age: float, fresh: bool) -> None:
    assert policy.is_fresh(capacity(0), NOW + timedelta(seconds=age), 300) is fresh
    assert not policy.is_fresh(None, NOW, 300)


# --- what time it is ---

INSTANTS = st.timedeltas(timedelta(days=-9999), timedelta(days=9999)).map(lambda away: NOW + away)


@given(INSTANTS, st.none() | INSTANTS)
def test_nothing_is_older_than_both_clocks_say_and_what_is_wrong_is_named(
    machine: datetime, store: datetime | None
) -> None:
    found = policy.believed(machine, store)

    differ = store is not None and abs(machine - store) > policy.CLOCKS_DIFFER
    assert bool(found.warning) == differ
    assert found.now == (min(machine, store) if store is not None and differ else machine)


def test_the_clock_that_is_ahead_is_named() -> None:
    assert policy.believed(NOW, None) == policy.BelievedNow(NOW)
    assert "this machine's clock is 2.00 days ahead" in policy.believed(NOW, NOW - timedelta(days=2)).warning
    assert "the store's clock is 2.00 days ahead" in policy.believed(NOW, NOW + timedelta(days=2)).warning


# --- what is swept ---


@pytest.mark.parametrize(
    ("one", "kept"),
    [
        (entry(), None),
        (entry(state=ObjectState.PREMIGRATED), None),
        (entry("a.clist"), Kept.NOT_SELECTED),
        (entry(held=True), Kept.HELD),
        (entry("uploading.apk"), Kept.UPLOADING),
        (entry(days=179.9), Kept.TOO_YOUNG),
        (entry(days=180.1), None),
        (entry(days=-1), Kept.TOO_YOUNG),
        (entry(state=ObjectState.COPYING), Kept.BEING_MOVED),
        (entry(state=ObjectState.FAILED), Kept.FAILED),
        (entry(state=ObjectState.FAILED, retry_at=NOW), None),
        (entry(state=ObjectState.QUARANTINED, retry_at=NOW + timedelta(seconds=1)), Kept.FAILED),
        (entry(state=ObjectState.FAILED, retry_at=NOW + timedelta(days=365)), None),
        (entry(retry_at=NOW + timedelta(hours=1)), Kept.NOT_FREEABLE),
        (entry(retry_at=NOW + timedelta(days=365)), None),
    ],
)
def test_an_object_is_kept_for_one_reason_or_taken(one: Entry, kept: Kept | None) -> None:
    assert policy.why_kept(one, SELECTION, NOW) is kept


@pytest.mark.parametrize(
    ("one", "kept"),
    [
        (entry(state=ObjectState.FAILED, retry_at=NOW + timedelta(hours=1)), None),
        (entry(state=ObjectState.QUARANTINED, retry_at=NOW + timedelta(hours=1)), None),
        (entry(retry_at=NOW + timedelta(hours=1)), None),
        (entry(state=ObjectState.FAILED, held=True), Kept.HELD),
        (entry(state=ObjectState.FAILED, days=1), Kept.TOO_YOUNG),
        (entry(state=ObjectState.COPYING), Kept.BEING_MOVED),
        (entry(state=ObjectState.ARCHIVED), Kept.BEING_MOVED),
    ],
)
def test_who_asks_that_what_failed_is_tried_again_has_nothing_else_touched(one: Entry, kept: Kept | None) -> None:
    assert policy.why_kept(one, replace(SELECTION, retries=True), NOW) is kept


@given(ENTRIES, st.integers(0, 600))
def test_only_what_may_go_is_chosen_oldest_first_and_no_more_than_is_needed(entries: list[Entry], need: int) -> None:
    entries.sort(key=lambda one: one.stored.last_modified)
    chooser = Chooser(iter(entries), SELECTION, NOW, need)

    steps = chooser.take()
    chooser.count_rest()

    chosen = [step.entry for step in steps]
    assert all(policy.why_kept(one, SELECTION, NOW) is None for one in chosen)
    eligible = [one for one in entries if policy.why_kept(one, SELECTION, NOW) is None]
    assert chosen == eligible[: len(chosen)]
    assert sum(one.bytes for one in chosen[:-1]) < need or not chosen
    assert chooser.chosen_bytes >= need or chosen == eligible
    counted = sum(chooser.kept.values(), Total())
    assert counted.count + len(chosen) == len(entries)
    assert counted.bytes + chooser.chosen_bytes == sum(one.bytes for one in entries)


@given(ENTRIES, st.integers(0, 600), st.integers(1, 5))
def test_batches_choose_the_same_as_one_go(entries: list[Entry], need: int, most: int) -> None:
    at_once = Chooser(iter(entries), SELECTION, NOW, need).take()
    chooser, steps = Chooser(iter(entries), SELECTION, NOW, need), []
    while batch := chooser.take(most, 50):
        assert len(batch) <= most
        steps += batch

    assert steps == at_once


def test_what_a_sweep_did_not_reach_is_not_said_to_be_not_needed() -> None:
    chooser = Chooser(iter([entry("a.apk"), entry("b.clist"), entry("c.apk")]), SELECTION, NOW, 10)
    chooser.take()

    chooser.count_rest(Kept.NOT_REACHED)

    assert chooser.kept == {Kept.NOT_SELECTED: Total(1, 10), Kept.NOT_REACHED: Total(1, 10)}


def test_what_failed_is_made_up_for_by_the_next_in_line() -> None:
    chooser = Chooser(iter([entry("a.apk"), entry("b.apk"), entry("c.apk")]), SELECTION, NOW, 20)
    assert [step.entry.key for step in chooser.take()] == ["a.apk", "b.apk"]

    chooser.give_back(10)

    assert [step.entry.key for step in chooser.take()] == ["c.apk"]


@given(ENTRIES, st.integers(0, 600), st.integers(0, 600))
def test_what_others_took_meanwhile_is_not_taken_in_its_place(entries: list[Entry], need: int, left: int) -> None:
    chooser = Chooser(iter(entries), SELECTION, NOW, need)
    taken = chooser.take()

    needed = chooser.still_needed(taken, left)

    assert needed == taken[: len(needed)]
    assert sum(step.entry.bytes for step in needed[:-1]) < left or not needed
    assert sum(step.entry.bytes for step in needed) >= left or needed == taken
    assert chooser.chosen_bytes == sum(step.entry.bytes for step in needed)
    assert chooser.need_bytes == min(need, left)


def test_what_is_needed_as_before_is_all_freed() -> None:
    chooser = Chooser(iter([entry("a.apk"), entry("b.apk"), entry("c.apk")]), SELECTION, NOW, 20)

    assert [step.entry.key for step in chooser.still_needed(chooser.take(), 20)] == ["a.apk", "b.apk"]
    assert chooser.take() == []


PRUNES = Selection(re.compile("apk"), timedelta(), prunes=True)


def test_what_is_proven_is_released_what_is_not_is_archived_and_prune_is_prune() -> None:
    entries = [entry(state=ObjectState.PREMIGRATED), entry()]

    actions = [step.action for step in Chooser(iter(entries), SELECTION, NOW, 99).take()]
    pruning = [step.action for step in Chooser(iter(entries), PRUNES, NOW, 99).take()]

    assert actions == [Action.RELEASE, Action.ARCHIVE]
    assert pruning == [Action.RELEASE, Action.PRUNE], "what has a copy is archived, and not gone"


@pytest.mark.parametrize("selection", [SELECTION, PRUNES], ids=["archive", "prune"])
@pytest.mark.parametrize("state", ObjectState)
def test_whatever_is_chosen_may_be_done_in_the_state_it_is_in(state: ObjectState, selection: Selection) -> None:
    begun = {
        Action.ARCHIVE: Event.COPY_BEGUN,
        Action.RELEASE: Event.RELEASE_BEGUN,
        Action.PRUNE: Event.PRUNE_BEGUN,
    }
    again = replace(entry(state=state), retry_at=NOW - timedelta(seconds=1))

    for step in Chooser(iter([again]), selection, NOW, 99).take():
        assert after(state, begun[step.action])


def test_a_plan_that_does_not_reach_its_aim_says_why_in_bytes() -> None:
    kept = {Kept.HELD: Total(2, 2048), Kept.TOO_YOUNG: Total(1, 1024)}

    text = policy.explain(10, 100, kept)

    assert "only 10 B of the 100 B needed" in text
    assert "2.0 KiB in 2 held" in text
    assert policy.explain(0, 100, {}).endswith("nothing else is in the store")
    assert policy.explain(0, 0, kept) == "nothing to do"


@given(st.integers(0, 2**50), st.integers(1, 2**50))
def test_two_amounts_that_differ_never_look_the_same(chosen: int, need: int) -> None:
    words = policy.explain(chosen, need, {}).removeprefix("only").removeprefix("frees")
    one, other = words.split(" of the ")
    assert (one.strip() == other.split(" needed")[0]) == (chosen == need)


# --- what cannot be ---


@pytest.mark.parametrize(
    "make",
    [
        lambda: Capacity("budget", 10, -1, 10, NOW),
        lambda: Capacity("budget", 10, 0, 11, NOW),
        lambda: Capacity("budget", 10, 11, -1, NOW),
        lambda: Capacity("budget", -10, 0, 0, NOW),
        lambda: capacity(0, files=-1),
        lambda: Total(-1, 0),
        lambda: Total(1, -(10**12)),
        lambda: Total(1, 1) + Total(0, -2),
        lambda: reservation(-1),
        lambda: reservation(1, ends=-timedelta(seconds=1)),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_built(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        make()


def test_what_is_odd_and_can_be_is_built() -> None:
    assert Capacity("budget", 10, 11, 0, NOW).used_bytes == 11
    assert Capacity("filesystem", 0, 0, 0, NOW).total_bytes == 0
    assert reservation(0, ends=timedelta()).bytes == 0


# --- what is foreseen ---


def test_when_to_come_back_is_known_only_where_a_sweep_can_help() -> None:
    assert policy.retry_after_seconds(1000, 999, 10.0) is None
    assert policy.retry_after_seconds(1000, 1000, 10.0) == 100
    assert policy.retry_after_seconds(1, 1, 1e9) == 10
    assert policy.retry_after_seconds(10**12, 10**12, 0.0) == 3600

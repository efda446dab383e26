"""What `check` says, what `plan` shows, what a sweep does and what an admission meets never contradict each other."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from exodus_storage_guard import policy
from exodus_storage_guard.dues import Outlook, Standing
from exodus_storage_guard.model import Capacity, Entry, ObjectState, StoredObject, Watermarks
from exodus_storage_guard.policy import Chooser, Selection

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TOTAL = 1000
EMPTY = Capacity("budget", TOTAL, 0, TOTAL, NOW)
MANY = settings(max_examples=300, deadline=None)
SELECTION = Selection(re.compile("apk$"), timedelta(days=180))


def entries(sizes: list[int], days: float) -> list[Entry]:
    return [
        Entry(StoredObject(f"{days}-{number}.apk", size, "e", NOW - timedelta(days=days)), ObjectState.RESIDENT, NOW)
        for number, size in enumerate(sizes)
    ]


@dataclass(frozen=True)
class World:
    """How things stand, and the objects that a sweep would find, oldest first."""

    standing: Standing
    objects: list[Entry]

    def choosing(self, need_bytes: int) -> Chooser:
        return Chooser(iter(self.objects), SELECTION, NOW, need_bytes)

    @property
    def outlook(self) -> Outlook:
        """What `check` says."""
        counted = self.choosing(self.standing.least_bytes)
        counted.take()
        return self.standing.outlook(counted.chosen_bytes)

    def planned(self) -> Chooser:
        """What `plan` shows, and a sweep does."""
        chooser = self.choosing(self.standing.to_free(is_pressing=self.standing.is_pressing))
        chooser.take()
        return chooser

    def swept(self, freed: int) -> "World":
        """The same once a sweep was through, and all has come back."""
        gone = self.choosing(freed).take() if freed else []
        back = freed + self.standing.on_its_way(is_pressing=True)
        used = max(0, self.standing.capacity.used_bytes - back)
        capacity = replace(self.standing.capacity, used_bytes=used, free_bytes=max(0, TOTAL - used))
        after = replace(self.standing, capacity=capacity, on_its_way_bytes=0, late_bytes=0)
        return World(after, self.objects[len(gone) :])


def standing(
    used: int,
    reserve: int = 0,
    marks: tuple[int, int, int] = (750, 850, 950),
    *,
    reserved: int = 0,
    usual: int = 20,
    premigrated: int = 0,
    on_its_way: int = 0,
    late: int = 0,
) -> Standing:
    limits = policy.within(Watermarks(*marks), TOTAL - reserve)
    capacity = Capacity("budget", TOTAL, used, max(0, TOTAL - used), NOW)
    return Standing(capacity, limits, reserve, reserved, usual, usual, premigrated, on_its_way, late)


MARKS = st.lists(st.integers(1, 2000), min_size=2, max_size=2, unique=True).map(sorted)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    low, high = draw(MARKS)
    old, young = (draw(st.lists(st.integers(1, 120), max_size=12)) for _ in range(2))
    rest = draw(st.integers(0, 400))
    used = sum(old) + sum(young) + rest
    on_its_way = draw(st.integers(0, rest))
    found = standing(
        used,
        draw(st.integers(0, TOTAL - 1)),
        (low, high, high + draw(st.integers(0, 500))),
        reserved=draw(st.integers(0, 300)),
        usual=draw(st.integers(1, 300)),
        premigrated=draw(st.integers(0, sum(old))),
        on_its_way=on_its_way,
        late=draw(st.integers(0, on_its_way)),
    )
    return World(found, entries(old, 300) + entries(young, 10))


# As they were found: a reserve above what is free, marks above the store, and what uploads have reserved.
RESERVE = World(standing(600, 400), entries([10] * 60, 300))
ABOVE = World(standing(990, 0, (1000, 2000, 3000)), entries([10] * 99, 300))
RESERVED = World(standing(600, reserved=350), entries([10] * 60, 300))
YOUNG = World(standing(600, 400), entries([10] * 60, 10))
COMING = World(standing(940, on_its_way=200), entries([10] * 90, 300))


@MANY
@given(worlds())
@example(RESERVE)
@example(ABOVE)
@example(RESERVED)
@example(YOUNG)
@example(COMING)
def test_what_check_says_of_a_sweep_is_what_plan_shows_and_a_sweep_does(world: World) -> None:
    found, plan = world.standing, world.planned()
    event(world.outlook.name)

    if world.outlook is Outlook.NOTHING:
        assert not found.is_pressing  # and the timer's sweep begins nowhere else
        assert found.capacity.used_bytes <= found.limits.high_bytes
        assert found.refused is None or found.fits_never
    elif world.outlook is Outlook.COMES_BACK:
        assert plan.need_bytes == 0
        assert found.on_its_way(is_pressing=True) > 0
    elif world.outlook is Outlook.DUE:
        assert plan.chosen_bytes > 0
        assert world.swept(plan.chosen_bytes).standing.lacking_bytes == 0
    else:
        assert plan.chosen_bytes < plan.need_bytes  # and plan, and a sweep, say why


@MANY
@given(worlds())
@example(RESERVE)
@example(ABOVE)
@example(RESERVED)
def test_where_a_sweep_is_due_one_suffices(world: World) -> None:
    plan = world.planned()
    if world.outlook is not Outlook.DUE or plan.chosen_bytes < plan.need_bytes:
        return

    after = world.swept(plan.chosen_bytes)

    assert after.outlook is Outlook.NOTHING
    assert after.standing.to_free(is_pressing=False) == 0


@MANY
@given(worlds(), st.integers(0, 300))
def test_an_admission_meets_what_check_says(world: World, charged: int) -> None:
    found = world.standing
    answer = found.fit(charged)

    if found.refused is None and charged <= found.usual_bytes:
        assert policy.is_made_way_for(answer, found.capacity, found.premigrated_bytes)
    if found.refused is not None and charged >= found.usual_bytes:
        assert answer.missing_bytes > found.premigrated_bytes
    if policy.fits_never(found.capacity, charged, found.limits, found.reserve_bytes):
        assert replace(found, capacity=EMPTY).fit(charged).missing_bytes > 0


@MANY
@given(worlds(), st.integers(1, 300))
def test_what_an_admission_lacks_a_sweep_for_it_frees_and_then_it_comes_in(world: World, charged: int) -> None:
    missing = world.standing.fit(charged).missing_bytes
    chooser = world.choosing(missing)
    chooser.take()
    if chooser.chosen_bytes < missing:
        return

    used = world.standing.capacity.used_bytes - chooser.chosen_bytes
    capacity = replace(world.standing.capacity, used_bytes=used, free_bytes=max(0, TOTAL - used))

    assert replace(world.standing, capacity=capacity).fit(charged).missing_bytes == 0


@given(MARKS, st.integers(0, 500), st.integers(0, TOTAL))
def test_no_mark_is_above_what_may_be_used_and_those_that_are_not_stay_as_they_are(
    marks: list[int], more: int, reserve: int
) -> None:
    asked = Watermarks(marks[0], marks[1], marks[1] + more)
    limits, most = policy.within(asked, TOTAL - reserve), TOTAL - reserve

    assert limits.low_bytes <= limits.high_bytes <= limits.flood_bytes <= most
    assert most == 0 or limits.low_bytes < limits.high_bytes
    assert limits.flood_bytes == min(asked.flood_bytes, most)
    is_lowered = (limits.low_bytes, limits.high_bytes) != (asked.low_bytes, asked.high_bytes)
    assert is_lowered == (asked.high_bytes > most)
    assert bool(policy.why_lowered(asked, TOTAL, reserve)) == is_lowered


@pytest.mark.parametrize(("used", "sweeps"), [(580, False), (581, True)])
def test_a_sweep_begins_where_the_reserve_refuses_a_usual_upload_below_all_marks(used: int, *, sweeps: bool) -> None:
    assert standing(used, 400, (300, 600, 950)).is_pressing is sweeps


def test_an_upload_that_never_fits_has_no_sweep_begin() -> None:
    found = standing(100, 400, usual=601)

    assert found.refused is not None
    assert found.fits_never
    assert World(found, entries([10] * 10, 300)).outlook is Outlook.NOTHING


def test_where_inodes_lack_as_many_objects_are_freed_as_lack() -> None:
    few = Capacity("filesystem", TOTAL, 500, 500, NOW, free_files=997)
    found = replace(standing(500), capacity=few, mean_bytes=10)

    assert found.refused is not None
    assert len(World(found, entries([10] * 50, 300)).choosing(found.to_free(is_pressing=True)).take()) == 3

"""What was released and has not come back: counted until it has, named when it is late, and given up after a day."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_storage_guard.capacity.pending import Look, Pending, late_bytes, looked_at, on_its_way, released

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def look(used: int, committed: int = 0, uploading: int = 0, *, after: timedelta = timedelta()) -> Look:
    return Look(NOW + after, used, committed, uploading)


def pending(size: int, used: int = 1000, *, written: int = 0, late: int = 0) -> Pending:
    return Pending(size, used, NOW, NOW, written, late)


def left(found: Pending | None) -> int:
    return found.total_bytes if found else 0


def test_what_comes_back_at_once_is_not_on_its_way() -> None:
    assert released(None, 100, 1000, look(900)) is None


def test_what_the_store_still_uses_is_on_its_way() -> None:
    assert released(None, 100, 1000, look(1000)) == pending(100)
    assert released(pending(50), 100, 1000, look(980)) == pending(130, 980)


def test_what_is_used_less_has_come_back() -> None:
    assert looked_at(pending(100), look(930)) == pending(30, 930)
    assert looked_at(pending(100), look(900)) is None


def test_what_uploads_have_filled_again_has_come_back() -> None:
    assert looked_at(pending(80), look(999, committed=79)) is None
    assert looked_at(pending(80), look(999, committed=40)) == pending(39, 999)
    assert looked_at(pending(80), look(999)) == pending(79, 999)


def test_an_upload_that_nobody_told_of_is_not_held_against_what_comes_back_later() -> None:
    after_upload = looked_at(pending(100), look(1500))

    assert after_upload == pending(100, 1500)
    assert looked_at(after_upload, look(1400)) is None


def test_what_an_upload_had_written_before_a_look_does_not_count_as_come_back_once_it_is_committed() -> None:
    halfway = looked_at(pending(100), look(1030, uploading=50))
    assert halfway == pending(100, 1030, written=30)

    assert looked_at(halfway, look(1050, committed=50)) == pending(100, 1050)


def test_an_upload_that_was_there_when_it_was_released_may_have_written_all_of_it() -> None:
    found = released(None, 100, 1000, look(1000, uploading=50))

    assert found == pending(100, written=50)
    assert looked_at(found, look(1000, committed=50)) == pending(100)


def test_it_is_late_after_more_than_a_trash_takes_and_given_up_after_a_day() -> None:
    found = pending(100)

    assert late_bytes(found, NOW + 5 * MINUTE) == 0
    assert late_bytes(found, NOW + 16 * MINUTE) == 100
    assert looked_at(found, look(1000, after=timedelta(hours=23))) is not None
    assert looked_at(found, look(1000, after=timedelta(hours=25))) is None


@pytest.mark.parametrize(
    ("minutes", "is_pressing", "waited_for"), [(5, False, 110), (5, True, 100), (16, False, 110), (16, True, 0)]
)
def test_where_room_is_pressing_nobody_waits_for_what_is_late(minutes: int, is_pressing: bool, waited_for: int) -> None:
    assert on_its_way(pending(100, late=10), NOW + minutes * MINUTE, is_pressing=is_pressing) == waited_for


def test_what_is_late_stays_so_when_more_is_released() -> None:
    found = released(pending(100), 30, 1000, look(1000, after=16 * MINUTE))

    assert found == replace(pending(30, late=100), since=NOW + 16 * MINUTE, looked_at=NOW + 16 * MINUTE)
    assert left(looked_at(found, look(890, after=17 * MINUTE))) == 20
    again = released(found, 1, 1000, look(1000, after=40 * MINUTE))
    assert (again and again.bytes, again and again.late_bytes) == (1, 30)


SIZES = st.integers(0, 2**62)
PENDING = st.builds(pending, SIZES, SIZES, written=SIZES, late=SIZES)
LOOKS = st.builds(look, SIZES, SIZES, SIZES, after=st.timedeltas(timedelta(), timedelta(days=2)))


@given(PENDING, st.lists(LOOKS, max_size=10))
def test_no_look_adds_to_what_is_on_its_way_or_leaves_less_than_nothing(found: Pending, looks: list[Look]) -> None:
    for one in looks:
        after = looked_at(found, one)
        if after is None:
            return
        assert 0 <= after.bytes <= found.bytes
        assert 0 <= after.late_bytes <= found.late_bytes
        assert after.written_bytes >= 0
        found = after


@given(st.none() | PENDING, SIZES, SIZES, LOOKS)
def test_never_more_is_on_its_way_than_was_released(
    present: Pending | None, freed: int, before: int, one: Look
) -> None:
    assert 0 <= left(released(present, freed, before, one)) <= left(present) + freed


@given(PENDING, st.lists(st.integers(1, 100), min_size=1, max_size=20))
def test_in_a_quiet_world_all_of_it_comes_back_look_by_look(found: Pending, parts: list[int]) -> None:
    used, due, whole = found.used_bytes + left(found), left(found), sum(parts)
    present: Pending | None = replace(found, used_bytes=used)
    for done in range(1, len(parts) + 1):
        came_back = due * sum(parts[:done]) // whole
        present = present and looked_at(present, look(used - came_back))
        assert left(present) == due - came_back
    assert present is None


STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "write", "commit", "give up", "purge", "look", "release"]), st.integers(0, 50)),
    max_size=40,
)


@given(STEPS)
def test_whatever_uploads_do_never_more_is_released_again_than_came_back(steps: list[tuple[str, int]]) -> None:
    used, trash, committed = 1000, 0, 0
    uploads: list[tuple[int, int]] = []  # what each has reserved, and written
    found: Pending | None = None
    for what, size in steps:
        if what == "begin":
            uploads.append((size, 0))
        elif what == "write" and uploads:
            reserved, written = uploads.pop(0)
            more = min(size, reserved - written)
            used += more
            uploads.append((reserved, written + more))
        elif what == "commit" and uploads:
            reserved, written = uploads.pop(0)
            used, committed = used + reserved - written, committed + reserved
        elif what == "give up" and uploads:
            uploads.pop(0)  # and what it had written stays
        elif what == "purge":
            used, trash = used - min(size, trash), trash - min(size, trash)
        else:
            seen = look(used, committed, sum(reserved for reserved, _ in uploads))
            if what == "release":
                trash += size
                found = released(found, size, used, seen)
            elif found is not None:
                found = looked_at(found, seen)
            committed = 0
        assert what not in ("look", "release") or left(found) >= trash


def test_what_was_released_by_a_clock_that_was_ahead_is_late_and_stays_so_when_more_is_released() -> None:
    ahead = replace(pending(100), since=NOW + timedelta(days=365))

    assert on_its_way(ahead, NOW, is_pressing=True) == 0
    more = released(ahead, 50, 1000, look(1000))
    assert more is not None
    assert on_its_way(more, NOW, is_pressing=True) == 50
    slightly = replace(ahead, since=NOW + MINUTE)  # another machine's
    assert on_its_way(slightly, NOW, is_pressing=True) == 100

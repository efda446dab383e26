"""What was released and has not come back: counted until it has, named when it is late, and given up after a day."""

from datetime import UTC, datetime, timedelta

from exodus_storage_guard.capacity.pending import Pending, is_late, looked_at, released

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_what_comes_back_at_once_is_not_on_its_way() -> None:
    assert released(None, 100, 1000, 900, NOW).bytes == 0


def test_what_the_store_still_uses_is_on_its_way() -> None:
    assert released(None, 100, 1000, 1000, NOW) == Pending(100, 1000, NOW)
    assert released(Pending(50, 1000, NOW), 100, 1000, 980, NOW) == Pending(130, 980, NOW)


def test_what_is_used_less_has_come_back() -> None:
    assert looked_at(Pending(100, 1000, NOW), 930, NOW) == Pending(30, 930, NOW)
    assert looked_at(Pending(100, 1000, NOW), 900, NOW) is None


def test_an_upload_meanwhile_is_not_held_against_what_comes_back_later() -> None:
    after_upload = looked_at(Pending(100, 1000, NOW), 1500, NOW)

    assert after_upload == Pending(100, 1500, NOW)
    assert looked_at(after_upload, 1400, NOW) is None


def test_it_is_late_after_more_than_a_trash_takes_and_given_up_after_a_day() -> None:
    found = Pending(100, 1000, NOW)

    assert not is_late(found, NOW + timedelta(minutes=5))
    assert is_late(found, NOW + timedelta(minutes=16))
    assert looked_at(found, 1000, NOW + timedelta(hours=23)) is not None
    assert looked_at(found, 1000, NOW + timedelta(hours=25)) is None

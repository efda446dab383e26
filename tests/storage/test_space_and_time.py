"""What the guard knows of space and time: what is on its way back, what is foreseen, and which clock is believed."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exodus_common.clock import SystemClock
from exodus_storage_guard.admission import asking, making_room, reservations
from exodus_storage_guard.admission.control import NOBODY, AdmissionControl
from exodus_storage_guard.capacity import measurement
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.model import Capacity, Need
from exodus_storage_guard.state.contract import Catalogue
from exodus_storage_guard.stores.contract import Store
from exodus_storage_guard.tiering import sweep
from exodus_storage_guard.tiering.sync import sync
from tests.parts.clocks import Jumped
from tests.parts.doors import replace_methods
from tests.parts.guard import MIB, Guarded, apk_key, swept
from tests.parts.marks import on_sqlite

USED = 1024**4


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AdmissionControl:
    """Give the admission of a bucket, which nobody asks, on a disk of which half is used."""

    def measure(path: Path, now: datetime) -> Capacity:
        return Capacity("filesystem", 2 * USED, USED, USED, now)

    monkeypatch.setattr(measurement, "measure_filesystem", measure)
    (tmp_path / "key").write_text("key")
    keys = {name: str(tmp_path / "key") for name in ("access_key_file", "secret_key_file")}
    guarded = Guarded(tmp_path).write(
        store={"url": "s3://exodus", "endpoint": "http://127.0.0.1:1", **keys},
        capacity={"source": "filesystem", "path": str(tmp_path), "total_bytes": None},
        watermarks={"low": "97%", "high": "98%", "flood": "99%"},
        admission={"emergency_reserve": 0},
    )
    run = guarded.run()
    run.catalogue.create()
    return AdmissionControl(run.settings, run.catalogue, SystemClock(), NOBODY)


def writes(catalogue: Catalogue) -> list[str]:
    """Have it noted what is settled from now on."""
    noted, usual = list[str](), type(catalogue).settle_again

    def settle_again(self: Catalogue, name: str, was: str, value: str) -> bool:
        noted.append(value)
        return usual(self, name, was, value)

    replace_methods(catalogue, settle_again=settle_again)
    return noted


def release(desk: AdmissionControl, size: int) -> None:
    """Have so much released that does not come back, since nothing was deleted."""
    now = desk.clock.now()
    before = measurement.measure(desk.settings, desk.catalogue, now)
    measurement.note_released(desk.settings, desk.catalogue, before, size, now)


def upload(desk: AdmissionControl, size: int = 1) -> None:
    admitted = reservations.admit(desk, asking.request(desk, size, None))
    assert reservations.commit(desk, admitted.reservation.id)


def test_admissions_write_nothing_about_what_is_on_its_way_where_nothing_is(bucket: AdmissionControl) -> None:
    noted = writes(bucket.catalogue)

    upload(bucket)

    assert noted == []


def test_admissions_look_what_has_come_back_now_and_then(bucket: AdmissionControl) -> None:
    release(bucket, MIB)
    later = AdmissionControl(bucket.settings, bucket.catalogue, Jumped(timedelta(seconds=11)), NOBODY)
    noted = writes(bucket.catalogue)

    upload(bucket)
    assert len(noted) == 0
    for _ in range(3):
        upload(later)
    assert len(noted) == 1


def test_what_was_committed_since_the_last_look_has_taken_the_place_of_what_came_back(bucket: AdmissionControl) -> None:
    release(bucket, 10 * MIB)
    for _ in range(3):
        upload(bucket, MIB)

    measurement.measure(bucket.settings, bucket.catalogue, bucket.clock.now())

    found = measurement.pending(bucket.settings, bucket.catalogue)
    assert found is not None
    assert found.bytes == 7 * MIB


@pytest.mark.parametrize("purged", [10, 7])
def test_an_upload_that_filled_what_came_back_is_known_to_the_look_after_that_of_its_commit(
    bucket: AdmissionControl, monkeypatch: pytest.MonkeyPatch, purged: int
) -> None:
    used = USED

    def measure(path: Path, now: datetime) -> Capacity:
        return Capacity("filesystem", 2 * USED, used, 2 * USED - used, now)

    monkeypatch.setattr(measurement, "measure_filesystem", measure)
    release(bucket, 10 * MIB)
    admitted = reservations.admit(bucket, asking.request(bucket, MIB, None))
    used -= (purged - 1) * MIB  # the upload has its place of it
    looking = AdmissionControl(bucket.settings, bucket.catalogue, Jumped(timedelta(seconds=11)), NOBODY)
    assert reservations.commit(looking, admitted.reservation.id)

    measurement.measure(bucket.settings, bucket.catalogue, looking.clock.now())

    found = measurement.pending(bucket.settings, bucket.catalogue)
    assert (found.bytes if found else 0) == (10 - purged) * MIB


def test_what_cannot_be_read_of_what_is_on_its_way_is_forgotten(
    bucket: AdmissionControl, caplog: pytest.LogCaptureFixture
) -> None:
    at = "2026-01-01T00:00:00"
    naive, negative = f"1 2 3 4 {at} {at}", f"-1 2 3 4 {at}Z {at}Z"
    for text in (f"1 2 {at}+00:00", "many 2 3 4 then now", "\x00", naive, negative):
        bucket.catalogue.settle("pending", text)
        caplog.clear()

        assert measurement.pending(bucket.settings, bucket.catalogue) is None
        assert "cannot be read, and is forgotten" in caplog.text
        upload(bucket)


def test_a_store_that_gives_back_at_once_has_nothing_on_its_way(guarded: Guarded) -> None:
    guarded("init")
    run = guarded.run()
    measurement.note_released(run.settings, run.catalogue, run.measure(), MIB, run.clock.now())

    assert measurement.pending(run.settings, run.catalogue) is None


# --- what is foreseen ---


def test_a_budget_is_foreseen_from_what_sweeps_and_syncs_saw(guarded: Guarded) -> None:
    guarded("init")
    for hour in range(-30, 0):
        guarded.put(f"{hour}.clist", days=0)
        sync(guarded.run(clock=Jumped(timedelta(hours=hour))))

    found = guarded("status", "--json").json
    samples = guarded.run().catalogue.samples()

    assert len(samples) >= 30
    assert samples[-1][1] == 30 * MIB
    full_at = datetime.fromisoformat(found["full_at"]) - SystemClock().now()
    assert timedelta(hours=60) < full_at < timedelta(hours=70)
    assert len(found["full_between"]) == 2


def test_what_another_source_measured_before_the_settings_were_changed_is_no_measurement(guarded: Guarded) -> None:
    guarded("init")
    guarded.write(capacity={"source": "filesystem", "path": str(guarded.folder / "not-mounted"), "total_bytes": None})
    run = guarded.run()

    assert run.catalogue.measured() is not None
    assert run.measure() is None
    assert AdmissionControl(run.settings, run.catalogue, run.clock, NOBODY).measure() is None


# --- which clock is believed ---

YEAR = timedelta(days=365)


@pytest.mark.parametrize("action", ["prune", "archive"])
def test_a_clock_that_is_a_year_ahead_makes_nothing_old(action: str, guarded: Guarded) -> None:
    guarded.write(
        select={"action": action, "minimum_age_days": 180},
        archive={"url": f"directory://{guarded.archive}"} if action == "archive" else None,
    )
    young = {apk_key(number) for number in range(97)}
    for key in young:
        guarded.put(key, days=3)
    guarded.put(apk_key(100), days=200)
    guarded("init")

    report = swept(guarded.run(clock=Jumped(YEAR)))

    assert guarded.stored() == young
    assert report.verdict == "critical"
    assert "this machine's clock is 365.00 days ahead of the store's: ages go by the store's" in report.reason
    assert "this machine's clock is 365.00 days ahead" in guarded("status", "--json").json["reason"]
    planned = sweep.plan(guarded.run(clock=Jumped(YEAR)), None)
    assert planned.objects == ()
    assert "ages go by the store's" in planned.reason


def test_clocks_that_agree_are_not_spoken_of_any_more(guarded: Guarded) -> None:
    guarded("init")
    swept(guarded.run(clock=Jumped(YEAR)))
    swept(guarded.run(clock=Jumped(timedelta(minutes=4))))

    assert "clock" not in guarded("status").stdout


def test_a_store_whose_clock_is_ahead_makes_nothing_old_either(guarded: Guarded) -> None:
    guarded.fill(97, oldest=170, newest=1)
    guarded("init")
    run = guarded.run()
    replace_methods(run.store, now=lambda self: SystemClock().now() + YEAR)

    report = swept(run)

    assert len(guarded.stored()) == 97
    assert "the store's clock is 365.00 days ahead of this machine's: ages go by this machine's" in report.reason


def test_where_the_store_does_not_say_what_time_it_is_nothing_is_deleted_and_a_plan_says_so(guarded: Guarded) -> None:
    guarded.fill(97)
    guarded("init")
    run = guarded.run()

    def away(self: Store) -> datetime:
        raise StoreFailed("the store is away")

    replace_methods(run.store, now=away)
    with pytest.raises(StoreFailed, match="is away"):
        swept(run)
    planned = sweep.plan(run, None)

    assert len(guarded.stored()) == 97
    assert len(planned.objects) == 22
    assert "what time it is at the store is not known: the store is away" in planned.reason


def test_a_sweep_of_a_store_that_is_away_but_has_room_is_no_failure(guarded: Guarded) -> None:
    guarded("init")
    run = guarded.run()

    def away(self: Store) -> datetime:
        raise StoreFailed("the store is away")

    replace_methods(run.store, now=away)

    assert swept(run).verdict == "warning"


def test_a_reservation_that_was_made_by_a_clock_ahead_holds_nothing_once_that_is_right(guarded: Guarded) -> None:
    guarded("init")
    run = guarded.run()
    ahead = AdmissionControl(run.settings, run.catalogue, Jumped(YEAR), NOBODY)
    desk = AdmissionControl(run.settings, run.catalogue, SystemClock(), NOBODY)
    reservations.admit(ahead, asking.request(ahead, 60 * MIB, None))
    upload(ahead, 30 * MIB)

    reservations.admit(desk, asking.request(desk, 90 * MIB, None))

    assert guarded("status", "--json").json["reservations"] == {"count": 1, "bytes": 90 * MIB}


# --- what cannot be, and what is said ---


@on_sqlite
@pytest.mark.parametrize(
    ("change", "verb"),
    [
        ("UPDATE objects SET bytes = -1000000000000", "status"),
        ("UPDATE totals SET bytes = -1000000000000", "admit --bytes 1"),
        ("UPDATE totals SET count = -1", "check"),
        ("UPDATE reservations SET charged_bytes = -1000000000000", "admit --bytes 1"),
        ("UPDATE objects SET bytes = -1 WHERE key = (SELECT min(key) FROM objects)", "admit --bytes 1"),
        ("UPDATE objects SET bytes = -1 WHERE key = (SELECT min(key) FROM objects)", "check"),
        ("UPDATE objects SET state = 'elsewhere'", "admit --bytes 1"),
        ("UPDATE settled SET value = 'yesterday' WHERE name = 'synced_at'", "admit --bytes 1"),
        ("UPDATE settled SET value = '2026-01-01T00:00:00' WHERE name = 'synced_at'", "admit --bytes 1"),
        ("UPDATE settled SET value = 'some' WHERE name = 'unfinished'", "status"),
    ],
)
def test_a_row_that_cannot_be_is_an_error_and_no_verdict(change: str, verb: str, guarded: Guarded) -> None:
    guarded.fill(3)
    guarded("init")
    guarded("admit", "--bytes", "1 MiB")
    with closing(sqlite3.connect(guarded.state)) as connection:
        connection.execute(change)
        connection.commit()

    said = guarded(*verb.split())

    assert said.exit_code == 1
    assert "Traceback" not in said.stderr
    assert "the catalogue" in said.stderr
    assert "exodus-storage-guard rebuild" in said.stderr or "run: exodus-storage-guard sync" in said.stderr


@on_sqlite
def test_what_the_last_sync_wrote_is_right_again_after_the_next(guarded: Guarded) -> None:
    guarded("init")
    for name in ("synced_at", "unfinished"):
        guarded.run().catalogue.settle(name, "no such thing")

    assert guarded("status").exit_code == 1
    assert guarded("sync").exit_code == 0
    assert guarded("status").exit_code == 0


@pytest.mark.parametrize("rate", ["nan", "-1", "inf", "", "fast", "1e999"])
def test_a_rate_that_is_none_foresees_nothing(rate: str, guarded: Guarded) -> None:
    guarded.fill(97)
    guarded("init")
    guarded.run().catalogue.settle(making_room.RATE, rate)

    assert guarded("admit", "--bytes", "10 MiB", "--json").json["retry_after_seconds"] > 0


@pytest.mark.parametrize(
    ("size", "verdict", "said"),
    [
        ("80 MiB", "ok", "0 B of 100 MiB used, 80.0 MiB reserved for uploads"),
        ("90 MiB", "warning", "0 B of 100 MiB used, 90.0 MiB reserved for uploads; together above the high watermark"),
    ],
)
def test_what_is_only_reserved_is_not_said_to_be_used(size: str, verdict: str, said: str, guarded: Guarded) -> None:
    guarded("init")
    guarded("admit", "--bytes", size)

    found = guarded("status", "--json").json

    assert (found["verdict"], found["reason"]) == (verdict, said)


def test_what_is_known_of_the_store_is_said_to_be_of_when_it_was_listed(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path).write()
    guarded.fill(3, size=10 * MIB, oldest=400, newest=200)
    assert guarded("init").exit_code == 0

    now = sweep.plan(guarded.run(), Need(80 * MIB))
    run = guarded.run()
    run.catalogue.settle(measurement.SYNCED_AT, (datetime.now(UTC) - timedelta(hours=5)).isoformat())
    later = sweep.plan(run, Need(80 * MIB))

    assert "is known as of" not in now.reason
    assert "what the store holds is known as of 5 hours ago: exodus-storage-guard sync looks" in later.reason
    assert (now.verdict, now.objects) == (later.verdict, later.objects)

"""What the guard knows of space and time: what is on its way back, what is foreseen, and which clock is believed."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from exodus_common.clock import SystemClock
from exodus_storage_guard.admission import reservations
from exodus_storage_guard.admission.reservations import AdmissionControl
from exodus_storage_guard.capacity import measurement
from exodus_storage_guard.model import Capacity
from exodus_storage_guard.state.contract import Catalogue
from exodus_storage_guard.tiering.sync import sync
from tests.parts.clocks import Jumped
from tests.parts.doors import replace_methods
from tests.parts.guard import MIB, Guarded

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
    return AdmissionControl(run.settings, run.catalogue, SystemClock(), reservations.NOBODY)


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
    admitted = reservations.admit(desk, reservations.request(desk, size, None))
    assert reservations.commit(desk, admitted.reservation.id)


def test_admissions_write_nothing_about_what_is_on_its_way_where_nothing_is(bucket: AdmissionControl) -> None:
    noted = writes(bucket.catalogue)

    upload(bucket)

    assert noted == []


def test_admissions_look_what_has_come_back_now_and_then(bucket: AdmissionControl) -> None:
    release(bucket, MIB)
    later = AdmissionControl(bucket.settings, bucket.catalogue, Jumped(timedelta(seconds=11)), reservations.NOBODY)
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


def test_what_cannot_be_read_of_what_is_on_its_way_is_forgotten(
    bucket: AdmissionControl, caplog: pytest.LogCaptureFixture
) -> None:
    for text in ("1 2 2026-01-01T00:00:00+00:00", "many 2 3 4 then now", "\x00"):
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
    assert AdmissionControl(run.settings, run.catalogue, run.clock, reservations.NOBODY).measure() is None

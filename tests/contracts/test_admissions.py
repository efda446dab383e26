"""Whoever decides on uploads, this process or the service, keeps the same promises: one suite over both."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exodus_common.errors import UsageError
from exodus_storage_guard import StorageGuard, UploadRefused, settings
from exodus_storage_guard.admission import opening
from exodus_storage_guard.admission.admissions import Admissions, Wanted
from exodus_storage_guard.admission.service_client import Service
from exodus_storage_guard.errors import ObjectMissing, Why
from tests.parts.guard import MIB, Guarded, apk_key
from tests.parts.service import running_service, short_folder
from tests.parts.waiting import wait_until

BOTH = ("direct", "service")


@pytest.fixture(params=BOTH)
def deciding(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Admissions, Guarded]]:
    """Give who decides over a store of 100 MiB that holds nothing."""
    with decided(request.param, tmp_path) as found:
        yield found


@contextmanager
def decided(by: str, place: Path, **admission: Any) -> Iterator[tuple[Admissions, Guarded]]:
    with short_folder() as folder:
        usual = {"emergency_reserve": 0, "socket": str(folder / "guard.sock")}
        guarded = Guarded(place).write(admission=usual | admission)
        guarded.nobody_makes_room()
        assert guarded("init").exit_code == 0
        if by == "direct":
            yield opening.opened(settings.load(guarded.config, {}), guarded.config), guarded
            return
        with running_service(guarded, folder / "guard.sock"):
            yield Service(folder / "guard.sock"), guarded


def test_what_is_reserved_is_kept_until_its_lease_ends(deciding: tuple[Admissions, Guarded]) -> None:
    admissions, guarded = deciding
    before = datetime.now(UTC)

    found = admissions.admit(Wanted(MIB, "k", lease_seconds=100))

    assert (found.bytes, found.freed_bytes) == (MIB, 0)
    assert timedelta(seconds=99) < found.expires_at - before < timedelta(seconds=110)
    (one,) = guarded("reservations", "--json").json
    assert (one["reservation"], one["key"], one["bytes"], one["process"]) == (found.id, "k", MIB, None)


def test_what_is_bound_names_this_process(deciding: tuple[Admissions, Guarded]) -> None:
    admissions, guarded = deciding
    admissions.admit(Wanted(MIB, bound=True))

    (one,) = guarded("reservations", "--json").json
    assert one["process"] == os.getpid()


def test_what_does_not_fit_is_refused_and_what_is_unknown_estimated(deciding: tuple[Admissions, Guarded]) -> None:
    admissions, _ = deciding
    estimated = admissions.admit(Wanted())
    with pytest.raises(UploadRefused) as refused:
        admissions.admit(Wanted(60 * MIB))

    assert estimated.bytes == 64 * MIB
    assert (refused.value.retry_after_seconds, "flood" in refused.value.reason) == (None, True)


@pytest.mark.parametrize("declared", [2**53 + 1, 2**63, 10**30, 10**4000])
def test_what_a_stranger_declares_is_too_large_however_large_it_is(
    deciding: tuple[Admissions, Guarded], declared: int
) -> None:
    admissions, _ = deciding
    small = admissions.admit(Wanted(1))
    for ask in (partial(admissions.admit, Wanted(declared)), partial(admissions.grow, small.id, declared)):
        with pytest.raises(UploadRefused) as refused:
            ask()
        assert (refused.value.why, refused.value.http_status) == (Why.TOO_LARGE, 507)

    assert not admissions.is_accepting(declared)


def test_a_lease_beyond_the_longest_is_no_request(deciding: tuple[Admissions, Guarded]) -> None:
    with pytest.raises(UsageError, match=r"admission\.most_lease_seconds"):
        deciding[0].admit(Wanted(1, lease_seconds=86401))


def test_a_key_is_as_long_as_s3_has_it_at_most(deciding: tuple[Admissions, Guarded]) -> None:
    admissions, guarded = deciding
    longest = "\x01" * 1022 + "é"
    found = admissions.admit(Wanted(1, longest))

    for refused in (
        lambda: admissions.admit(Wanted(1, longest + "x")),
        lambda: admissions.commit(found.id, longest + "x", 1),
    ):
        with pytest.raises(UsageError, match="key: found one of 1025 bytes; allowed: at most 1024"):
            refused()
    assert [one["key"] for one in guarded("reservations", "--json").json] == [longest]


def test_what_ended_without_a_word_is_forgotten_by_and_by(deciding: tuple[Admissions, Guarded]) -> None:
    admissions, guarded = deciding
    control = opening.control(settings.load(guarded.config, {}), guarded.config)
    for _ in range(105):
        admissions.admit(Wanted(0, lease_seconds=0.05))
    wait_until(lambda: all(one.expires_at < control.clock.now() for one in control.catalogue.reservations()))

    admissions.admit(Wanted(0))

    assert len(control.catalogue.reservations()) < 10


def test_a_reservation_grows_as_far_as_there_is_room(deciding: tuple[Admissions, Guarded]) -> None:
    admissions, guarded = deciding
    found = admissions.admit(Wanted(MIB))

    assert admissions.grow(found.id, 50 * MIB).bytes == 50 * MIB
    with pytest.raises(UploadRefused):
        admissions.grow(found.id, 96 * MIB)
    with pytest.raises(ObjectMissing):
        admissions.grow("no-such-id", 1)
    assert guarded("status", "--json").json["reservations"] == {"count": 1, "bytes": 50 * MIB}


def test_what_is_committed_is_known_and_what_is_released_is_not(deciding: tuple[Admissions, Guarded]) -> None:
    admissions, guarded = deciding
    stored, not_stored = (admissions.admit(Wanted(MIB, key)).id for key in "ab")

    assert (admissions.commit(stored, None, None), admissions.release(not_stored)) == (True, True)
    assert (admissions.commit("no-such-id", None, None), guarded.states()) == (False, {"resident": 1})


def test_what_was_stored_is_counted_with_its_own_size(deciding: tuple[Admissions, Guarded]) -> None:
    admissions, guarded = deciding
    found = admissions.admit(Wanted(4 * MIB))

    assert admissions.commit(found.id, "a.apk", MIB)
    assert guarded("status", "--json").json["objects"]["resident"] == {"count": 1, "bytes": MIB}


def test_what_is_stored_in_parts_is_counted_and_the_rest_stays_reserved(deciding: tuple[Admissions, Guarded]) -> None:
    admissions, guarded = deciding
    found = admissions.admit(Wanted(90 * MIB))

    assert admissions.commit(found.id, "a.apk", 40 * MIB, is_part=True)
    status = guarded("status", "--json").json
    with pytest.raises(UploadRefused):
        admissions.admit(Wanted(20 * MIB))
    assert admissions.commit(found.id, "b.apk", 50 * MIB)

    assert (status["reservations"], status["objects"]["resident"]) == (
        {"count": 1, "bytes": 50 * MIB}, {"count": 1, "bytes": 40 * MIB},
    )  # fmt: skip
    assert guarded("status", "--json").json["objects"]["resident"] == {"count": 2, "bytes": 90 * MIB}
    assert guarded("reservations", "--json").json == []


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_what_was_stored_is_counted_though_its_reservation_has_ended(
    is_forgotten: bool, deciding: tuple[Admissions, Guarded]
) -> None:
    admissions, guarded = deciding
    ended = admissions.admit(Wanted(MIB, lease_seconds=0.01))
    wait_until(lambda: guarded("reservations", "--json").json == [])
    if is_forgotten:
        admissions.release(ended.id)
    key = guarded.put("some", size=MIB).name

    assert not admissions.commit(ended.id if is_forgotten else "no-such-id", None, MIB)
    assert admissions.commit(ended.id, key, MIB)

    assert guarded("status", "--json").json["objects"]["resident"] == {"count": 1, "bytes": MIB}


def test_what_the_store_has_not_is_not_counted_by_the_word_of_a_client(deciding: tuple[Admissions, Guarded]) -> None:
    admissions, guarded = deciding

    if isinstance(admissions, Service):
        assert not admissions.commit("no-such-id", "a.apk", 90 * MIB)
        assert guarded.states() == {}


def test_a_reservation_that_is_extended_ends_later_and_one_that_has_ended_stays_so(
    deciding: tuple[Admissions, Guarded],
) -> None:
    admissions, guarded = deciding
    found, ended = admissions.admit(Wanted(MIB, lease_seconds=60)), admissions.admit(Wanted(MIB, lease_seconds=0.01))
    stored = admissions.admit(Wanted(MIB))
    admissions.commit(stored.id, "a.apk", None)
    wait_until(lambda: len(guarded("reservations", "--json").json) == 1)

    assert [admissions.extend(one, 600) for one in (found.id, ended.id, stored.id, "no-such-id")] == [
        True, False, False, False,
    ]  # fmt: skip
    (one,) = guarded("reservations", "--json").json
    assert datetime.fromisoformat(one["expires_at"]) - found.expires_at > timedelta(seconds=500)
    assert admissions.extend(found.id, None)
    with pytest.raises(UsageError, match=r"admission\.most_lease_seconds"):
        admissions.extend(found.id, 86401)


def test_what_one_client_has_at_once_is_a_share_of_the_room(deciding: tuple[Admissions, Guarded]) -> None:
    admissions, guarded = deciding
    admissions.admit(Wanted(40 * MIB, client="192.0.2.1"))

    with pytest.raises(UploadRefused) as too_much:
        admissions.admit(Wanted(10 * MIB, client="192.0.2.1"))
    admissions.admit(Wanted(10 * MIB, client="192.0.2.2"))
    admissions.admit(Wanted(10 * MIB))

    assert (too_much.value.why, too_much.value.retry_after_seconds) == (Why.TOO_MUCH_AT_ONCE, 60)
    assert {one["client"] for one in guarded("reservations", "--json").json} == {"192.0.2.1", "192.0.2.2", None}


@pytest.mark.parametrize("by", BOTH)
@pytest.mark.parametrize(("share", "most"), [("25%", 2), ("50 MiB", 4), ("1%", 1)])
def test_of_the_reservations_that_hold_at_once_one_client_has_a_share_however_small_they_are(
    by: str, share: str, most: int, tmp_path: Path
) -> None:
    with decided(by, tmp_path, client_share=share, most_reservations=8) as (admissions, _):
        his = [admissions.admit(Wanted(1, client="192.0.2.1")).id for _ in range(most)]
        with pytest.raises(UploadRefused, match=rf"{most} reservations of 192\.0\.2\.1 are enough") as too_many:
            admissions.admit(Wanted(1, client="192.0.2.1"))
        for other in ("192.0.2.2", None):
            admissions.admit(Wanted(1, client=other))
        assert admissions.grow(his[0], 2).bytes == 2  # it is one as before
        admissions.release(his[0])
        admissions.admit(Wanted(1, client="192.0.2.1"))

    assert (too_many.value.why, too_many.value.retry_after_seconds) == (Why.TOO_MUCH_AT_ONCE, 60)


def test_more_than_a_share_of_what_is_left_is_refused_for_good_where_no_room_can_be_made(
    deciding: tuple[Admissions, Guarded],
) -> None:
    admissions, _ = deciding

    with pytest.raises(UploadRefused, match="client_share") as refused:
        admissions.admit(Wanted(60 * MIB, client="192.0.2.1"))
    admissions.admit(Wanted(60 * MIB))

    assert (refused.value.why, refused.value.retry_after_seconds) == (Why.FULL, None)


def test_whether_an_upload_is_accepted_is_told_of_its_size(deciding: tuple[Admissions, Guarded]) -> None:
    admissions, _ = deciding
    admissions.admit(Wanted(80 * MIB))

    assert (admissions.is_accepting(15 * MIB), admissions.is_accepting(15 * MIB + 1)) == (True, False)
    assert not admissions.is_accepting(None)


def test_what_is_archived_is_known_and_fetched(
    deciding: tuple[Admissions, Guarded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admissions, guarded = deciding
    keys = guarded.fill(90, oldest=400, newest=200)
    guarded("sync")
    assert guarded("sweep").exit_code == 0
    guarded.command(f'#!/bin/sh\nexec {" ".join(guarded.argv())} "$@"\n')
    for name in ("PATH", "PYTHONPATH"):  # of this process, whose command reads
        monkeypatch.setenv(name, guarded.environment[name])

    with (tmp_path / "fetched").open("wb") as target:
        admissions.fetch(keys[0], target)
        with pytest.raises(ObjectMissing):
            admissions.fetch("unknown", target)

    assert (admissions.is_archived(keys[0]), admissions.is_archived(keys[-1])) == (True, False)
    assert not admissions.is_archived(apk_key(1000))
    assert (tmp_path / "fetched").stat().st_size == MIB


def test_a_guard_commits_what_its_block_stored_and_releases_what_failed(deciding: tuple[Admissions, Guarded]) -> None:
    admissions, guarded = deciding
    guard = StorageGuard(admissions)
    with guard.admit(MIB, key="stored"):
        pass
    with pytest.raises(RuntimeError), guard.admit(MIB, key="failed"):
        raise RuntimeError

    assert guarded.states() == {"resident": 1}
    assert guarded("reservations", "--json").json == []

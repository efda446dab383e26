"""Whether uploads are admitted is told beforehand, and behind a closed door room is made all the same."""

from dataclasses import dataclass, field
from typing import BinaryIO

import pytest

from exodus_storage_guard.admission.admissions import Direct
from exodus_storage_guard.admission.control import AdmissionControl
from exodus_storage_guard.model import Need
from exodus_storage_guard.state import opening as state
from tests.parts.clocks import SetClock
from tests.parts.guard import MIB, Guarded


@dataclass
class Asked:
    """Note what is asked for, and make no room."""

    sweeps: list[Need | None] = field(default_factory=list)

    def look(self) -> None:
        pass

    def release(self, need: Need) -> None:
        raise AssertionError("whoever only asks has nothing released")

    def start_sweep(self, need: Need | None) -> bool:
        self.sweeps.append(need)
        return True

    def fetch(self, key: str, target: BinaryIO) -> None:
        raise AssertionError("nothing is fetched")


def door(guarded: Guarded) -> tuple[Direct, Asked, SetClock]:
    room, clock, settings = Asked(), SetClock(), guarded.run().settings
    return Direct(AdmissionControl(settings, state.opened(settings.state), clock, room)), room, clock


def test_an_open_door_asks_for_nothing(guarded: Guarded) -> None:
    guarded.fill(20)
    guarded("init")
    keeper, room, _ = door(guarded)

    assert keeper.is_accepting(10 * MIB)
    assert room.sweeps == []


def test_a_closed_door_asks_for_a_sweep_once_a_minute(guarded: Guarded) -> None:
    guarded.fill(90)
    guarded("init")
    keeper, room, clock = door(guarded)

    answers = [keeper.is_accepting(10 * MIB) for _ in range(5)]
    at_once = len(room.sweeps)
    clock.seconds += 59
    keeper.is_accepting(10 * MIB)
    nearly = len(room.sweeps)
    clock.seconds += 1
    keeper.is_accepting(10 * MIB)

    assert not any(answers)
    assert (at_once, nearly, room.sweeps) == (1, 1, [Need(10 * MIB)] * 2)


def test_for_an_upload_of_a_usual_size_it_asks_for_no_more_than_that(guarded: Guarded) -> None:
    guarded.fill(90)
    guarded("init")
    keeper, room, _ = door(guarded)

    assert not keeper.is_accepting(None)
    assert room.sweeps == [Need(64 * MIB)]


@pytest.mark.parametrize(("size", "accepted"), [(10 * MIB, True), (31 * MIB, False)])
def test_what_is_premigrated_makes_way(size: int, accepted: bool, guarded: Guarded) -> None:
    guarded.write(sweep={"premigrate": "20%"}, watermarks={"low": "85%", "high": "90%", "flood": "95%"})
    guarded.fill(90)
    guarded("init")
    guarded("sweep")
    keeper, _, _ = door(guarded)
    before = guarded.states()

    assert before["premigrated"] >= 20
    assert keeper.is_accepting(size) is accepted
    assert guarded("admit", "--bytes", str(size)).exit_code == (0 if accepted else 75)

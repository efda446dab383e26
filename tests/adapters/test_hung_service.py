"""A service that is there and does not answer holds up pages for a second, once, and uploads for a few."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from exodus_storage_guard import StorageGuard, UploadRefused
from exodus_storage_guard.adapters.gate import Gate, WhenBroken
from exodus_storage_guard.adapters.service.turns import Turns
from exodus_storage_guard.adapters.service.waiting import Waiting
from exodus_storage_guard.admission.service_client import Service as Client
from exodus_storage_guard.admission.silence import Silence
from exodus_storage_guard.errors import StateFailed, Why
from tests.parts.clocks import SetClock
from tests.parts.service import short_folder

HELD_UP_SECONDS = 1.8  # a second, on a machine that has much else to do
ALIVE = b"HEAD / "
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Hung:
    """Take every connection, and answer only what begins so."""

    at: Path
    answers: bytes = b"nothing"
    asked: list[bytes] = field(default_factory=list)
    """What was asked, up to its path."""
    _held: list[socket.socket] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        with suppress(OSError):  # the end
            while True:
                threading.Thread(target=self._hear, args=(listener.accept()[0],), daemon=True).start()

    def _hear(self, connection: socket.socket) -> None:
        self._held.append(connection)
        with suppress(ConnectionError):  # who asked has gone
            while said := connection.recv(65536):
                self.asked.append(b" ".join(said.split(b" ")[:2]))
                if said.startswith(self.answers):
                    connection.sendall(NOT_FOUND)


@pytest.fixture
def hung() -> Iterator[Hung]:
    with short_folder() as folder, closing(socket.socket(socket.AF_UNIX)) as listener:
        service = Hung(folder / "guard.sock")
        listener.bind(str(service.at))
        listener.listen(50)
        threading.Thread(target=service.serve, args=(listener,), daemon=True).start()
        yield service
        listener.shutdown(socket.SHUT_RDWR)


def failed_within(seconds: float, ask: Callable[[], object], said: str) -> bool:
    began = time.monotonic()
    with pytest.raises(StateFailed, match=said):
        ask()
    return time.monotonic() - began < seconds


def silence(clock: SetClock) -> dict[str, Silence]:
    return {"_looks": Silence(clock), "_all": Silence(clock)}


def test_whoever_only_looks_waits_a_second_and_the_next_ones_do_not(hung: Hung) -> None:
    guard = StorageGuard(Client(hung.at, **silence(clock := SetClock())))

    assert failed_within(HELD_UP_SECONDS, guard.is_accepting, r"did not answer within 1 s")
    assert failed_within(0.2, guard.is_accepting, "did not answer a moment ago")
    assert failed_within(0.2, lambda: guard.is_archived("k"), "did not answer a moment ago")
    assert len(hung.asked) == 1
    clock.seconds += 5
    assert failed_within(HELD_UP_SECONDS, lambda: guard.is_archived("k"), r"did not answer within 1 s")


def test_one_that_answers_again_is_asked_as_ever(hung: Hung) -> None:
    guard = StorageGuard(Client(hung.at, **silence(clock := SetClock())))
    assert failed_within(HELD_UP_SECONDS, lambda: guard.is_archived("k"), r"did not answer within 1 s")
    clock.seconds += 5
    hung.answers = b"GET "

    assert [guard.is_archived("k"), guard.is_archived("k")] == [False, False]
    assert len(hung.asked) == 3


@pytest.mark.parametrize(
    "ask",
    [
        lambda guard: guard.admit(1),
        lambda guard: guard.release("some-id"),
        lambda guard: guard.commit("some-id", "k"),
        lambda guard: guard.admit(1, wait_seconds=600),
    ],
)
def test_an_upload_waits_no_longer_than_it_takes_to_see_that_nobody_is_answered(
    ask: Callable[[StorageGuard], object], hung: Hung
) -> None:
    guard = StorageGuard(Client(hung.at))

    assert failed_within(6, lambda: ask(guard), "is there, and answers nobody")
    assert hung.asked[-1] == ALIVE.strip()
    for next_one in (lambda: guard.admit(1), guard.is_accepting):
        assert failed_within(0.2, next_one, "did not answer a moment ago")


def test_an_upload_is_waited_for_while_the_service_answers_others(hung: Hung) -> None:
    hung.answers = ALIVE
    asking = threading.Thread(target=lambda: StorageGuard(Client(hung.at)).release("some-id"))
    asking.start()
    asking.join(5)

    assert asking.is_alive()
    assert hung.asked[:2] == [b"DELETE /v1/reservations/some-id", ALIVE.strip()]
    hung._held[0].sendall(NOT_FOUND)
    asking.join(10)
    assert not asking.is_alive()


def test_a_page_that_shows_whether_uploads_are_accepted_is_held_up_no_longer(
    hung: Hung, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StorageGuard, "from_config", lambda config: StorageGuard(Client(hung.at)))
    choices: tuple[WhenBroken, ...] = ("refuse", "accept")
    for when_broken in choices:
        gate, began = Gate(None, when_broken), time.monotonic()
        assert [gate.is_accepting() for _ in range(3)] == [when_broken == "accept"] * 3
        assert time.monotonic() - began < HELD_UP_SECONDS


def test_an_admission_is_answered_however_long_that_takes_which_is_done_for_it() -> None:
    go_on = threading.Event()

    def steps() -> Iterator[Callable[[], object]]:
        yield go_on.wait

    async def asked() -> UploadRefused:
        gone = asyncio.get_running_loop().create_future()
        with pytest.raises(UploadRefused, match=r"takes longer than 0\.1 s") as refused:
            await Waiting(Turns(), work_seconds=0.1).admitted(1, steps(), gone)  # type: ignore[arg-type]
        go_on.set()
        return refused.value

    refusal = asyncio.run(asked())

    assert (refusal.why, refusal.retry_after_seconds) == (Why.NO_ROOM, 60)

"""Whatever a machine behind ssh answers: it is read as what it is, or refused with a sentence, and never kept whole."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.errors import ObjectChanged, StoreFailed
from exodus_storage_guard.instants import datetime_of, instant
from exodus_storage_guard.model import MOST_BYTES, StoredObject
from exodus_storage_guard.stores.contract import Chunks
from exodus_storage_guard.stores.locations import Remote
from exodus_storage_guard.stores.ssh import scripts
from exodus_storage_guard.stores.ssh.door import Key, SshDoor
from exodus_storage_guard.stores.ssh.store import RemoteStore

AT = datetime(2026, 1, 2, tzinfo=UTC)
SEEN = b"7 1767312000.0000000000 1767312001.5000000000 99"
STORED = StoredObject("key", 7, "1767312000.0000000000 1767312001.5000000000 99", AT)
MIB = 1024 * 1024
PIECES = [
    SEEN,
    b"key",
    b" ",
    b"\0",
    b"\n",
    b"? ",
    b"45 ",
    b"gone",
    b"-1",
    b"9" * 40,
    b"../key",
    b"1e9 ",
    b"\xff",
    b"ab" * 32,
]
ANSWERS = st.binary(max_size=60) | st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=8).map(b"".join)


class Answering(SshDoor):
    """Answer every script with the same bytes, in pieces."""

    def __init__(self, *pieces: bytes, left_nothing: bool = False) -> None:
        super().__init__(Remote("archive.example", PurePosixPath("/copies")), Key(Path("key"), Path("hosts")), 5)
        self.pieces, self.has_left_nothing, self.taken = pieces, left_nothing, 0

    @contextmanager
    def session(self, script: str, *names: str, **more: Any) -> Iterator[Chunks]:
        yield self._given(b"" if script == scripts.LEFT and self.has_left_nothing else None)

    def _given(self, instead: bytes | None) -> Chunks:
        for piece in self.pieces if instead is None else [instead]:
            self.taken += len(piece)
            yield piece


def drained(opened: AbstractContextManager[tuple[StoredObject, Chunks]]) -> tuple[StoredObject, bytes]:
    with opened as (stored, chunks):
        return stored, b"".join(chunks)


ASKED: dict[str, Callable[[RemoteStore], object]] = {
    "listing": lambda store: list(store.listing()),
    "stat": lambda store: store.stat("key"),
    "stat_all": lambda store: store.stat_all(["key", "other", "third"]),
    "open": lambda store: drained(store.open("key")),
    "put": lambda store: store.put(STORED, [b"content"]),
    "sha256": lambda store: store.sha256("key"),
    "delete": lambda store: store.delete(STORED),
    "move": lambda store: store.move("key", "other"),
    "read_small": lambda store: store.read_small("key"),
    "discard_unfinished": lambda store: store.discard_unfinished(AT),
    "capacity": lambda store: store.capacity(),
    "now": lambda store: store.now(),
}


def objects_in(found: object) -> Iterable[StoredObject]:
    if isinstance(found, StoredObject):
        yield found
    elif isinstance(found, list | tuple):
        for one in found:
            yield from objects_in(one)


@pytest.mark.parametrize("name", ASKED)
@given(answer=ANSWERS)
def test_any_answer_is_read_or_refused_with_a_sentence(name: str, answer: bytes) -> None:
    found, problem = None, "archive.example"
    try:
        found = ASKED[name](RemoteStore(Answering(answer[:20], answer[20:])))
    except ExodusError as error:
        problem = str(error)
    assert "archive.example" in problem
    assert problem == printable(problem)
    for one in objects_in(found):
        assert 0 <= one.bytes <= MOST_BYTES
        assert datetime_of(instant(one.last_modified)) == one.last_modified


def test_what_is_right_is_read() -> None:
    assert RemoteStore(Answering(SEEN + b"\n")).stat("key") == STORED
    assert RemoteStore(Answering(SEEN, b" key\0", left_nothing=True)).stat_all(["key"]).found == {"key": STORED}
    assert drained(RemoteStore(Answering(SEEN + b"\ncon", b"tent")).open("key")) == (STORED, b"content")
    assert RemoteStore(Answering(b"ab" * 32 + b"  -\n")).sha256("key") == "ab" * 32
    assert RemoteStore(Answering(b"gone\n")).delete(STORED)
    assert [*RemoteStore(Answering(SEEN + b" k", b"ey\0", left_nothing=True)).listing()] == [STORED]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("stat", SEEN.replace(b"7 ", b"-7 ", 1)),
        ("stat", SEEN.replace(b"7 ", b"9223372036854775808 ", 1)),
        ("stat", SEEN.replace(b"7 ", b"1_0 ", 1)),
        ("stat_all", b"welcome"),
        ("stat_all", b"? 45 key"),
        ("stat_all", b"? many key\0\0"),
        ("stat_all", SEEN + b" of-nobody\0"),
        ("listing", b"welcome"),
        ("sha256", b"\xff" * 64),
        ("delete", b""),
        ("delete", b"welcome\ngone\n"),
        ("put", SEEN.replace(b"7 ", b"8 ", 1)),
        ("capacity", b"4096 10 20 -1"),
        ("capacity", b"4096 -1"),
        ("capacity", b"9" * 30 + b" 9 8 7"),
        ("now", b"noon"),
    ],
)
def test_what_cannot_be_is_refused(name: str, answer: bytes) -> None:
    with pytest.raises(StoreFailed):
        ASKED[name](RemoteStore(Answering(answer)))


def test_a_file_that_goes_on_beyond_its_size_is_not_read_on() -> None:
    door = Answering(SEEN + b"\n", b"content", *[b"more"] * 1000)

    with pytest.raises(ObjectChanged, match="more than its 7 bytes"):
        drained(RemoteStore(door).open("key"))

    assert door.taken < 100


@pytest.mark.parametrize("name", [name for name in ASKED if name != "listing"])
def test_an_answer_without_an_end_is_not_kept(name: str) -> None:
    door = Answering(*[b"9" * MIB] * 100)

    with pytest.raises(StoreFailed):
        ASKED[name](RemoteStore(door))

    assert door.taken <= 17 * MIB


def test_a_name_without_an_end_is_not_kept_and_a_listing_may_be_as_long_as_it_is() -> None:
    endless = Answering(*[b"9" * MIB] * 100, left_nothing=True)
    with pytest.raises(StoreFailed, match="no answer"):
        list(RemoteStore(endless).listing())
    assert endless.taken <= 2 * MIB

    long = Answering(*[(SEEN + b" key\0") * 20_000] * 20, left_nothing=True)
    assert sum(1 for _ in RemoteStore(long).listing()) == 400_000

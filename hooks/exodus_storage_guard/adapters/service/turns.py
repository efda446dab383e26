"""Do quick work beside the loop, of each user so much at a time: a hundred questions of one hold up no other."""

import asyncio
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from exodus_common.errors import TryLater
from exodus_storage_guard.errors import UploadRefused

T = TypeVar("T")
_THREADS, _OF_A_USER = 8, 2
_READING = 32  # threads, and readers of a user: each takes some memory for as long as it likes

Gone = asyncio.Future[None]
"""Is done once a client has gone."""


@dataclass
class _Line:
    """Let one user's questions be worked on in the order they came; whose client has gone leaves at once."""

    _free: int = _OF_A_USER
    _waiting: "OrderedDict[asyncio.Future[bool], None]" = field(default_factory=OrderedDict)

    async def turn(self, gone: Gone | None) -> bool:
        """Wait for a turn; False where the client has gone before."""
        if gone is not None and gone.done():
            return False
        if self._free:
            self._free -= 1
            return True
        mine: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[mine] = None

        def leave(_: object) -> None:
            if mine in self._waiting:
                del self._waiting[mine]
                mine.set_result(False)

        if gone is not None:
            gone.add_done_callback(leave)
        try:
            return await mine
        finally:
            self._waiting.pop(mine, None)
            if gone is not None:
                gone.remove_done_callback(leave)

    def pass_on(self) -> None:
        """Give a turn to whoever waits for the longest."""
        while self._waiting:
            mine, _ = self._waiting.popitem(last=False)
            if not mine.done():
                mine.set_result(True)
                return
        self._free += 1


@dataclass
class Turns:
    """Let users ask in turn: each has some threads at most, and there are more than one user may have."""

    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_THREADS, thread_name_prefix="quick")
    )
    _users: "defaultdict[int, _Line]" = field(default_factory=lambda: defaultdict(_Line))

    async def ask(self, user: int, work: Callable[[], T], gone: Gone | None = None) -> T:
        """Have some work done for a user; raise what it raises, or `UploadRefused` where its client has gone before."""
        line = self._users[user]
        if not await line.turn(gone):
            raise UploadRefused("the client went away")  # nobody reads it
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            line.pass_on()


@dataclass
class Readers:
    """Read from the store and the archive, which may hang: apart from all else, and of a user so many at a time."""

    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_READING, thread_name_prefix="reading")
    )
    _users: "Counter[int]" = field(default_factory=Counter)

    @contextmanager
    def place(self, user: int) -> Iterator[None]:
        """Have a place among the readers; raise `TryLater` where a user has as many as one may have."""
        if self._users[user] >= _READING:
            raise TryLater("too many objects are read at once already; try again when one is done")
        self._users[user] += 1
        try:
            yield
        finally:
            self._users[user] -= 1

    def ask(self, work: Callable[[], T]) -> Awaitable[T]:
        """Have something read."""
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

"""Do quick work beside the loop, of each user so much at a time: a hundred questions of one hold up no other."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
_THREADS, _OF_A_USER = 8, 2


@dataclass
class Turns:
    """Let users ask in turn: each has some threads at most, and there are more than one user may have."""

    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_THREADS, thread_name_prefix="quick")
    )
    _users: "defaultdict[int, asyncio.Semaphore]" = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(_OF_A_USER))
    )

    async def ask(self, user: int, work: Callable[[], T]) -> T:
        """Have some work done for a user; raise what it raises."""
        async with self._users[user]:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

"""Wait for room on behalf of many: without a thread for each, and no longer than somebody is there to hear."""

import asyncio
from collections import Counter
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from exodus_storage_guard.adapters.service.turns import Turns
from exodus_storage_guard.admission.reservations import Admission, Steps, Work
from exodus_storage_guard.errors import UploadRefused, Why

_MOST_OF_A_USER, _MOST = 100, 400
_AGAIN_SECONDS, _LATER_SECONDS = 10, 60
_WORK_SECONDS = 20.0
"""How much longer than it asked to wait an admission has its answer by: whoever asks may be a page's only worker."""


@dataclass
class Waiting:
    """Go on with admissions; what they have done for them is done once for all who ask for it meanwhile."""

    turns: Turns
    work_seconds: float = _WORK_SECONDS
    _working: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="working"))
    _at_work: asyncio.Lock = field(default_factory=asyncio.Lock)
    _users: "Counter[int]" = field(default_factory=Counter)

    async def admitted(
        self, user: int, steps: Steps, gone: "asyncio.Future[None]", wait_seconds: float = 0
    ) -> Admission | None:
        """Give the admission; None where its client was gone before. Raises what the admission raises.

        And `UploadRefused` where what is done for it takes too long: that goes on, for whoever comes back.
        """
        if self._users[user] >= _MOST_OF_A_USER or self._users.total() >= _MOST:
            raise UploadRefused("too many uploads wait for an answer already", _AGAIN_SECONDS, Why.BUSY)
        self._users[user] += 1
        try:
            return await self._driven(user, steps, gone, wait_seconds + self.work_seconds)
        finally:
            self._users[user] -= 1
            steps.close()

    async def _driven(self, user: int, steps: Steps, gone: "asyncio.Future[None]", seconds: float) -> Admission | None:
        told: bool | None = None
        time = asyncio.get_running_loop().time
        ends_at = time() + seconds
        while True:
            awaited = await self.turns.ask(user, partial(_next, steps, told), gone)
            if isinstance(awaited, Admission):
                return awaited
            doing = self._work(awaited) if callable(awaited) else _slept(awaited)
            working: asyncio.Future[bool] = asyncio.ensure_future(doing)
            both: set[asyncio.Future[Any]] = {working, gone}
            await asyncio.wait(both, timeout=max(0.0, ends_at - time()), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():  # others may wait for it as well
                if gone.done():
                    return None
                what = f"to make room, or to measure the store, takes longer than {seconds:g} s"
                raise UploadRefused(what, _LATER_SECONDS, Why.NO_ROOM)
            told = working.result()

    async def _work(self, work: Work) -> bool:
        """Do some work, or wait for the one that is being done; tell whether it was done for this one."""
        if self._at_work.locked():
            async with self._at_work:
                return False
        async with self._at_work:
            await asyncio.get_running_loop().run_in_executor(self._working, work)
            return True


def _next(steps: Steps, told: bool | None) -> Admission | float | Work:
    try:
        return steps.send(told)
    except StopIteration as done:
        admitted: Admission = done.value
        return admitted


async def _slept(seconds: float) -> bool:
    await asyncio.sleep(seconds)
    return True

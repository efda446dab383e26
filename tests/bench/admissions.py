"""Measure admission by both doors, side by side in one run: the state opened directly, and the service asked.

Run as `make bench`, or `tests/bench/admissions.py --quick` for a tenth of everything. The service is a process of its
own on the same cores; its door is taken as by a user who does not own the state.
"""

import multiprocessing
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "hooks")]

from exodus_storage_guard import StorageGuard, privileges, settings  # noqa: E402 - after the path is set
from exodus_storage_guard.state.opening import opened  # noqa: E402
from tests.bench.storage import at, objects, timed  # noqa: E402
from tests.parts.guard import Guarded  # noqa: E402
from tests.parts.service import running_service  # noqa: E402

_QUICK = "--quick" in sys.argv
_SCALE = 10 if _QUICK else 1
_PROCESSES, _A_SECOND, _SECONDS = 16, 5, 3 if _QUICK else 10
_COUNTS = (1_000, 1_000_000 // _SCALE)
_COMMAND = """
import sys
from exodus_storage_guard import privileges
privileges.opens_state = lambda *place: {directly}
from exodus_storage_guard.cli.main import main
sys.exit(main(["admit", "--bytes", "1000"]))
"""


def main() -> None:
    """Print every figure."""
    print(
        "admit with room, milliseconds (aims: p99 under 5; of 16 processes under 50, most 500; the command under 200):"
    )
    with tempfile.TemporaryDirectory(prefix="exodus-bench-", dir="/var/tmp") as folder:
        for count in _COUNTS:
            admitting(Path(folder) / f"admit{count}", count)


def admitting(folder: Path, count: int, state_url: str | None = None) -> None:
    """Print what an admission takes beside so many objects, by each door."""
    socket = {"socket": str(folder / "guard.sock")}
    guarded = Guarded(folder, state_url).write(capacity={"total_bytes": "1000 TiB"}, admission=socket)
    catalogue = opened(settings.load(guarded.config, {}).state)
    catalogue.create()
    catalogue.apply_listing(objects(count), datetime.now(UTC))
    for name, door in DOORS.items():
        with door(guarded):
            print(f"  {count:8} objects, {name:14}   {_figures(guarded)}", flush=True)


def _figures(guarded: Guarded) -> str:
    guard = StorageGuard.from_config(guarded.config)
    guard.admit(1000).release()
    alone = sorted(1000 * timed(lambda: guard.admit(1000).release()) / 2 for _ in range(2000 // _SCALE))
    together = sorted(_together(guarded))
    cold = [1000 * timed(lambda: _by_command(guarded)) for _ in range(7)]
    one = f"one process p50 {at(alone, 50):5.2f} p99 {at(alone, 99):5.2f}"
    many = f"{_PROCESSES} processes, {_A_SECOND} a second each, p99 {at(together, 99):6.2f} most {together[-1]:6.2f}"
    return f"{one}   {many}   the command {statistics.median(cold):4.0f}"


def _by_command(guarded: Guarded) -> None:
    """Admit from cold, by the door that this process would take."""
    directly = privileges.opens_state(settings.load(guarded.config, {}).state, guarded.folder / "guard.sock")
    argv = [sys.executable, "-c", _COMMAND.format(directly=directly)]
    # Its output is captured since subprocess then waits for the end of that; without, it looks every 50 ms.
    subprocess.run(argv, env=guarded.environment, check=True, timeout=60, capture_output=True)


def _together(guarded: Guarded) -> list[float]:
    context = multiprocessing.get_context("fork")
    said = context.Queue()
    arguments = (str(guarded.config), said)
    processes = [context.Process(target=_pace, args=arguments) for _ in range(_PROCESSES)]
    for process in processes:
        process.start()
    found = [value for _ in processes for value in said.get()]
    for process in processes:
        process.join()
    return found


def _pace(config: str, said: "multiprocessing.Queue[list[float]]") -> None:
    guard, found = StorageGuard.from_config(config), []
    guard.admit(1000).release()
    every = 1 / _A_SECOND
    end, wanted = time.monotonic() + _SECONDS, time.monotonic() + random.random() * every  # noqa: S311 - no secret
    while wanted < end:
        time.sleep(max(0.0, wanted - time.monotonic()))
        begin = time.perf_counter()
        reservation = guard.admit(1000)
        found.append(1000 * (time.perf_counter() - begin))
        reservation.release()
        wanted += every
    said.put(found)


@contextmanager
def by_the_service(guarded: Guarded) -> Iterator[None]:
    """Have the service decide, as for whoever does not own the state."""
    with (
        running_service(guarded, guarded.folder / "guard.sock"),
        patch.object(privileges, "opens_state", return_value=False),
    ):
        yield


def directly(guarded: Guarded) -> AbstractContextManager[None]:
    """Open the state in the process that asks."""
    return nullcontext()


DOORS = {"directly": directly, "by the service": by_the_service}

if __name__ == "__main__":
    main()

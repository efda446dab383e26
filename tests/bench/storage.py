"""Measure the storage half, side by side in one run: moving, listing, and the memory it takes.

Run as `make bench`, or `tests/bench/storage.py --quick` for a tenth of everything. What moves is compared with
`rsync -a --remove-source-files` followed by `rsync -c`, which proves by checksum as we do.
"""

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "hooks")]

from exodus_storage_guard.model import StoredObject  # noqa: E402
from tests.parts.guard import Guarded, apk_key  # noqa: E402

_QUICK = "--quick" in sys.argv
_SCALE = 10 if _QUICK else 1
_ROUNDS = 3
_HWM = """
import sys
from exodus_storage_guard.cli.main import main
code = main(sys.argv[1:])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1], file=sys.stderr)
sys.exit(code)
"""


def main() -> None:
    """Print every figure."""
    with tempfile.TemporaryDirectory(prefix="exodus-bench-", dir="/var/tmp") as folder:
        place = Path(folder)
        print("archive + verify + delete, seconds (median of 3, spread), ours beside rsync that removes and rsync -c:")
        moving(place / "large", 200 // _SCALE, 20_000_000)
        moving(place / "small", 5_000 // _SCALE, 20_000)
        listing(place / "listing", 1_000_000 // _SCALE)


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def at(values: list[float], percent: int) -> float:
    """Give a percentile of what is sorted."""
    return values[min(len(values) - 1, len(values) * percent // 100)]


def shown(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):7.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def guarded_at(folder: Path, state_url: str | None = None) -> Guarded:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return Guarded(folder, state_url).write(
        capacity={"total_bytes": "1 TiB"},
        admission={"emergency_reserve": 0},
        watermarks={"low": 0, "high": 1, "flood": "95%"},
    )


def fill(folder: Path, count: int, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content, old = bytearray(random.randbytes(size)), time.time() - 400 * 86400  # noqa: S311 - no secret
    for number in range(count):
        content[:8] = number.to_bytes(8)
        path = folder / apk_key(number)
        path.write_bytes(content)
        os.utime(path, (old + number, old + number))
    os.sync()


def moving(folder: Path, count: int, size: int) -> None:
    ours, theirs, memory = [], [], 0
    for _ in range(_ROUNDS):
        guarded = guarded_at(folder)
        fill(guarded.store, count, size)
        assert guarded("init", timeout=600).exit_code == 0
        begin = time.perf_counter()
        memory = max(memory, high_water(guarded, "sweep", "--quiet"))
        ours.append(time.perf_counter() - begin)
        assert len(guarded.stored()) == 0
        shutil.rmtree(guarded.archive)
        fill(guarded.store, count, size)
        begin = time.perf_counter()
        by_rsync(guarded)
        theirs.append(time.perf_counter() - begin)
    print(f"  {count:6} of {size:9} bytes   ours {shown(ours)}   rsync {shown(theirs)}   memory {memory / 1024:.0f} MB")


def by_rsync(guarded: Guarded) -> None:
    """Copy, compare by checksum, remove: what the operators could have typed in 2019."""
    source, target = f"{guarded.store}/", f"{guarded.archive}/"
    subprocess.run(["rsync", "-a", source, target], check=True)
    subprocess.run(["rsync", "-a", "-c", source, target], check=True)
    subprocess.run(["rsync", "-a", "--remove-source-files", source, target], check=True)
    os.sync()


def high_water(guarded: Guarded, *arguments: str) -> int:
    """Run a command; give the most memory it held, in KiB."""
    argv = [sys.executable, "-c", _HWM, *arguments]
    done = subprocess.run(argv, env=guarded.environment, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1])


def objects(count: int) -> Iterator[StoredObject]:
    begin = datetime.now(UTC) - timedelta(days=500)
    for number in range(count):
        yield StoredObject(f"{number * 7919 % 10**9:060d}_a.apk", 20_000_000, "e", begin + timedelta(seconds=number))


def listing(folder: Path, count: int) -> None:
    guarded = guarded_at(folder)
    for number in range(count):
        (guarded.store / f"{number:060d}_a.apk").touch()
    first = timed(lambda: guarded("init", timeout=3600))
    command = ["find", str(guarded.store), "-printf", "%p %s %T@\n"]
    ours, theirs, memory = [], [], 0
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        memory = max(memory, high_water(guarded, "sync", "--quiet"))
        ours.append(time.perf_counter() - begin)
        theirs.append(timed(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)))
    print(
        f"sync of {count} files, seconds: first {first:.1f}, then {shown(ours)}; find -printf {shown(theirs)}; "
        f"memory {memory / 1024:.0f} MB"
    )


if __name__ == "__main__":
    main()

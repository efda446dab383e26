"""The door to what cannot be asked: when a file was last changed, and when nginx's workers began."""

import os
import time
from collections.abc import Iterable, Iterator

from exodus_certbot.nginx.master import Generation

_MOST_LINKS = 40
# A process's start is known to a hundredth of a second, a file's change to the kernel's last tick.
_UNSHARP_SECONDS = 0.01


def began_at(generation: Generation) -> float | None:
    """Give the time at which the oldest of some workers began: what it shows was read before; None without workers.

    What changed at about that time counts as later. The workers' time, not the master's: a reload that nginx rejects
    leaves it with the workers that it had.
    """
    ticks = min((worker.started_ticks for worker in generation.accepting), default=None)
    if ticks is None:
        return None
    booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted_at + ticks / os.sysconf("SC_CLK_TCK") - _UNSHARP_SECONDS


def changed_at(paths: Iterable[str]) -> float:
    """Give the time of the last change to some files, or to the links that lead to them; 0 where there are none."""
    return max((status.st_ctime for path in paths for status in _on_the_way_to(path)), default=0.0)


def _on_the_way_to(path: str) -> Iterator[os.stat_result]:
    try:
        for _ in range(_MOST_LINKS):
            yield os.lstat(path)
            if not os.path.islink(path):  # noqa: PTH114 - text, as in nginx
                return
            path = os.path.join(os.path.dirname(path), os.readlink(path))  # noqa: PTH115, PTH118, PTH120 - text, as in nginx
    except (OSError, ValueError):
        return

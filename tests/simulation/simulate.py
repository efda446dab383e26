"""Play worlds by their seeds: `make simulate SEEDS=10000`, or `FIRST=562 SEEDS=1` to see one of them.

A world that goes wrong is made as short as it can be and shown; its script replays it whatever becomes of the seed, as
long as the world's own rules stay.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "hooks")]

from tests.simulation import play  # noqa: E402 - after the path is set
from tests.simulation.choices import Choices, shrunk  # noqa: E402

_AT_ONCE = 100
_BUSIEST = 10


class Played(NamedTuple):
    """Say what was wrong with a seed's world, nothing where all was right, and how much happened in it."""

    seed: int
    wrong: str
    happened: int
    events: frozenset[str]


def played(seeds: Sequence[int]) -> list[Played]:
    """Play these seeds' worlds."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # the guard complains of what the world does to it
    try:
        worlds = ((seed, play.of_seed(seed)) for seed in seeds)
        return [Played(seed, world.wrong, len(world.log), world.events) for seed, world in worlds]
    finally:
        logging.disable(before)


def wrong_of(seeds: Sequence[int]) -> list[Played]:
    """Give those whose world goes wrong."""
    return [one for one in played(seeds) if one.wrong]


def parts(first: int, count: int) -> Iterator[range]:
    """Cut seeds into parts that a process plays at once."""
    for begin in range(first, first + count, _AT_ONCE):
        yield range(begin, min(begin + _AT_ONCE, first + count))


def show(seed: int) -> None:
    """Make a world short, and tell its story."""
    whole = play.of_seed(seed)
    script = shrunk(whole.choices, lambda candidate: bool(play.played(Choices(candidate)).wrong))
    print(f"seed {seed}: {len(whole.choices)} choices, made {len(script)}: {script}")
    print("\n".join(play.played(Choices(script)).log))
    print(f"wrong: {play.played(Choices(script)).wrong}\n")


def main() -> int:
    """Play, and exit with 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1000)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    begun_at = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        worlds = [one for part in pool.map(played, parts(arguments.first, arguments.seeds)) for one in part]
    wrong = [one for one in worlds if one.wrong]
    for one in wrong[:3]:
        show(one.seed)
    for one in wrong:
        print(f"seed {one.seed}: {one.wrong}")
    busiest = sorted(worlds, key=lambda one: one.happened)[: -_BUSIEST - 1 : -1]
    print(f"most happened in seeds {', '.join(str(one.seed) for one in busiest)}")
    print(f"{len(worlds)} worlds in {time.monotonic() - begun_at:.0f} s, {len(wrong)} of them wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

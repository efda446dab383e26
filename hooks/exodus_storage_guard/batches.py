"""Cut a stream into batches (itertools.batched of Python 3.12, which Debian 12 has not)."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batches(items: Iterable[T], at_once: int) -> Iterator[list[T]]:
    """Give so many items at once, the last time fewer; nothing is read ahead of what is given."""
    waiting = iter(items)
    while batch := list(islice(waiting, at_once)):
        yield batch

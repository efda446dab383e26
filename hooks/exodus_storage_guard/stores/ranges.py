"""List a bucket by several ranges of its keys at once, in flat memory.

Together the ranges are all keys there can be. Most are prefixes: a server seeks to one, and many read all that comes
before a key that they are to start after (MinIO does).
"""

import string
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from exodus_storage_guard.model import StoredObject

_PARALLEL = 4
_BEGIN_KEYS = frozenset(string.digits + string.ascii_letters)
_AFTER_ALL = "~"  # of ASCII; what comes after it and begins as a prefix does is that prefix's


@dataclass(frozen=True, slots=True)
class Page:
    """Hold what one request listed, in the order of keys; `token` asks for the next page, None where there is none."""

    objects: Sequence[StoredObject]
    token: str | None


@dataclass(frozen=True, slots=True)
class Range:
    """Name the keys that begin with a prefix; with `after` and `until` only those between, that no other range has."""

    prefix: str
    after: str | None = None
    until: str | None = None
    is_gap: bool = False

    def holds(self, key: str) -> bool:
        """Tell whether a key that was listed for this range is of it."""
        return not self.is_gap or key[len(self.prefix) : len(self.prefix) + 1] not in _BEGIN_KEYS

    def is_past(self, key: str) -> bool:
        """Tell whether nothing of this range comes after a key."""
        return self.until is not None and key >= self.until


AskForPage = Callable[[Range, str | None], Page]
"""Ask a server for the page of a range that a token names; None for the first."""


def split(prefix: str) -> list[Range]:
    """Cut all keys of a prefix into ranges: one for each letter and digit, and what lies before, between and after."""
    ranges, after = list[Range](), None
    for group in (string.digits, string.ascii_uppercase, string.ascii_lowercase):
        ranges.append(Range(prefix, after, prefix + group[0], is_gap=True))
        ranges += [Range(prefix + first) for first in group]
        after = prefix + group[-1] + _AFTER_ALL
    return [*ranges, Range(prefix, after, is_gap=True)]


def listed(ask: AskForPage, prefix: str) -> Iterator[StoredObject]:
    """Stream the objects of a prefix, page by page where one is enough, else several ranges at once, in any order."""
    whole = ask(Range(prefix), None)
    if whole.token is None:
        yield from whole.objects
        return
    waiting = iter(split(prefix))
    at_work: dict[Future[Page], Range] = {}
    with ThreadPoolExecutor(_PARALLEL) as threads:
        while True:
            while len(at_work) < _PARALLEL and (one := next(waiting, None)) is not None:
                at_work[threads.submit(ask, one, None)] = one
            if not at_work:
                return
            done, _ = wait(at_work, return_when=FIRST_COMPLETED)
            for future in done:
                one, page = at_work.pop(future), future.result()
                if page.token is not None and not (page.objects and one.is_past(page.objects[-1].key)):
                    at_work[threads.submit(ask, one, page.token)] = one
                yield from (found for found in page.objects if one.holds(found.key) and not one.is_past(found.key))

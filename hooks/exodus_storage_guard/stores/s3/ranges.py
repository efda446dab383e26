"""List a bucket by several ranges of its keys at once, in flat memory.

One reader goes on from the first page; the other takes what is left from its far end, range by range, until they meet.
Most ranges are prefixes: for one that starts after a key MinIO goes on to the end of the bucket (docs/decisions/0013).
"""

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores.s3.paging import Position

_PARALLEL = 2
_LAST_OF_ASCII = "~"


@dataclass(frozen=True, slots=True)
class Page:
    """Hold what one request listed, in the order of keys; `token` asks for the next page, None where there is none."""

    objects: Sequence[StoredObject]
    token: str | None

    @property
    def first(self) -> str:
        """Give the least key; the empty one, which is before all others, where there is none."""
        return min((one.key for one in self.objects), default="")

    @property
    def last(self) -> str:
        """Give the greatest key, as `first`."""
        return max((one.key for one in self.objects), default="")


@dataclass(frozen=True, slots=True)
class Range:
    """Name the keys from `begin` to before `end` (None: to the last). They are asked for by `prefix` and `after`."""

    prefix: str
    after: str | None = None
    begin: str = ""
    end: str | None = None

    def holds(self, key: str) -> bool:
        """Tell whether a key is of this range; a server lists some that are not."""
        return self.begin <= key and not self.is_past(key)

    def is_past(self, key: str) -> bool:
        """Tell whether nothing of this range comes after a key."""
        return self.end is not None and key >= self.end


AskForPage = Callable[[Range, str | None], Page]
"""Ask a server for the page of a range that a token names; None for the first."""


def split(prefix: str) -> list[Range]:
    """Cut all keys of a prefix into ranges: one for each letter and digit, and what lies before, between and after."""
    ranges, begin, after = list[Range](), "", None
    for group in (string.digits, string.ascii_uppercase, string.ascii_lowercase):
        ranges.append(Range(prefix, after, begin, prefix + group[0]))
        ranges += [Range(prefix + first, None, prefix + first, _following(prefix + first)) for first in group]
        begin, after = _following(prefix + group[-1]), prefix + group[-1] + _LAST_OF_ASCII
    return [*ranges, Range(prefix, after, begin)]


def _following(prefix: str) -> str:
    """Give the first key after all that begin with a prefix: keys are in the order of their characters' numbers."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def listed(ask: AskForPage, prefix: str, where: str) -> Iterator[StoredObject]:
    """Stream the objects of a prefix, page by page where one is enough, else several ranges at once, in any order.

    Raises what `ask` raises, and `ListingStuck`, naming `where`, as soon as a range does not get on.
    """
    whole, left = Range(prefix), split(prefix)
    positions = {one: Position(where) for one in (whole, *left)}
    page = _asked(ask, whole, None, positions)
    yield from page.objects
    if page.token is None:
        return
    with ThreadPoolExecutor(_PARALLEL) as threads:
        at_work: dict[Future[Page], Range] = {threads.submit(_asked, ask, whole, page.token, positions): whole}
        while at_work:
            while whole in at_work.values() and len(at_work) < _PARALLEL and left[-1].begin > positions[whole].last:
                taken = left.pop()
                at_work[threads.submit(_asked, ask, taken, None, positions)] = taken
            done, _ = wait(at_work, return_when=FIRST_COMPLETED)
            for future in done:
                one, page = at_work.pop(future), future.result()
                mine = replace(whole, end=left[-1].end) if one is whole else one
                if page.token is not None and not mine.is_past(page.last):
                    at_work[threads.submit(_asked, ask, one, page.token, positions)] = one
                yield from (found for found in page.objects if mine.holds(found.key))


def _asked(ask: AskForPage, wanted: Range, token: str | None, positions: Mapping[Range, Position]) -> Page:
    page = ask(wanted, token)
    positions[wanted].move(page.first, page.last, page.token)
    return page

"""Go on from page to page only as long as a server gets on: one that does not would be asked for ever."""

from collections.abc import Callable, Hashable, Iterator
from typing import Protocol, TypeVar

from exodus_storage_guard.errors import StoreFailed

_MOST_EMPTY_PAGES = 1000  # in a row; Ceph sends some where many markers of deletions lie side by side
_MOST_PAGES = 10_000  # of what nobody has ten million of: unfinished uploads, their parts, versions of one key


class ListingStuck(StoreFailed):
    """Say that a server's list does not get on, or goes back: what else there is, is not known."""


class Marked(Protocol):
    """Hold what one request listed; `after` asks for the next page, None where there is none."""

    @property
    def after(self) -> Hashable | None:
        """Give the marker of the next page."""


P = TypeVar("P", bound=Marked)


def pages(where: str, ask: Callable[[P | None], P]) -> Iterator[P]:
    """Give page after page; `ask` is given the one before. Raise `ListingStuck` where a marker comes a second time."""
    seen, page = set[Hashable](), None
    while page is None or page.after is not None:
        page = ask(page)
        yield page
        if page.after in seen or len(seen) > _MOST_PAGES:
            raise ListingStuck(f"{where}: a list does not get on: the server names one place in it again and again")
        seen.add(page.after)


class Position:
    """Follow a listing of objects, which may be too long to remember: each page has to come after the one before."""

    def __init__(self, where: str) -> None:
        """Say what is listed; `last` is the last key so far."""
        self._where, self.last = where, ""
        self._token: str | None = None
        self._empty = 0

    def move(self, first: str, last: str, token: str | None) -> None:
        """Take note of a page, whose keys may be none; raise `ListingStuck` where it leads nowhere."""
        self._empty = 0 if last else self._empty + 1
        if last and first < self.last:
            raise ListingStuck(f"{self._where}: its listing goes back: the server does not give keys in their order")
        is_old = bool(last) and last == self.last
        if token is not None and (token == self._token or is_old or self._empty > _MOST_EMPTY_PAGES):
            raise ListingStuck(
                f"{self._where}: its listing does not get on: the server names one place in it again and again"
            )
        self.last, self._token = last or self.last, token

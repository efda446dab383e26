"""See which of many objects a bucket has, and how they look: a listing shows a thousand at once, where they lie close.

A listing is believed of names without a slash alone: once there is an object `a`, MinIO lists nothing below `a/` any
more, though it is all there.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from os.path import commonprefix
from typing import TypeVar

from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores.contract import Moved
from exodus_storage_guard.stores.s3.ranges import AskForPage, Page, Range

T = TypeVar("T")
_WORTH_A_PAGE = 64  # so many single questions take server and client as long as one page (docs/decisions/0018)
_PARALLEL = 4


def described(
    names: Sequence[str], ask: AskForPage, look: Callable[[str], StoredObject | T | None], moved: Moved
) -> dict[str, StoredObject | T]:
    """Describe those of the names that a bucket has: by pages as long as these settle enough of them, then one by one.

    `moved` is told after each answer. Raises what `look` raises; a page that cannot be had is done without.
    """
    below = [name for name in names if _is_below(name)]
    left, found, token = sorted({*names} - {*below}), dict[str, StoredObject | T](), None
    prefix = commonprefix(left)  # noqa: RUF071 - keys are no paths, and a listing takes any beginning of one
    while len(left) >= _WORTH_A_PAGE:
        try:
            page = ask(Range(prefix), token)
        except StoreFailed:
            break
        moved(0)
        settled = _settled(page, left)
        wanted = frozenset(left[:settled])
        found |= {one.key: one for one in page.objects if one.key in wanted}
        left, token = left[settled:], page.token
        if settled < _WORTH_A_PAGE:
            break
    return found | _asked([*left, *below], look, moved)


def present(names: Sequence[str], ask: AskForPage, is_there: Callable[[str], bool], moved: Moved) -> Collection[str]:
    """Give those of the names that a bucket has, as `described` finds them."""
    return described(names, ask, lambda name: is_there(name) or None, moved).keys()


def _settled(page: Page, names: Sequence[str]) -> int:
    """Count the names, in order, that are on a page if they are anywhere; none where its keys are in no order."""
    keys = [one.key for one in page.objects if not _is_below(one.key)]
    if keys != sorted(keys):
        return 0
    if page.token is None:
        return len(names)
    return bisect_right(names, keys[-1]) if keys else 0


def _is_below(name: str) -> bool:
    return "/" in name


def _asked(names: Sequence[str], look: Callable[[str], T | None], moved: Moved) -> dict[str, T]:
    def asked(name: str) -> T | None:
        found = look(name)
        moved(0)
        return found

    with ThreadPoolExecutor(_PARALLEL) as threads:
        answers = zip(names, threads.map(asked, names), strict=True)
        return {name: found for name, found in answers if found is not None}

"""See which of many objects a bucket has: a listing shows a thousand at once, where they lie close together.

A listing is believed of names without a slash alone: once there is an object `a`, MinIO lists nothing below `a/` any
more, though it is all there.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from os.path import commonprefix

from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.stores.contract import Moved
from exodus_storage_guard.stores.s3.ranges import AskForPage, Page, Range

_WORTH_A_PAGE = 64  # so many single questions take server and client as long as one page (docs/decisions/0018)
_PARALLEL = 4


def present(names: Sequence[str], ask: AskForPage, is_there: Callable[[str], bool], moved: Moved) -> Collection[str]:
    """Give those of the names that a bucket has: by pages as long as these settle enough of them, then one by one.

    `moved` is told after each answer. Raises what `is_there` raises; a page that cannot be had is done without.
    """
    below = [name for name in names if _is_below(name)]
    left, found, token = sorted({*names} - {*below}), set[str](), None
    prefix = commonprefix(left)  # noqa: RUF071 - keys are no paths, and a listing takes any beginning of one
    while len(left) >= _WORTH_A_PAGE:
        try:
            page = ask(Range(prefix), token)
        except StoreFailed:
            break
        moved(0)
        settled = _settled(page, left)
        found |= {one.key for one in page.objects}.intersection(left[:settled])
        left, token = left[settled:], page.token
        if settled < _WORTH_A_PAGE:
            break
    return found | _asked([*left, *below], is_there, moved)


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


def _asked(names: Sequence[str], is_there: Callable[[str], bool], moved: Moved) -> set[str]:
    def asked(name: str) -> bool:
        there = is_there(name)
        moved(0)
        return there

    with ThreadPoolExecutor(_PARALLEL) as threads:
        return {name for name, there in zip(names, threads.map(asked, names), strict=True) if there}

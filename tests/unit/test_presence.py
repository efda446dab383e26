"""Which of many names a bucket has: pages where they lie close together, single questions where they do not."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores.contract import nobody
from exodus_storage_guard.stores.s3 import presence
from exodus_storage_guard.stores.s3.presence import present
from exodus_storage_guard.stores.s3.ranges import Page, Range

KEYS = st.text(st.sampled_from("0a./é\U0010ffff"), min_size=1, max_size=3)
AT = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Server:
    """List keys as S3 does, so many at a time, and tell of each whether it is there."""

    keys: Collection[str]
    at_once: int = 1000
    pages: int = 0
    single: list[str] = field(default_factory=list)

    def page(self, wanted: Range, token: str | None) -> Page:
        self.pages += 1
        found = [key for key in self.in_order() if key.startswith(wanted.prefix)]
        begin = int(token or 0)
        end = begin + self.at_once
        return Page(self.listed(found[begin:end]), str(end) if len(found) > end else None)

    def in_order(self) -> list[str]:
        return sorted(self.keys)

    def listed(self, keys: Sequence[str]) -> Sequence[StoredObject]:
        return [StoredObject(key, 1, "e", AT) for key in keys]

    def has(self, key: str) -> bool:
        self.single.append(key)
        return key in self.keys

    def present(self, names: Sequence[str]) -> set[str]:
        return set(present(names, self.page, self.has, nobody))


class Folders(Server):
    """List as a walk through folders, and nothing below what is an object itself."""

    def in_order(self) -> list[str]:
        shown = [key for key in self.keys if not any(key.startswith(f"{other}/") for other in self.keys)]
        return sorted(shown, key=lambda key: key.split("/"))


@given(st.sampled_from([Server, Folders]), st.sets(KEYS), st.sets(KEYS), st.integers(1, 4), st.integers(1, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exactly_those_that_are_there_are_given(
    monkeypatch: pytest.MonkeyPatch, kind: type[Server], keys: set[str], names: set[str], at_once: int, worth: int
) -> None:
    monkeypatch.setattr(presence, "_WORTH_A_PAGE", worth)

    assert kind(keys, at_once).present(list(names)) == keys & names


def numbered(*numbers: int) -> list[str]:
    return [f"{number:05}.apk" for number in numbers]


def test_names_that_lie_close_together_are_seen_in_pages_alone() -> None:
    server = Server(numbered(*range(1, 3000, 2)))

    assert server.present(numbered(*range(1000))) == set(numbered(*range(1, 1000, 2)))
    assert (server.pages, server.single) == (1, [])


def test_names_that_lie_far_apart_are_asked_for_one_by_one_after_one_page() -> None:
    server = Server(numbered(*range(1, 99_000)))
    names = numbered(*range(0, 99_000, 990))

    assert server.present(names) == set(names) - {"00000.apk"}
    assert server.pages == 1
    assert sorted(server.single) == names[2:]


def test_a_few_names_cost_no_page() -> None:
    server = Server(numbered(*range(10)))

    assert server.present(numbered(*range(5, 15))) == set(numbered(*range(5, 10)))
    assert (server.pages, len(server.single)) == (0, 10)


def test_a_server_that_lists_in_no_order_is_asked_one_by_one() -> None:
    class Unordered(Server):
        def listed(self, keys: Sequence[str]) -> Sequence[StoredObject]:
            return super().listed(keys)[::-1]

    server = Unordered(numbered(*range(0, 200, 2)))

    assert server.present(numbered(*range(100))) == set(numbered(*range(0, 100, 2)))
    assert len(server.single) == 100


def test_a_server_that_refuses_to_list_is_asked_one_by_one() -> None:
    class Refusing(Server):
        def page(self, wanted: Range, token: str | None) -> Page:
            raise StoreFailed("access denied")

    server = Refusing(numbered(*range(0, 200, 2)))

    assert server.present(numbered(*range(100))) == set(numbered(*range(0, 100, 2)))


def test_a_server_that_cannot_be_asked_is_an_error() -> None:
    class Gone(Server):
        def has(self, key: str) -> bool:
            raise StoreFailed("connection refused")

    with pytest.raises(StoreFailed, match="connection refused"):
        Gone([]).present(numbered(1, 2))


def test_whoever_watches_is_told_of_each_answer() -> None:
    told = list[int]()
    server = Server(numbered(*range(2000)))

    present(numbered(*range(0, 2000, 10), 5000), server.page, server.has, told.append)

    assert len(told) == server.pages + len(server.single) > 1

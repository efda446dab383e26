"""How a bucket is listed: ranges of keys that leave out none and give none twice, and what a server's page says."""

from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree.ElementTree import ParseError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores.s3.paging import ListingStuck, Position, pages
from exodus_storage_guard.stores.s3.ranges import Page, Range, listed, split
from exodus_storage_guard.stores.s3.responses import Unfinished, UnfinishedPage, page_of, unfinished_of

KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=4)
NEAR = st.text(st.sampled_from("09AZaz:@[`{~/9z\U0010ffffé"), min_size=1, max_size=4)
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Server:
    """List keys as S3 does: what begins with a prefix and comes after a key, three at a time."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys, self.asked = sorted(set(keys)), list[Range]()

    def ask(self, wanted: Range, token: str | None) -> Page:
        self.asked.append(wanted)
        after = token or wanted.after or ""
        found = [key for key in self.keys if key.startswith(wanted.prefix) and key > after]
        objects = [StoredObject(key, 1, "e", AT) for key in found[:3]]
        return Page(objects, found[2] if len(found) > 3 else None)


@given(st.lists(KEYS | NEAR, max_size=60), st.sampled_from(["", "p/", "zz", "~"]))
def test_every_key_is_listed_once(keys: list[str], prefix: str) -> None:
    whole = [prefix + key for key in keys] + keys

    found = [one.key for one in listed(Server(whole).ask, prefix, "the bucket")]

    assert sorted(found) == sorted({key for key in whole if key.startswith(prefix)})


@given(KEYS | NEAR)
def test_of_a_split_exactly_one_range_has_a_key_and_the_server_lists_it_for_that(key: str) -> None:
    (having,) = [one for one in split("") if one.holds(key)]

    assert key.startswith(having.prefix)
    assert key > (having.after or "")


@given(KEYS | NEAR)
def test_nothing_lies_between_two_ranges_of_a_split(key: str) -> None:
    ranges = split(key)

    assert [one.end for one in ranges[:-1]] == [one.begin for one in ranges[1:]]
    assert (ranges[0].begin, ranges[-1].end) == ("", None)


def test_what_fits_on_one_page_is_asked_for_once() -> None:
    server = Server(["a", "b", "c"])

    assert [one.key for one in listed(server.ask, "", "the bucket")] == ["a", "b", "c"]
    assert len(server.asked) == 1


def test_a_gap_is_not_read_beyond_its_end() -> None:
    server = Server([*(f"0{number:03}" for number in range(900)), *(f"b{number:03}" for number in range(9))])

    assert len(list(listed(server.ask, "", "the bucket"))) == 909
    between = [one for one in server.asked if one.after == "Z~"]
    assert len(between) == 1


def test_readers_that_meet_read_nothing_twice() -> None:
    server = Server([f"{letter}{number:03}" for letter in "abcdefghijklmnopqrstuvwxyz" for number in range(30)])

    assert len(list(listed(server.ask, "", "the bucket"))) == 26 * 30
    of_letters = [one for one in server.asked if one.prefix]
    assert {one.prefix for one in of_letters} >= {"z", "y"}
    assert "a" not in {one.prefix for one in of_letters}  # where the first reader is
    assert len(server.asked) <= 26 * 10 + 26 + 3


def test_an_error_of_one_range_is_the_listings() -> None:
    def failing(wanted: Range, token: str | None) -> Page:
        if wanted.prefix == "q":
            raise ConnectionError("gone")
        return Page([], None if wanted.prefix or wanted.after else f"{token}more")

    with pytest.raises(ConnectionError, match="gone"):
        list(listed(failing, "", "the bucket"))


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        ("does not get on", [("a", "t"), ("b", "t"), ("c", "t")]),
        ("does not get on", [("b", "1"), ("b", "2"), ("b", "3")]),
        ("goes back", [("b", "1"), ("c", "2"), ("a", "3")]),
        ("goes back", [("a c", "1"), ("b d", None)]),
    ],
    ids=["same-token", "same-key", "back", "back-at-the-end"],
)
def test_a_listing_that_does_not_get_on_ends_with_an_error(said: str, answers: list[tuple[str, str | None]]) -> None:
    pages_left = iter(answers)

    def ask(wanted: Range, token: str | None) -> Page:
        if wanted.prefix or wanted.after:
            return Page([], None)
        keys, following = next(pages_left)
        return Page([StoredObject(key, 1, "e", AT) for key in keys.split()], following)

    with pytest.raises(ListingStuck, match=f"the bucket: its listing {said}"):
        list(listed(ask, "", "the bucket"))


def test_an_empty_page_may_go_on_but_not_for_ever() -> None:
    asked = list[str | None]()

    def ask(wanted: Range, token: str | None) -> Page:
        asked.append(token)
        return Page([], None if (wanted.prefix or wanted.after) else f"{len(asked)}")

    position = Position("the bucket")
    position.move("a", "a", "1")
    position.move("", "", "2")
    position.move("b", "c", None)
    with pytest.raises(ListingStuck):
        list(listed(ask, "", "the bucket"))
    assert len(asked) < 1100


@pytest.mark.parametrize("markers", [["a", "a"], ["a", "b", "a"]])
def test_a_list_whose_marker_comes_again_ends_with_an_error(markers: list[str]) -> None:
    left = iter(markers)

    with pytest.raises(ListingStuck, match="the bucket: a list does not get on"):
        list(pages("the bucket", lambda _: UnfinishedPage([], (next(left), ""))))
    assert next(left, None) is None


def test_a_list_is_asked_for_until_no_marker_comes() -> None:
    left = iter([("a", ""), ("b", ""), None])

    found = list(pages("the bucket", lambda _: UnfinishedPage([], next(left))))

    assert [page.after for page in found] == [("a", ""), ("b", ""), None]


PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult{space}><Name>b</Name>{encoding}<IsTruncated>{cut}</IsTruncated>{token}
<Contents><Key>a+b%2Fc.apk</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&#34;e-2&#34;</ETag>
<Size>7</Size><Owner><ID>x</ID></Owner></Contents>
<Contents><Key>folder/</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified><Size>0</Size></Contents>
</ListBucketResult>"""
NEXT = "<NextContinuationToken>t</NextContinuationToken>"
SPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
URL = "<EncodingType>url</EncodingType>"


@pytest.mark.parametrize("space", ["", SPACE])
@pytest.mark.parametrize(("encoding", "key"), [("", "a+b%2Fc.apk"), (URL, "a b/c.apk")])
def test_a_page_says_what_is_there_and_how_it_goes_on(space: str, encoding: str, key: str) -> None:
    content = PAGE.format(space=space, encoding=encoding, cut="true", token=NEXT).encode()

    assert page_of(content) == Page([StoredObject(key, 7, "e-2", AT)], "t")


def test_a_time_without_a_zone_is_of_utc() -> None:
    content = PAGE.format(space="", encoding="", cut="false", token="").replace("678Z", "678").encode()

    assert page_of(content).objects[0].last_modified == AT


def test_the_last_page_has_no_next_one() -> None:
    assert page_of(PAGE.format(space="", encoding="", cut="false", token=NEXT).encode()).token is None


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"no XML", ParseError, "syntax error"),
        (b"<html></html>", ValueError, "<html> came"),
        (PAGE.format(space="", encoding="", cut="true", token="").encode(), ValueError, "how it goes on"),
        (b"<ListBucketResult><Contents><Size>7</Size></Contents></ListBucketResult>", ValueError, "without a key"),
        (
            b"<ListBucketResult><Contents><Key>k</Key><LastModified>x</LastModified></Contents></ListBucketResult>",
            ValueError,
            "Invalid isoformat",
        ),
        (
            PAGE.format(space="", encoding="", cut="false", token="").replace("7</Size>", "-7</Size>").encode(),
            ValueError,
            "is no size",
        ),
    ],
)
def test_what_is_no_page_is_an_error(content: bytes, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        page_of(content)


UPLOADS = """<ListMultipartUploadsResult><EncodingType>url</EncodingType>{goes_on}
<Upload><Key>a+b.apk</Key><UploadId>u</UploadId><Initiated>2026-01-02T03:04:05.678Z</Initiated></Upload>
</ListMultipartUploadsResult>"""
GOES_ON = "<IsTruncated>true</IsTruncated><NextKeyMarker>a+b</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>"


@pytest.mark.parametrize(("goes_on", "after"), [("", None), (GOES_ON, ("a b", "u"))])
def test_a_page_of_unfinished_uploads_says_what_they_are_and_how_it_goes_on(
    goes_on: str, after: tuple[str, str] | None
) -> None:
    found = unfinished_of(UPLOADS.format(goes_on=goes_on).encode())

    assert found == UnfinishedPage([Unfinished("a b.apk", "u", AT.replace(microsecond=678000))], after)

"""A batch of deletions names each object as it is, and one that spoils it stops no other."""

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_common.errors import ExodusError
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.stores.s3.deletions import Named, carries, deleted
from exodus_storage_guard.stores.s3.errors import RequestRefused


class Bucket:
    """Take deletions, but a batch that has `refused` in it only as a whole."""

    def __init__(self, refused: str = "") -> None:
        self.refused, self.batches, self.gone = refused, 0, list[str]()

    def remove_many(self, names: Sequence[Named]) -> Mapping[str, ExodusError]:
        self.batches += 1
        if self.refused in [name for name, _ in names]:
            raise RequestRefused("MalformedXML")
        self.gone += [name for name, _ in names]
        return {}

    def remove(self, name: str, version: str | None) -> None:
        if name == self.refused:
            raise StoreFailed("AccessDenied")
        self.gone.append(name)


def _deleted(bucket: Bucket, names: Sequence[str]) -> Mapping[str, ExodusError]:
    return deleted([(name, None) for name in names], bucket.remove_many, bucket.remove)


def test_what_is_plain_goes_in_one_request() -> None:
    bucket, names = Bucket(), [f"{number}.apk" for number in range(32)]

    assert _deleted(bucket, names) == {}
    assert (bucket.batches, bucket.gone) == (1, names)


def test_the_one_that_a_batch_is_refused_for_is_named_and_the_others_go() -> None:
    bucket, names = Bucket("7.apk"), [f"{number}.apk" for number in range(32)]

    failed = _deleted(bucket, names)

    assert list(failed) == ["7.apk"]
    assert isinstance(failed["7.apk"], RequestRefused)
    assert sorted(bucket.gone) == sorted({*names} - {"7.apk"})
    assert bucket.batches <= 1 + 2 * 5


def test_a_batch_of_which_nobody_knows_what_became_is_not_sent_again() -> None:
    bucket = Bucket()

    def unanswered(names: Sequence[Named]) -> Mapping[str, ExodusError]:
        bucket.batches += 1
        raise StoreFailed("reset")

    with pytest.raises(StoreFailed):
        deleted([("a", None), ("b", None)], unanswered, bucket.remove)
    assert bucket.batches == 1


def test_a_key_that_xml_changes_goes_by_itself_and_holds_up_no_other() -> None:
    bucket = Bucket("\x01")

    assert list(_deleted(bucket, ["\x01", "a\r", "a"])) == ["\x01"]
    assert (bucket.batches, bucket.gone) == (1, ["a\r", "a"])


@given(st.text(min_size=1, max_size=8))
def test_what_a_batch_carries_is_read_as_it_was_written(name: str) -> None:
    if not carries(name):
        return
    element = ElementTree.Element("Key")
    element.text = name
    for encoding in ("us-ascii", "utf-8"):
        read = ElementTree.fromstring(ElementTree.tostring(element, encoding))  # noqa: S314 - written here
        assert read.text == name


@pytest.mark.parametrize("name", ["a\r", "a\n", "\x01", "\x85", "\u2028", "\ufffe", "\uffff", "\ud800", " a", "a "])
def test_what_some_reader_of_xml_reads_otherwise_is_no_part_of_a_batch(name: str) -> None:
    assert not carries(name)


@pytest.mark.parametrize("name", ["a.apk", "a b+%20&<]]>.apk", "é", "e\u0301", "\U0001f600"])
def test_what_every_reader_reads_alike_is(name: str) -> None:
    assert carries(name)

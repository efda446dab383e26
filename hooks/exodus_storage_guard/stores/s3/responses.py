"""Read what an S3 server answers when it is asked for lists.

The SDK takes six times as long for each object of a listing, and loses where a list of unfinished uploads goes on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores.s3.headers import size_bytes
from exodus_storage_guard.stores.s3.ranges import Page


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Name an upload in parts that somebody began and has not finished."""

    name: str
    upload: str
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class UnfinishedPage:
    """Hold what one request listed of unfinished uploads; `after` asks for the next ones, None where there are none."""

    uploads: Sequence[Unfinished]
    after: tuple[str, str] | None


class _Answer:
    """Read the fields of an answer, whatever its namespace; raise `ParseError` or `ValueError` where it is none."""

    def __init__(self, content: bytes, expected: str) -> None:
        try:
            self.root = ElementTree.fromstring(content)  # noqa: S314 - expat bounds what entities grow to since 2.4.1 (Debian 12: 2.5)
        except LookupError as error:  # of an encoding
            raise ValueError(str(error)) from error
        space, _, name = self.root.tag.rpartition("}")
        self.space = f"{space}}}" if space else ""
        if name != expected:
            raise ValueError(f"<{expected}> was asked for, and <{name:.40}> came")
        self.decoded: Callable[[str], str] = unquote_plus if self.text("EncodingType") == "url" else str

    @property
    def goes_on(self) -> bool:
        return self.text("IsTruncated").lower() == "true"

    def after(self, second: str) -> tuple[str, str] | None:
        """Give the two markers of the next page, the first of which is a key; None where there is none."""
        return (self.decoded(self.text("NextKeyMarker")), self.text(second)) if self.goes_on else None

    def text(self, name: str) -> str:
        return self.root.findtext(self.space + name) or ""

    def each(self, element: str, *fields: str) -> Iterator[tuple[str, ...]]:
        """Give the fields of each element; one that is not there is empty."""
        tags = [self.space + field for field in fields]
        for found in self.root.iter(self.space + element):
            yield tuple(found.findtext(tag) or "" for tag in tags)


@dataclass(frozen=True, slots=True)
class PartsPage:
    """Hold how many bytes one request listed of an unfinished upload's parts; `after` as in `UnfinishedPage`."""

    bytes: int
    after: str | None


@dataclass(frozen=True, slots=True)
class VersionsPage:
    """Hold the keys of the versions that one request listed; `after` as in `UnfinishedPage`."""

    keys: Sequence[str]
    after: tuple[str, str] | None


def page_of(content: bytes) -> Page:
    """Give the objects that ListObjectsV2 lists, with the whole second of their times, as headers have no more.

    Markers of folders are none.
    """
    answer = _Answer(content, "ListBucketResult")
    objects = []
    for key, size, etag, modified in answer.each("Contents", "Key", "Size", "ETag", "LastModified"):
        if not key or not modified:
            raise ValueError("a listing has an object without a key, or without its time")
        if not key.endswith("/"):
            at = _instant(modified).replace(microsecond=0)
            objects.append(StoredObject(answer.decoded(key), size_bytes(size or "0"), etag.strip('"'), at))
    token = answer.text("NextContinuationToken") if answer.goes_on else None
    if token == "":
        raise ValueError("a listing is cut, and does not say how it goes on")
    return Page(objects, token)


def unfinished_of(content: bytes) -> UnfinishedPage:
    """Give the uploads that ListMultipartUploads lists."""
    answer = _Answer(content, "ListMultipartUploadsResult")
    uploads = [
        Unfinished(answer.decoded(key), upload, _instant(begun))
        for key, upload, begun in answer.each("Upload", "Key", "UploadId", "Initiated")
    ]
    return UnfinishedPage(uploads, answer.after("NextUploadIdMarker"))


def versions_of(content: bytes) -> VersionsPage:
    """Give the versions that ListObjectVersions lists; markers of a deletion are none."""
    answer = _Answer(content, "ListVersionsResult")
    keys = [answer.decoded(key) for (key,) in answer.each("Version", "Key")]
    return VersionsPage(keys, answer.after("NextVersionIdMarker"))


def parts_of(content: bytes) -> PartsPage:
    """Add up the parts that ListParts lists."""
    answer = _Answer(content, "ListPartsResult")
    size = sum(size_bytes(size or "0") for (size,) in answer.each("Part", "Size"))
    return PartsPage(size, answer.text("NextPartNumberMarker") if answer.goes_on else None)


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)

"""Read what an S3 server answers when it is asked for lists.

The SDK takes six times as long for each object of a listing, and loses where a list of unfinished uploads goes on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from exodus_storage_guard.model import StoredObject
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
        self.root = ElementTree.fromstring(content)  # noqa: S314 - expat bounds what entities grow to since 2.4.1 (Debian 12: 2.5)
        space, _, name = self.root.tag.rpartition("}")
        self.space = f"{space}}}" if space else ""
        if name != expected:
            raise ValueError(f"<{expected}> was asked for, and <{name:.40}> came")
        self.decoded: Callable[[str], str] = unquote_plus if self.text("EncodingType") == "url" else str

    def text(self, name: str) -> str:
        return self.root.findtext(self.space + name) or ""

    def each(self, element: str, *fields: str) -> Iterator[tuple[str, ...]]:
        """Give the fields of each element; one that is not there is empty."""
        tags = [self.space + field for field in fields]
        for found in self.root.iter(self.space + element):
            yield tuple(found.findtext(tag) or "" for tag in tags)


def page_of(content: bytes) -> Page:
    """Give the objects that ListObjectsV2 lists. Markers of folders are none."""
    answer = _Answer(content, "ListBucketResult")
    objects = []
    for key, size, etag, modified in answer.each("Contents", "Key", "Size", "ETag", "LastModified"):
        if not key or not modified:
            raise ValueError("a listing has an object without a key, or without its time")
        if not key.endswith("/"):
            at = datetime.fromisoformat(modified)
            objects.append(StoredObject(answer.decoded(key), int(size or 0), etag.strip('"'), at))
    token = answer.text("NextContinuationToken") if answer.text("IsTruncated") == "true" else None
    if token == "":
        raise ValueError("a listing is cut, and does not say how it goes on")
    return Page(objects, token)


def unfinished_of(content: bytes) -> UnfinishedPage:
    """Give the uploads that ListMultipartUploads lists."""
    answer = _Answer(content, "ListMultipartUploadsResult")
    uploads = [
        Unfinished(answer.decoded(key), upload, datetime.fromisoformat(begun))
        for key, upload, begun in answer.each("Upload", "Key", "UploadId", "Initiated")
    ]
    goes_on = answer.text("IsTruncated") == "true"
    after = answer.decoded(answer.text("NextKeyMarker")), answer.text("NextUploadIdMarker")
    return UnfinishedPage(uploads, after if goes_on else None)

"""Read what an S3 server says of an object in the headers of an answer; what it leaves out is not made up."""

from collections.abc import Mapping
from datetime import UTC, datetime

from exodus_storage_guard.model import StoredObject

_META = "x-amz-meta-"
_SYSTEM = ("cache-control", "content-disposition", "content-encoding", "content-language")
_DATE = "%a, %d %b %Y %H:%M:%S GMT"


def described(name: str, headers: Mapping[str, str]) -> StoredObject:
    """Describe an object by headers in lower case; raise `ValueError` where they do not say its size and time.

    Without an ETag its own is empty.
    """
    metadata = {key.removeprefix(_META): value for key, value in headers.items() if key.startswith(_META)}
    metadata |= {key: headers[key] for key in _SYSTEM if key in headers}
    size = size_bytes(_said(headers, "content-length"))
    modified_at = datetime.strptime(_said(headers, "last-modified"), _DATE).replace(tzinfo=UTC)
    etag, kind = headers.get("etag", "").strip('"'), headers.get("content-type", "")
    return StoredObject(name, size, etag, modified_at, kind, metadata)


def _said(headers: Mapping[str, str], name: str) -> str:
    if name not in headers:
        raise ValueError(f"it says no {name.title()} of an object")
    return headers[name]


def size_bytes(text: str) -> int:
    """Read a size; raise `ValueError` for whatever is not one, such as what is below zero."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text[:40]!r} is no size of an object")
    return int(text)

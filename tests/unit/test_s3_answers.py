"""Whatever an S3 server answers: it is read as what it is, or refused with a sentence, and never kept whole."""

import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.instants import datetime_of, instant
from exodus_storage_guard.model import MOST_BYTES, StoredObject
from exodus_storage_guard.stores.s3.bucket import BucketDoor, Found
from exodus_storage_guard.stores.s3.pool import Access, Pool
from exodus_storage_guard.stores.s3.ranges import Page, Range
from exodus_storage_guard.stores.s3.responses import Unfinished

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MIB = 1024 * 1024
STORED = StoredObject("key", 7, "e", AT)
HEADERS = {
    "Content-Length": "7",
    "Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT",
    "ETag": '"e"',
    "Content-Type": "application/xml",
    "Date": "Fri, 02 Jan 2026 03:04:05 GMT",
}
ROOTS = ["ListBucketResult", "ListMultipartUploadsResult", "ListVersionsResult", "ListPartsResult", "DeleteResult"]
ROOTS += [
    "InitiateMultipartUploadResult",
    "CompleteMultipartUploadResult",
    "CopyObjectResult",
    "LocationConstraint",
    "Error",
]
FIELDS = [
    "Contents",
    "Version",
    "Upload",
    "Part",
    "Deleted",
    "Error",
    "Key",
    "Size",
    "ETag",
    "LastModified",
    "Initiated",
]
FIELDS += ["UploadId", "Code", "Message", "IsTruncated", "NextContinuationToken", "NextKeyMarker", "NextUploadIdMarker"]
FIELDS += ["NextPartNumberMarker", "EncodingType", "VersionId", "DeleteMarker", "Region"]
TEXTS = ["", "key", "%00", "%ff", "url", "true", "-1", "7", "9" * 30, "9" * 5000, "nan", "NoSuchKey", "AccessDenied"]
TEXTS += [
    "2026-01-02T03:04:05Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-W01",
    "&#13;",
    "&lol;",
]


def element(name: str, inner: str) -> str:
    return f"<{name}>{inner}</{name}>"


XML = st.builds(
    lambda start, root, inner: f"{start}<{root}>{inner}</{root}>".encode(),
    st.sampled_from(["", '<?xml version="1.0" encoding="nonsense"?>', '<?xml version="1.0" encoding="utf-16"?>']),
    st.sampled_from(ROOTS),
    st.lists(
        st.recursive(
            st.builds(element, st.sampled_from(FIELDS), st.sampled_from(TEXTS)),
            lambda inner: st.builds(element, st.sampled_from(FIELDS), st.lists(inner, max_size=4).map("".join)),
            max_leaves=6,
        ),
        max_size=5,
    ).map("".join),
)
BODIES = st.binary(max_size=40) | XML
ODD = st.sampled_from(
    ["", "-1", "9" * 30, "x", "application/xml", "Mon, 99 Foo 99999", "Fri, 02 Jan 0001 00:00:00 -2359"]
)
ALTERED = st.dictionaries(
    st.sampled_from([*HEADERS, "x-amz-meta-mode", "x-amz-bucket-region"]), ODD | st.none(), max_size=3
)
STATUSES = st.sampled_from([200, 200, 200, 204, 206, 301, 304, 307, 400, 403, 404, 405, 409, 412, 500, 501, 503, 507])


class Host:
    """Be a server that answers everything alike."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes | Iterator[bytes]) -> None:
        self.status, self.headers, self.body, self.taken = status, headers, body, 0

    def urlopen(self, method: str, *_: object, retries: urllib3.Retry, **__: object) -> urllib3.HTTPResponse:
        body: Any = io.BytesIO(self.body) if isinstance(self.body, bytes) else self
        if method == "HEAD":
            body = io.BytesIO()
        return urllib3.HTTPResponse(body, self.headers, self.status, preload_content=False, retries=retries)

    def read(self, size: int = -1) -> bytes:
        assert not isinstance(self.body, bytes)
        found = next(self.body, b"")
        self.taken += len(found)
        return found


@contextmanager
def answering(host: Host, region: str | None = "us-east-1") -> Iterator[BucketDoor]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Pool, "connection_from_url", lambda *_: host)
        patched.setattr(urllib3.Retry, "sleep", lambda *_: None)
        yield BucketDoor(Access("http://s3.example", "key", "secret", region), "bucket")


def gotten(door: BucketDoor) -> object:
    with door.get("key") as (stored, chunks):
        return stored, b"".join(chunks)


def put(door: BucketDoor, size: int) -> object:
    wanted = StoredObject("key", size, "", AT)
    return door.put(wanted, io.BytesIO(bytes(size)), part_bytes=5 * MIB, only_new=True)


UNFINISHED = Unfinished("key", "id", AT)
ASKED: dict[str, Callable[[BucketDoor], object]] = {
    "page": lambda door: door.page(Range(""), None),
    "versions": lambda door: door.versions("key"),
    "head": lambda door: door.head("key"),
    "get": gotten,
    "put": lambda door: put(door, 7),
    "put-in-parts": lambda door: put(door, 5 * MIB + 1),
    "take": lambda door: door.take(door, Found(STORED, None), "other"),
    "remove": lambda door: door.remove("key", "version"),
    "remove_many": lambda door: door.remove_many([("key", None), ("other", "version")]),
    "unfinished": lambda door: list(itertools.islice(door.unfinished(), 5)),
    "upload_bytes": lambda door: door.upload_bytes(UNFINISHED),
    "abort": lambda door: door.abort(UNFINISHED),
    "now": lambda door: door.now(),
}


def objects_in(found: object) -> Iterator[StoredObject]:
    if isinstance(found, StoredObject):
        yield found
    elif isinstance(found, Page):
        yield from found.objects
    elif isinstance(found, Found):
        yield found.stored
    elif isinstance(found, tuple):
        yield from objects_in(found[0])


@pytest.mark.parametrize("name", ASKED)
@given(status=STATUSES, altered=ALTERED, body=BODIES, region=st.sampled_from(["us-east-1", None]))
def test_any_answer_is_read_or_refused_with_a_sentence(
    name: str, status: int, altered: dict[str, str | None], body: bytes, region: str | None
) -> None:
    headers = {key: value for key, value in (HEADERS | altered).items() if value is not None}
    found, problem = None, "s3://bucket at http://s3.example"
    with answering(Host(status, headers, body), region) as door:
        try:
            found = ASKED[name](door)
        except ExodusError as error:
            problem = str(error)
    assert problem.startswith("s3://bucket at http://s3.example")
    assert problem == printable(problem)
    assert len(problem) < 1000
    for one in objects_in(found):
        assert 0 <= one.bytes <= MOST_BYTES
        assert datetime_of(instant(one.last_modified)) == one.last_modified


BEGIN_WITH_A_HEAD = {"head", "now", "take"}


@pytest.mark.parametrize("status", [200, 403, 503])
@pytest.mark.parametrize("name", [name for name in ASKED if name not in {"get", *BEGIN_WITH_A_HEAD}])
def test_an_answer_without_an_end_is_not_kept(name: str, status: int) -> None:
    host = Host(status, {"Content-Type": "application/xml"}, itertools.repeat(b"<" * 32 * 1024))

    with answering(host) as door, pytest.raises(StoreFailed, match="more than 16777216 bytes"):
        ASKED[name](door)

    assert host.taken < 50 * MIB


OTHER_REGION = b"""<Error><Code>AuthorizationHeaderMalformed</Code><Message>Authorization header malformed, unexpected
scope: '20260102/us-east-1/s3/aws4_request', expected: '20260102/garage/s3/aws4_request'</Message></Error>"""


@pytest.mark.parametrize("name", ASKED)
def test_a_wrong_region_is_told_with_the_right_one_whatever_is_asked_first(name: str) -> None:
    host = Host(400, {"Content-Type": "application/xml"}, OTHER_REGION)

    with answering(host) as door, pytest.raises(StoreFailed, match='set region = "garage"'):
        ASKED[name](door)


def test_an_answer_as_large_as_any_is_read() -> None:
    one = (
        f"<Contents><Key>{'%25' * 1024}</Key><Size>7</Size><LastModified>2026-01-02T03:04:05Z</LastModified></Contents>"
    )
    whole = f"<ListBucketResult><EncodingType>url</EncodingType>{one * 1000}</ListBucketResult>".encode()

    with answering(Host(200, {}, whole)) as door:
        page = door.page(Range(""), None)

    assert len(page.objects) == 1000
    assert page.first == "%" * 1024

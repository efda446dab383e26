"""What a server says is turned into what it means, and what it leaves out is not made up."""

from datetime import UTC, datetime

import pytest

from exodus_storage_guard.errors import NotFreeable, ObjectMissing, StoreFailed, StoreFull
from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores.s3.errors import RequestRefused, meaning
from exodus_storage_guard.stores.s3.headers import described

FULL_DISK = "We encountered an internal error, please try again.: cause(no space left on device)"


@pytest.mark.parametrize(
    ("code", "message", "status", "kind"),
    [
        ("XMinioStorageFull", "", 507, StoreFull),
        ("SomethingElse", "", 507, StoreFull),
        ("InternalError", FULL_DISK, 500, StoreFull),
        ("InternalError", "We encountered an internal error, please try again.", 500, StoreFailed),
        ("InternalError", "Internal error: No space left on device (os error 28)", 500, StoreFull),
        ("AccessDenied", "Forbidden: Bucket size quota is reached, maximum total size of objects: 9", 403, StoreFull),
        ("AccessDenied", "Forbidden: Object quota is reached, maximum objects for this bucket: 9", 403, StoreFull),
        ("AccessDenied", "Access Denied.", 403, StoreFailed),
        ("QuotaExceeded", "Your request was denied due to quota exceeded.", 403, StoreFull),
        ("QuotaExceeded", "", 403, StoreFull),
        ("XMinioAdminBucketQuotaExceeded", "Bucket quota exceeded", 400, StoreFull),
        ("InsufficientCapacity", "", 507, StoreFull),
        ("InternalError", "rpc error: no free volumes left for {collection:bucket}", 500, StoreFull),
        ("NoSuchKey", "retention.apk is not there", 404, ObjectMissing),
        ("MalformedXML", "The XML you provided was not well-formed", 400, RequestRefused),
        ("NoSuchKey", "", 404, ObjectMissing),
        ("InvalidRequest", "Object is WORM protected and cannot be overwritten", 400, NotFreeable),
    ],
)
def test_an_error_is_of_the_kind_that_it_means(code: str, message: str, status: int, kind: type[Exception]) -> None:
    assert type(meaning("s3://bucket", code, message, status)) is kind


def test_a_right_that_is_lacking_has_its_remedy() -> None:
    assert "docs/minio.md" in str(meaning("s3://bucket", "AccessDenied", "Access Denied.", 403))
    assert "docs/minio.md" not in str(meaning("s3://bucket", "SlowDown", "", 503))


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchBucket", "InternalError", "QuotaExceeded"])
def test_the_words_of_the_server_are_kept(code: str) -> None:
    assert "its very words" in str(meaning("s3://bucket", code, "its very words", 403))


@pytest.mark.parametrize(
    "message",
    [
        "Authorization header malformed, unexpected scope: '20260102/us-east-1/s3/aws4_request', "
        "expected: '20260102/garage/s3/aws4_request'",
        "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'garage'",
    ],
)
def test_the_region_that_a_server_is_of_is_named(message: str) -> None:
    assert 'set region = "garage"' in str(meaning("s3://bucket", "AuthorizationHeaderMalformed", message, 400))


def test_a_wrong_region_is_told_where_the_right_one_is_not() -> None:
    older = "Authorization header malformed, unexpected scope: 20260102/us-east-1/s3/aws4_request"

    assert "of another region" in str(meaning("s3://bucket", "AuthorizationHeaderMalformed", older, 400))


@pytest.mark.parametrize(
    ("code", "message", "status"),
    [
        ("BadRequest", "Bad request; use region garage", 400),
        ("PermanentRedirect", "Moved Permanently; use region garage", 301),
    ],
)
def test_the_region_is_named_also_where_an_answer_has_no_words(code: str, message: str, status: int) -> None:
    told = str(meaning("s3://bucket", code, message, status))

    assert 'set region = "garage"' in told
    assert message in told


def test_a_write_that_seaweedfs_denies_may_be_its_word_for_a_quota() -> None:
    def denied(server: str, *, writes: bool) -> Exception:
        return meaning("s3://bucket", "AccessDenied", "Access Denied.", 403, server=server, writes=writes)

    full = denied("SeaweedFS 30GB 4.37", writes=True)
    assert type(full) is StoreFull
    assert "over its quota" in str(full)
    assert "it says: Access Denied." in str(full)
    for other in (denied("SeaweedFS 30GB 4.37", writes=False), denied("MinIO", writes=True), denied("", writes=True)):
        assert type(other) is StoreFailed
        assert "docs/minio.md" in str(other)


HEADERS = {"last-modified": "Fri, 02 Jan 2026 03:04:05 GMT", "content-length": "7", "etag": '"e"'}


def test_an_object_is_described_by_its_headers_and_may_have_no_etag() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    assert described("key", HEADERS) == StoredObject("key", 7, "e", at)
    assert described("key", {**HEADERS, "etag": '""'}).etag == ""
    assert described("key", {name: HEADERS[name] for name in ("last-modified", "content-length")}).etag == ""


@pytest.mark.parametrize("name", ["last-modified", "content-length"])
@pytest.mark.parametrize("value", [None, "", "x", "-1", "\u0663", "Fri, 31 Feb 2026 25:00:00 GMT"])
def test_headers_without_a_size_or_a_time_describe_no_object(name: str, value: str | None) -> None:
    headers = {key: found for key, found in HEADERS.items() if key != name} | ({} if value is None else {name: value})

    with pytest.raises(ValueError, match=r"it says no|is no size|does not match|out of range"):
        described("key", headers)

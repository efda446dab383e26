"""What a server says is turned into what it means."""

import pytest

from exodus_storage_guard.errors import NotFreeable, ObjectMissing, StoreFailed, StoreFull
from exodus_storage_guard.stores.s3.errors import meaning

FULL_DISK = "We encountered an internal error, please try again.: cause(no space left on device)"


@pytest.mark.parametrize(
    ("code", "message", "status", "kind"),
    [
        ("XMinioStorageFull", "", 507, StoreFull),
        ("SomethingElse", "", 507, StoreFull),
        ("InternalError", FULL_DISK, 500, StoreFull),
        ("InternalError", "We encountered an internal error, please try again.", 500, StoreFailed),
        ("NoSuchKey", "", 404, ObjectMissing),
        ("InvalidRequest", "Object is WORM protected and cannot be overwritten", 400, NotFreeable),
    ],
)
def test_an_error_is_of_the_kind_that_it_means(code: str, message: str, status: int, kind: type[Exception]) -> None:
    assert type(meaning("s3://bucket", code, message, status)) is kind


def test_a_right_that_is_lacking_has_its_remedy() -> None:
    assert "docs/minio.md" in str(meaning("s3://bucket", "AccessDenied", "Access Denied.", 403))
    assert "docs/minio.md" not in str(meaning("s3://bucket", "SlowDown", "", 503))

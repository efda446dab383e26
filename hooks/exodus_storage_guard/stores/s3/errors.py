"""What an S3 server's errors mean here."""

import re
from collections.abc import Mapping

from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.errors import KeyRefused, NotFreeable, ObjectChanged, ObjectMissing, StoreFailed, StoreFull

_KINDS: Mapping[str, type[StoreFailed] | type[KeyRefused]] = {
    "NoSuchKey": ObjectMissing,
    "NoSuchVersion": ObjectMissing,
    "NoSuchUpload": ObjectMissing,
    "PreconditionFailed": ObjectChanged,
    "XMinioStorageFull": StoreFull,
    "XMinioAdminBucketQuotaExceeded": StoreFull,
    "QuotaExceeded": StoreFull,
    "InsufficientCapacity": StoreFull,
    "KeyTooLongError": KeyRefused,
    "XMinioInvalidObjectName": KeyRefused,
    "XMinioParentIsObject": KeyRefused,
    "ObjectParentIsFile": KeyRefused,
    "ExistingObjectIsDirectory": KeyRefused,
    "ObjectLocked": NotFreeable,
    "InvalidRequestObjectLocked": NotFreeable,
}
# MinIO and S3 have no code of their own for what a lock forbids.
_LOCKED = re.compile(r"\bWORM\b|object ?lock|retention|legal hold", re.IGNORECASE)
# A MinIO whose disk fills up while it writes says InternalError, and this.
_NO_SPACE = "no space left on device"
_INSUFFICIENT_STORAGE = 507
_REMEDIES = {
    "AccessDenied": "its user lacks a right for this (docs/minio.md has the policy that suffices)",
    "InvalidAccessKeyId": "the access key is wrong",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "NoSuchBucket": "there is no such bucket",
    "RequestTimeTooSkewed": "the clocks of this machine and of the server differ",
}


def meaning(where: str, code: str, message: str, status: int | None = None) -> ExodusError:
    """Give our error for a server's code and message; `status` is that of HTTP where there is one."""
    is_full = status == _INSUFFICIENT_STORAGE or _NO_SPACE in message
    kind = StoreFull if is_full else _KINDS.get(code, StoreFailed)
    if _LOCKED.search(message):
        kind = NotFreeable
    return kind(f"{where}: {code}: {printable(_REMEDIES.get(code, message or 'no reason given'))}")

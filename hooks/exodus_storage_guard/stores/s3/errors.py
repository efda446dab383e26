"""What an S3 server's errors mean here."""

import re
from collections.abc import Mapping

from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.errors import KeyRefused, NotFreeable, ObjectChanged, ObjectMissing, StoreFailed, StoreFull


class RequestRefused(StoreFailed):
    """Say that a server refused a request as it was written (400): nothing of it was done."""


_KINDS: Mapping[str, type[StoreFailed] | type[KeyRefused]] = {
    "NoSuchKey": ObjectMissing,
    "NoSuchVersion": ObjectMissing,
    "NoSuchUpload": ObjectMissing,
    "PreconditionFailed": ObjectChanged,
    "XMinioStorageFull": StoreFull,
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
# Who runs full while it writes says InternalError and this (Garage with a capital N); Garage's quota is AccessDenied.
_NO_SPACE = re.compile(
    r"no space left on device|quota ?(is |has been )?(reached|exceeded)|insufficient ?(capacity|storage)"
    r"|minimum free (drive|disk) threshold|no (free|more writable) volumes",
    re.IGNORECASE,
)
_BAD_REQUEST, _INSUFFICIENT_STORAGE = 400, 507
# S3: "the region 'a' is wrong; expecting 'b'"; Garage: "unexpected scope: 'DATE/a/…', expected: 'DATE/b/…'".
# And of an answer without words (to HEAD) the SDK says "use region b", where a header names it.
_REGION = re.compile(r"\b(?:expect(?:ing|ed)|use region)\W+(?:\d{8}/)?([\w-]+)")
_OF_ANOTHER_REGION = ("AuthorizationHeaderMalformed", "BadRequest", "PermanentRedirect", "Redirect")
_REMEDIES = {
    "AccessDenied": "its user lacks a right for this (docs/minio.md has the policy that suffices)",
    "InvalidAccessKeyId": "the access key is wrong",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "NoSuchBucket": "there is no such bucket",
    "AuthorizationHeaderMalformed": 'the server is of another region than region says (Garage: "garage", as a rule)',
    "RequestTimeTooSkewed": "the clocks of this machine and of the server differ",
}


_MOST_CODE_CHARACTERS = 100
_READ_ONLY = "the bucket is read-only, as SeaweedFS makes one that is over its quota, or its user may not write"


def meaning(
    where: str, code: str, message: str, status: int | None = None, *, server: str = "", writes: bool = False
) -> ExodusError:
    """Give our error for a server's code and message, which it keeps; `status` is that of HTTP where there is one.

    `server` is what it calls itself, and `writes` says that an object was to be written: SeaweedFS has no other word
    for a quota than that this is denied.
    """
    kind: type[ExodusError] = _KINDS.get(code, RequestRefused if status == _BAD_REQUEST else StoreFailed)
    remedy = _REMEDIES.get(code, "")
    if code == "AccessDenied" and writes and server.startswith("SeaweedFS"):
        kind, remedy = StoreFull, _READ_ONLY
    if status == _INSUFFICIENT_STORAGE or _NO_SPACE.search(f"{code} {message}"):
        kind, remedy = StoreFull, ""
    elif code not in _KINDS and _LOCKED.search(message):
        kind, remedy = NotFreeable, ""
    if code in _OF_ANOTHER_REGION and (region := _REGION.search(message)):
        remedy = f'the server is of another region: set region = "{region[1]}"'
    said = printable(message or "no reason given")
    code = code[:_MOST_CODE_CHARACTERS]
    text = f"{where}: {code}: {remedy} (it says: {said})" if remedy else f"{where}: {code}: {said}"
    return StoreFailed.for_lack_of_a_right(text) if kind is StoreFailed and code == "AccessDenied" else kind(text)

"""The door to an S3 server: the minio SDK, which nothing else imports, with a deadline on every call.

The SDK is of the line before 8, where every method was renamed. What it raises comes in four families (its own,
urllib3's, those of the XML parser, `ValueError`); all are turned into ours here.
"""

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import certifi
import urllib3
from minio import Minio, S3Error
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteError, DeleteObject
from minio.error import MinioException
from urllib3.exceptions import HTTPError

from exodus_common.terminal import printable
from exodus_storage_guard.errors import (
    KeyRefused,
    NotFreeable,
    ObjectChanged,
    ObjectMissing,
    StoreFailed,
    StoreFull,
)
from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores.contract import Chunks

_CHUNK_BYTES = 1024 * 1024
_META = "x-amz-meta-"
_SYSTEM = ("cache-control", "content-disposition", "content-encoding", "content-language")
_ANSWERS_LATER = (500, 502, 503, 504)
_KINDS: Mapping[str, type[StoreFailed] | type[KeyRefused]] = {
    "NoSuchKey": ObjectMissing,
    "NoSuchVersion": ObjectMissing,
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
_INSUFFICIENT_STORAGE = 507
_REMEDIES = {
    "AccessDenied": "its user lacks a right for this (docs/minio.md has the policy that suffices)",
    "InvalidAccessKeyId": "the access key is wrong",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "NoSuchBucket": "there is no such bucket",
    "RequestTimeTooSkewed": "the clocks of this machine and of the server differ",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Say how a server is reached; `endpoint` is a URL without a path."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str | None = None
    ca_file: Path | None = None
    timeout_seconds: float = 60


@dataclass(frozen=True, slots=True)
class Found:
    """Describe what is under a name, and which version it is, where the bucket keeps any."""

    stored: StoredObject
    version: str | None


class BucketDoor:
    """Ask one bucket. Errors: `StoreFailed` and its kinds, `KeyRefused`. Threads may share it; a fork makes it anew."""

    def __init__(self, access: Access, bucket: str) -> None:
        """Name the bucket; nobody is asked before something is."""
        self._access, self._bucket = access, bucket
        self._made: tuple[int, Minio, _Http] | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Name the bucket and its server."""
        return f"s3://{self._bucket} at {self._access.endpoint}"

    def listing(self, prefix: str, start_after: str | None = None) -> Iterator[StoredObject]:
        """Stream what begins with a prefix, in the order of keys."""
        with self._translated(prefix):
            for one in self._client.list_objects(self._bucket, prefix=prefix, recursive=True, start_after=start_after):
                if not one.is_dir:
                    yield _listed(one)

    def versions(self, name: str) -> int:
        """Count the versions there are of exactly this name, markers of a deletion not among them."""
        with self._translated(name):
            found = self._client.list_objects(self._bucket, prefix=name, recursive=True, include_version=True)
            count = 0
            for one in found:
                if one.object_name == name:
                    count += not one.is_delete_marker
                elif one.object_name and one.object_name > name:
                    break
            return count

    def head(self, name: str) -> Found | None:
        """Describe an object; None where there is none."""
        try:
            with self._translated(name):
                found = self._client.stat_object(self._bucket, name)
        except ObjectMissing:
            return None
        headers = {key.lower(): value for key, value in (found.metadata or {}).items()}
        return Found(_described(name, headers), found.version_id)

    @contextmanager
    def get(self, name: str) -> Iterator[tuple[StoredObject, Chunks]]:
        """Describe an object and stream its bytes, as they are stored; one that is cut short is an error."""
        with self._translated(name):
            response = self._client.get_object(self._bucket, name)
        try:
            stored = _described(name, {key.lower(): value for key, value in response.headers.items()})
            yield stored, self._chunks(response, stored)
        finally:
            response.close()
            response.release_conn()

    def _chunks(self, response: urllib3.BaseHTTPResponse, stored: StoredObject) -> Chunks:
        left = stored.bytes
        while left > 0:
            with self._translated(stored.key):
                chunk = response.read(min(_CHUNK_BYTES, left), decode_content=False)
            if not chunk:
                raise StoreFailed(f"{self.name}: {printable(stored.key)} ends {left} bytes early")
            left -= len(chunk)
            yield chunk

    def put(self, wanted: StoredObject, data: BinaryIO, *, part_bytes: int, only_new: bool) -> str:
        """Store an object, all at once; give its ETag. With `only_new`, `ObjectChanged` where there is one already."""
        with self._translated(wanted.key), self._only_new(wanted=only_new):
            written = self._client.put_object(
                self._bucket,
                wanted.key,
                data,
                wanted.bytes,
                content_type=wanted.content_type or "application/octet-stream",
                metadata=dict(wanted.metadata),
                part_size=part_bytes,
                num_parallel_uploads=1,
            )
        return (written.etag or "").strip('"')

    def is_server_of(self, other: "BucketDoor") -> bool:
        """Tell whether another bucket is of the same server, and open to the same user."""
        mine, theirs = self._access, other._access
        return (mine.endpoint.rstrip("/"), mine.access_key) == (theirs.endpoint.rstrip("/"), theirs.access_key)

    def take(self, source: "BucketDoor", found: Found, new_name: str) -> None:
        """Have the server copy an object, with its metadata, as long as it is the one that was found."""
        name = found.stored.key
        wanted = CopySource(source._bucket, name, version_id=found.version, match_etag=found.stored.etag)
        with self._translated(name):
            self._client.copy_object(self._bucket, new_name, wanted)

    def remove(self, name: str, version: str | None) -> None:
        """Delete an object, or exactly one version of it."""
        with self._translated(name):
            self._client.remove_object(self._bucket, name, version_id=version)

    def remove_many(self, names: Sequence[tuple[str, str | None]]) -> Mapping[str, StoreFailed]:
        """Delete objects by name and version, at most a thousand; give what failed."""
        with self._translated("a batch of deletions"):
            wanted = [DeleteObject(name, version) for name, version in names]
            failed = list(self._client.remove_objects(self._bucket, wanted))  # nothing happens before it is iterated
        return {one.name or "": self._refused(one) for one in failed}

    def _refused(self, one: DeleteError) -> StoreFailed:
        kind = NotFreeable if _LOCKED.search(one.message or "") else StoreFailed
        return kind(f"{self.name}: {printable(one.name or '')}: {one.code}: {printable(one.message or '')}")

    def unfinished(self, prefix: str) -> Iterator[tuple[str, str, datetime]]:
        """Stream uploads in parts that nobody has finished: name, id, and when they began."""
        key_marker = upload_marker = None
        while True:
            with self._translated(prefix):
                # The SDK has had no public way to ask since 7.0.
                page = self._client._list_multipart_uploads(
                    self._bucket, prefix=prefix, key_marker=key_marker, upload_id_marker=upload_marker
                )
            for one in page.uploads:
                yield one.object_name, cast(str, one.upload_id), one.initiated_time or datetime.now(UTC)
            if not page.is_truncated:
                return
            key_marker, upload_marker = page.next_key_marker, page.next_upload_id_marker

    def abort(self, name: str, upload: str) -> None:
        """Give up an upload in parts."""
        with self._translated(name):
            self._client._abort_multipart_upload(self._bucket, name, upload)  # as above

    @property
    def _client(self) -> Minio:
        return self._both()[0]

    def _both(self) -> "tuple[Minio, _Http]":
        """Make the client once in each process: it is not one that survives a fork."""
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                http = _Http(self._access)
                self._made = os.getpid(), _client(self._access, http), http
            return self._made[1:]

    @contextmanager
    def _only_new(self, *, wanted: bool) -> Iterator[None]:
        http = self._both()[1]
        http.mine.only_new = wanted
        try:
            yield
        finally:
            http.mine.only_new = False

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except S3Error as error:
            raise _meaning(self._where(name), error) from error
        except MinioException as error:
            raise StoreFailed(f"{self._where(name)}: this is no answer of an S3 server: {_short(error)}") from error
        except HTTPError as error:
            raise StoreFailed(f"{self._where(name)}: {_reason(error)}") from error
        except ParseError as error:
            raise StoreFailed(f"{self._where(name)}: this is no answer of an S3 server: {error}") from error
        except UnicodeEncodeError as error:
            raise KeyRefused(f"{self._where(name)}: is not UTF-8, as every key of an S3 server is") from error
        except ValueError as error:
            raise StoreFailed(f"{self._where(name)}: {error}") from error

    def _where(self, name: str) -> str:
        return f"{self.name}: {printable(name)}" if name else self.name


class _Http(urllib3.PoolManager):
    """Keep connections, with deadlines that a silent server meets before the sweep's own; retry what may pass.

    `mine.only_new` has this thread's uploads refused where there is an object already; the SDK cannot ask for that.
    """

    def __init__(self, access: Access) -> None:
        seconds = access.timeout_seconds
        super().__init__(
            timeout=urllib3.Timeout(connect=min(5.0, seconds / 3), read=seconds / 2),
            maxsize=64,
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(access.ca_file or os.environ.get("SSL_CERT_FILE") or certifi.where()),
            retries=urllib3.Retry(
                total=3,
                connect=2,
                read=1,
                redirect=0,
                allowed_methods=None,
                status_forcelist=_ANSWERS_LATER,
                backoff_factor=0.2,
                raise_on_status=False,  # then the server's own words are kept
                respect_retry_after_header=False,
            ),
        )
        self.mine = threading.local()

    def urlopen(self, method: str, url: str, redirect: bool = True, **more: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]  # urllib3 has it so
        """Send a request."""
        query = urlsplit(url).query
        whole = (method == "PUT" and "uploadId=" not in query) or (method == "POST" and "uploadId=" in query)
        if whole and getattr(self.mine, "only_new", False):
            more["headers"]["If-None-Match"] = "*"
        return super().urlopen(method, url, redirect, **more)


def _client(access: Access, http: _Http) -> Minio:
    parts = urlsplit(access.endpoint)
    return Minio(
        parts.netloc,
        access_key=access.access_key,
        secret_key=access.secret_key,
        secure=parts.scheme == "https",
        region=access.region,
        http_client=http,
    )


def _listed(one: Any) -> StoredObject:
    return StoredObject(one.object_name, one.size or 0, (one.etag or "").strip('"'), one.last_modified)


def _described(name: str, headers: Mapping[str, str]) -> StoredObject:
    """Read what an answer to GET or HEAD says of an object."""
    metadata = {key.removeprefix(_META): value for key, value in headers.items() if key.startswith(_META)}
    metadata |= {key: headers[key] for key in _SYSTEM if key in headers}
    modified_at = datetime.strptime(headers["last-modified"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    etag, kind = headers.get("etag", "").strip('"'), headers.get("content-type", "")
    return StoredObject(name, int(headers["content-length"]), etag, modified_at, kind, metadata)


def _meaning(where: str, error: S3Error) -> Exception:
    code = error.code or ""
    status = getattr(error.response, "status", None)
    kind = StoreFull if status == _INSUFFICIENT_STORAGE else _KINDS.get(code, StoreFailed)
    if _LOCKED.search(error.message or ""):
        kind = NotFreeable
    remedy = _REMEDIES.get(code, error.message or "no reason given")
    return kind(f"{where}: {code}: {printable(remedy)}")


def _reason(error: HTTPError) -> str:
    """Say what happened to a connection; urllib3 wraps it in the whole story of its retries."""
    reason = getattr(error, "reason", None) or error
    return printable(f"{type(reason).__name__}: {str(reason)[-200:]}")


def _short(error: Exception) -> str:
    return printable(str(error)[:200])

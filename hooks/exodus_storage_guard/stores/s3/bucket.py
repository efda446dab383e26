"""The door to an S3 server: the minio SDK, which nothing else imports, with a deadline on every call.

The SDK is of the line before 8, where every method was renamed. What it raises comes in four families (its own,
urllib3's, those of the XML parser, `ValueError`); all are turned into ours here.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import BinaryIO, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio, S3Error
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteError, DeleteObject
from minio.error import MinioException
from urllib3.exceptions import HTTPError

from exodus_common.errors import ExodusError
from exodus_common.terminal import printable
from exodus_storage_guard.errors import KeyRefused, ObjectMissing, StoreFailed
from exodus_storage_guard.model import StoredObject
from exodus_storage_guard.stores.contract import Chunks
from exodus_storage_guard.stores.s3.errors import meaning
from exodus_storage_guard.stores.s3.pool import Access, Pool
from exodus_storage_guard.stores.s3.ranges import Page, Range
from exodus_storage_guard.stores.s3.responses import Unfinished, page_of, unfinished_of

T = TypeVar("T")
_CHUNK_BYTES = 1024 * 1024
_META = "x-amz-meta-"
_SYSTEM = ("cache-control", "content-disposition", "content-encoding", "content-language")


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
        self._made: tuple[int, Minio, Pool] | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Name the bucket and its server."""
        return f"s3://{self._bucket} at {self._access.endpoint}"

    def page(self, wanted: Range, token: str | None) -> Page:
        """List up to a thousand objects of a range, in the order of keys."""
        # A policy may ask for each of these to be there.
        query = {"list-type": "2", "max-keys": "1000", "encoding-type": "url", "prefix": wanted.prefix, "delimiter": ""}
        query |= {"continuation-token": token} if token else {}
        query |= {"start-after": wanted.after} if wanted.after and not token else {}
        return self._asked(query, page_of)

    def _asked(self, query: Mapping[str, str], read: Callable[[bytes], T]) -> T:
        """Ask for a list; the SDK has no public way to have an answer as it came."""
        with self._translated(query["prefix"]):
            return read(self._client._execute("GET", self._bucket, query_params=dict(query)).data)

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
                answer = self._client._execute("HEAD", self._bucket, name)  # stat_object reads all of it once more
        except ObjectMissing:
            return None
        headers = _lower(answer)
        return Found(_described(name, headers), headers.get("x-amz-version-id"))

    @contextmanager
    def get(self, name: str) -> Iterator[tuple[StoredObject, Chunks]]:
        """Describe an object and stream its bytes, as they are stored; one that is cut short is an error."""
        with self._translated(name):
            response = self._client.get_object(self._bucket, name)
        try:
            stored = _described(name, _lower(response))
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

    def remove_many(self, names: Sequence[tuple[str, str | None]]) -> Mapping[str, ExodusError]:
        """Delete objects by name and version, at most a thousand; give what failed."""
        with self._translated("a batch of deletions"):
            wanted = [DeleteObject(name, version) for name, version in names]
            failed = list(self._client.remove_objects(self._bucket, wanted))  # nothing happens before it is iterated
        return {one.name or "": self._refused(one) for one in failed}

    def _refused(self, one: DeleteError) -> ExodusError:
        return meaning(self._where(one.name or ""), one.code or "", one.message or "")

    def unfinished(self) -> Iterator[Unfinished]:
        """Stream the bucket's uploads in parts that nobody has finished; MinIO knows no prefixes here, only keys.

        It lists those that began since it was started, and some that are over (`upload_bytes` tells).
        """
        query = {"uploads": "", "max-uploads": "1000", "encoding-type": "url", "prefix": "", "delimiter": ""}
        after: tuple[str, str] | None = None
        while True:
            page = self._asked(query, unfinished_of)
            yield from page.uploads
            if page.after in (None, after):  # a server that does not get on is asked no more
                return
            after = page.after
            query |= {"key-marker": after[0], "upload-id-marker": after[1]}

    def upload_bytes(self, one: Unfinished) -> int | None:
        """Add up what an unfinished upload holds; None where it is over."""
        total, marker = 0, None
        while True:
            try:
                with self._translated(one.name):  # the SDK has had no public way to ask since 7.0
                    page = self._client._list_parts(self._bucket, one.name, one.upload, part_number_marker=marker)
            except ObjectMissing:
                return None
            total += sum(part.size or 0 for part in page.parts)
            if not page.is_truncated or page.next_part_number_marker in (None, marker):
                return total
            marker = page.next_part_number_marker

    def abort(self, one: Unfinished) -> None:
        """Give up an upload in parts."""
        with self._translated(one.name):
            self._client._abort_multipart_upload(self._bucket, one.name, one.upload)  # as above

    def now(self) -> datetime | None:
        """Say what time it is there: every answer of a server has its date; None where this one has none."""
        with self._translated(""):
            answer = self._client._execute("HEAD", self._bucket)  # the SDK keeps the headers to itself
        try:
            return parsedate_to_datetime(_lower(answer).get("date", "")).astimezone(UTC)
        except (ValueError, OverflowError):
            return None

    @property
    def _client(self) -> Minio:
        return self._both()[0]

    def _both(self) -> "tuple[Minio, Pool]":
        """Make the client once in each process: it is not one that survives a fork."""
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                http = Pool(self._access)
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
            status = getattr(error.response, "status", None)
            raise meaning(self._where(name), error.code or "", error.message or "", status) from error
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


def _client(access: Access, http: Pool) -> Minio:
    parts = urlsplit(access.endpoint)
    return Minio(
        parts.netloc,
        access_key=access.access_key,
        secret_key=access.secret_key,
        secure=parts.scheme == "https",
        region=access.region,
        http_client=http,
    )


def _lower(answer: urllib3.BaseHTTPResponse) -> dict[str, str]:
    return {key.lower(): value for key, value in answer.headers.items()}


def _described(name: str, headers: Mapping[str, str]) -> StoredObject:
    """Read what an answer to GET or HEAD says of an object."""
    metadata = {key.removeprefix(_META): value for key, value in headers.items() if key.startswith(_META)}
    metadata |= {key: headers[key] for key in _SYSTEM if key in headers}
    modified_at = datetime.strptime(headers["last-modified"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    etag, kind = headers.get("etag", "").strip('"'), headers.get("content-type", "")
    return StoredObject(name, int(headers["content-length"]), etag, modified_at, kind, metadata)


def _reason(error: HTTPError) -> str:
    """Say what happened to a connection; urllib3 wraps it in the whole story of its retries."""
    reason = getattr(error, "reason", None) or error
    return printable(f"{type(reason).__name__}: {str(reason)[-200:]}")


def _short(error: Exception) -> str:
    return printable(str(error)[:200])

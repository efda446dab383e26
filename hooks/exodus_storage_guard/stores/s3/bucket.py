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
from exodus_storage_guard.stores.s3.deletions import Named
from exodus_storage_guard.stores.s3.errors import RequestRefused, meaning
from exodus_storage_guard.stores.s3.headers import described
from exodus_storage_guard.stores.s3.paging import pages
from exodus_storage_guard.stores.s3.pool import Access, Pool
from exodus_storage_guard.stores.s3.ranges import Page, Range
from exodus_storage_guard.stores.s3.responses import (
    PartsPage,
    Unfinished,
    UnfinishedPage,
    VersionsPage,
    page_of,
    parts_of,
    unfinished_of,
    versions_of,
)

T = TypeVar("T")
_CHUNK_BYTES = 1024 * 1024


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
        page = self._asked(query, page_of)
        if not all(one.key.startswith(wanted.prefix) for one in page.objects):
            raise StoreFailed(f"{self._where(wanted.prefix)}: this is no answer of an S3 server: it lists other keys")
        return page

    def _asked(self, query: Mapping[str, str], read: Callable[[bytes], T], name: str | None = None) -> T:
        """Ask for a list; the SDK has no public way to have an answer as it came."""
        with self._translated(name or query["prefix"]):
            return read(self._client._execute("GET", self._bucket, name, query_params=dict(query)).data)

    def versions(self, name: str) -> int:
        """Count the versions there are of exactly this name, markers of a deletion not among them."""
        query = {"versions": "", "max-keys": "1000", "encoding-type": "url", "prefix": name, "delimiter": ""}

        def ask(before: VersionsPage | None) -> VersionsPage:
            return self._asked(query | _markers(before, "version-id-marker"), versions_of)

        count = 0
        for page in pages(self._where(name), ask):
            count += page.keys.count(name)
            if page.keys and page.keys[-1] > name:
                break
        return count

    def head(self, name: str) -> Found | None:
        """Describe an object; None where there is none."""
        try:
            with self._put_into_words(), self._translated(name):
                answer = self._client._execute("HEAD", self._bucket, name)  # stat_object reads all of it once more
        except ObjectMissing:
            return None
        return self._found(name, answer)

    def _found(self, name: str, answer: urllib3.BaseHTTPResponse) -> Found:
        headers = {key.lower(): value for key, value in answer.headers.items()}
        try:
            return Found(described(name, headers), headers.get("x-amz-version-id"))
        except ValueError as error:
            raise StoreFailed(f"{self._where(name)}: this is no answer of an S3 server: {error}") from error

    @contextmanager
    def get(self, name: str) -> Iterator[tuple[StoredObject, Chunks]]:
        """Describe an object and stream its bytes, as they are stored; one that is cut short is an error."""
        with self._translated(name):
            response = self._client.get_object(self._bucket, name)
        try:
            stored = self._found(name, response).stored
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
        with self._translated(wanted.key, writes=True), self._only_new(wanted=only_new):
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
        with self._put_into_words(), self._translated(name, writes=True):
            wanted = CopySource(source._bucket, name, version_id=found.version, match_etag=found.stored.etag or None)
            self._client.copy_object(self._bucket, new_name, wanted)

    def remove(self, name: str, version: str | None) -> None:
        """Delete an object, or exactly one version of it."""
        with self._translated(name):
            self._client.remove_object(self._bucket, name, version_id=version)

    def remove_many(self, names: Sequence[Named]) -> Mapping[str, ExodusError]:
        """Delete objects, at most a thousand, in one request that is XML; give what failed, by name.

        Where the server does not say for which name, all of them count as failed. Raises `RequestRefused` or
        `KeyRefused` where nothing of it was done.
        """
        with self._translated("a batch of deletions"):
            wanted = [DeleteObject(name, version) for name, version in names]
            answers = list(self._client.remove_objects(self._bucket, wanted))  # nothing happens before it is iterated
        failed = {one.name or "": self._refused(one) for one in answers}
        asked = {name for name, _ in names}
        unknown = next((error for name, error in failed.items() if name not in asked), None)
        return failed if unknown is None else dict.fromkeys(asked, unknown) | failed

    def _refused(self, one: DeleteError) -> ExodusError:
        return meaning(self._where(one.name or "a batch of deletions"), one.code or "", one.message or "")

    def unfinished(self, name: str = "") -> Iterator[Unfinished]:
        """Stream the bucket's uploads in parts that nobody has finished, of all names or of one.

        MinIO knows no prefixes here, only keys; others give those that begin with the name.
        It lists those that began since it was started, and some that are over (`upload_bytes` tells).
        """
        query = {"uploads": "", "max-uploads": "1000", "encoding-type": "url", "prefix": name, "delimiter": ""}

        def ask(before: UnfinishedPage | None) -> UnfinishedPage:
            return self._asked(query | _markers(before, "upload-id-marker"), unfinished_of)

        for page in pages(self.name, ask):
            yield from page.uploads

    def upload_bytes(self, one: Unfinished) -> int | None:
        """Add up what an unfinished upload holds; None where it is over."""

        def ask(before: PartsPage | None) -> PartsPage:
            query = {"uploadId": one.upload, "max-parts": "1000"}
            query |= {"part-number-marker": before.after} if before and before.after else {}
            return self._asked(query, parts_of, one.name)

        try:
            return sum(page.bytes for page in pages(self._where(one.name), ask))
        except ObjectMissing:
            return None

    def abort(self, one: Unfinished) -> None:
        """Give up an upload in parts."""
        with self._translated(one.name):
            self._client._abort_multipart_upload(self._bucket, one.name, one.upload)  # the SDK has no public way

    def now(self) -> datetime | None:
        """Say what time it is there: every answer of a server has its date; None where this one has none."""
        with self._put_into_words(), self._translated(""):
            answer = self._client._execute("HEAD", self._bucket)  # the SDK keeps the headers to itself
        try:
            return parsedate_to_datetime(answer.headers.get("date", "")).astimezone(UTC)
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
    def _put_into_words(self) -> Iterator[None]:
        """Have a server that refuses a HEAD say why: that has no body, and Garage says in it which region it is of."""
        try:
            yield
        except RequestRefused:
            self.page(Range(""), None)
            raise

    @contextmanager
    def _translated(self, name: str, *, writes: bool = False) -> Iterator[None]:
        try:
            yield
        except S3Error as error:
            status, headers = getattr(error.response, "status", None), getattr(error.response, "headers", {})
            where, said = self._where(name), (error.code or "", error.message or "")
            raise meaning(where, *said, status, server=headers.get("server", ""), writes=writes) from error
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


def _markers(before: UnfinishedPage | VersionsPage | None, second: str) -> dict[str, str]:
    if before is None or before.after is None:
        return {}
    return {name: value for name, value in zip(("key-marker", second), before.after, strict=True) if value}


def _reason(error: HTTPError) -> str:
    """Say what happened to a connection; urllib3 wraps it in the whole story of its retries."""
    reason = getattr(error, "reason", None) or error
    return printable(f"{type(reason).__name__}: {str(reason)[-200:]}")


def _short(error: Exception) -> str:
    return printable(str(error)[:200])

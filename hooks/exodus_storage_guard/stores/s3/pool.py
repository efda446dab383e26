"""How an S3 server is reached: by connections that are kept, with deadlines that end before the sweep's own."""

import io
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certifi
import urllib3
from urllib3.exceptions import MaxRetryError, ProtocolError, ReadTimeoutError

_GOOD, _ANSWERS_LATER = (200, 204, 206), (500, 502, 503, 504)
_MOST_ANSWER_BYTES = 16 * 1024 * 1024  # a page of a thousand keys has 4 MiB at most
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Access:
    """Say how a server is reached; `endpoint` is a URL without a path."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str | None = None
    ca_file: Path | None = None
    timeout_seconds: float = 60


class Pool(urllib3.PoolManager):
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
        )
        self._retries = urllib3.Retry(
            total=3,
            connect=2,
            read=1,
            allowed_methods=None,
            status_forcelist=(),  # what is to be asked again is for us to tell: urllib3 reads such an answer to its end
            backoff_factor=0.2,
            respect_retry_after_header=False,
        )
        self.mine = threading.local()
        self._hosts: dict[str, urllib3.HTTPConnectionPool] = {}

    def urlopen(self, method: str, url: str, redirect: bool = True, **more: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]  # urllib3 has it so
        """Send a request, and follow nobody elsewhere; the connections of a host are looked up once.

        An answer of which all is wanted, and each that says what is wrong, has been read, to a bound.
        """
        parts = urlsplit(url)
        query = parts.query
        whole = (method == "PUT" and "uploadId=" not in query) or (method == "POST" and "uploadId=" in query)
        if whole and getattr(self.mine, "only_new", False):
            more["headers"]["If-None-Match"] = "*"
        host = self._hosts.get(parts.netloc)
        if host is None:
            host = self._hosts[parts.netloc] = self.connection_from_url(url)
        all_of_it = more.pop("preload_content", True)
        return self._asked(host, method, f"{parts.path}?{query}" if query else parts.path, all_of_it, more)

    def _asked(
        self, host: urllib3.HTTPConnectionPool, method: str, target: str, all_of_it: bool, more: dict[str, Any]
    ) -> urllib3.BaseHTTPResponse:
        """Ask, and ask again where that may help; the last answer is kept, and with it the server's own words."""
        left = self._retries
        while True:
            found = host.urlopen(method, target, redirect=False, preload_content=False, retries=left, **more)
            left = found.retries or left
            if found.status in _ANSWERS_LATER:
                try:
                    left = left.increment(method, target, response=found)
                except MaxRetryError:
                    return _read(found, method)
                found.close()
                found.release_conn()
                left.sleep()
                continue
            if found.status in _GOOD and not all_of_it:
                return found
            try:
                return _read(found, method)
            except (ProtocolError, ReadTimeoutError) as error:
                left = left.increment(method, target, error=error)


def _read(found: urllib3.BaseHTTPResponse, method: str) -> urllib3.BaseHTTPResponse:
    """Read an answer to its end, as it was sent; raise `ValueError` where it has none in sight."""
    content = bytearray()
    try:
        while chunk := found.read(_CHUNK_BYTES, decode_content=False):
            content += chunk
            if len(content) > _MOST_ANSWER_BYTES:
                found.close()
                raise ValueError(f"an answer has more than {_MOST_ANSWER_BYTES} bytes: this is none of an S3 server")
    finally:
        found.release_conn()
    return urllib3.HTTPResponse(
        io.BytesIO(content),
        found.headers,
        found.status,
        reason=found.reason,
        decode_content=False,
        enforce_content_length=False,
        request_method=method,
    )

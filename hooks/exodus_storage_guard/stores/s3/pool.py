"""How an S3 server is reached: by connections that are kept, with deadlines that end before the sweep's own."""

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certifi
import urllib3

_ANSWERS_LATER = (500, 502, 503, 504)


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
            retries=urllib3.Retry(
                total=3,
                connect=2,
                read=1,
                allowed_methods=None,
                status_forcelist=_ANSWERS_LATER,
                backoff_factor=0.2,
                raise_on_status=False,  # then the server's own words are kept
                respect_retry_after_header=False,
            ),
        )
        self.mine = threading.local()
        self._hosts: dict[str, urllib3.HTTPConnectionPool] = {}

    def urlopen(self, method: str, url: str, redirect: bool = True, **more: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]  # urllib3 has it so
        """Send a request, and follow nobody elsewhere; the connections of a host are looked up once."""
        parts = urlsplit(url)
        query = parts.query
        whole = (method == "PUT" and "uploadId=" not in query) or (method == "POST" and "uploadId=" in query)
        if whole and getattr(self.mine, "only_new", False):
            more["headers"]["If-None-Match"] = "*"
        host = self._hosts.get(parts.netloc)
        if host is None:
            host = self._hosts[parts.netloc] = self.connection_from_url(url)
        return host.urlopen(method, f"{parts.path}?{query}" if query else parts.path, redirect=False, **more)

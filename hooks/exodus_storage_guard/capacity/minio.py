"""Measure a MinIO by what it tells Prometheus: the only place where it says how large its disks are."""

import re
import ssl
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path

from exodus_common.terminal import printable
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.model import Capacity

# Of /minio/v2/metrics/cluster, and of /minio/metrics/v3/cluster/health.
_USABLE = re.compile(
    r"^minio_cluster_(?:health_)?capacity_usable_(total|free)_bytes(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE
)
RENEWED_EVERY = timedelta(minutes=1)
"""How old the figures may be that MinIO gives; what was uploaded since is not in them (cmd/metrics-v2.go)."""
_MOST_BYTES = 16 * 1024 * 1024


def measure(url: str, token: str | None, ca_file: Path | None, now: datetime, *, timeout_seconds: float) -> Capacity:
    """Ask for the usable capacity; raise `StoreFailed` where there is no answer, or none with those figures."""
    where = printable(url)
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310 - the settings allow http and https only
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds, context=context) as answer:  # noqa: S310 - as above
            text = answer.read(_MOST_BYTES).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        hint = "; is token_file right (mc admin prometheus generate)?" if error.code in (401, 403) else ""
        raise StoreFailed(f"{where}: MinIO's metrics: HTTP {error.code}{hint}") from error
    except (OSError, ValueError) as error:
        raise StoreFailed(f"{where}: MinIO's metrics: {error}") from error
    try:
        found = {name: int(float(value)) for name, value in _USABLE.findall(text)}
    except (ValueError, OverflowError) as error:
        raise StoreFailed(f"{where}: MinIO's metrics: {error}") from error
    if set(found) != {"total", "free"} or not 0 <= found["free"] <= found["total"]:
        raise StoreFailed(f"{where}: no usable capacity is among these metrics; are they the cluster's?")
    return Capacity("minio", found["total"], found["total"] - found["free"], found["free"], now - RENEWED_EVERY)

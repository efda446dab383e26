"""Which objects of MinIO's client are the guard's, and how those are read that the archive has."""

import logging
import os
import re
import tempfile
from functools import cache
from pathlib import Path
from uuid import uuid4

import urllib3

from exodus_common.errors import ExodusError
from exodus_storage_guard import settings
from exodus_storage_guard.adapters.gate import Gate
from exodus_storage_guard.stores.locations import Bucket

_log = logging.getLogger(__name__)
_MISSING = "NoSuchKey"


def archived_key(error: Exception, bucket: str, name: str) -> str | None:
    """Give the guard's key of what the store does not have, where the archive does.

    Newer versions raise one class, with S3's code; older ones (6) a class that is called as the code is.
    """
    if (getattr(error, "code", None) or type(error).__name__) != _MISSING:
        return None
    key = guarded_key(bucket, name)
    return key if key is not None and gate().is_archived(key) else None


def archived(key: str) -> urllib3.HTTPResponse:
    """Give an object of the archive as the store would have: one that is cut short is not begun with."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever reads it closes it
    gate().guard.fetch(key, file)
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.tell())}
    file.seek(0)
    return urllib3.HTTPResponse(file, headers, status=200, preload_content=False)


def write_archived(key: str, target: Path) -> int:
    """Write an object of the archive to a file, whole or not at all, as MinIO's client does; give its size."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{uuid4().hex}.part.exodus")
    try:
        with part.open("wb") as file:
            gate().guard.fetch(key, file)
            size = file.tell()
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return size


@cache
def gate() -> Gate:
    """Give the gate of this process; it is opened when it is first needed."""
    return Gate()


@cache
def _selected() -> tuple[Bucket | None, re.Pattern[str]]:
    found = settings.load(None, os.environ)
    where = found.store.location
    if not isinstance(where, Bucket):
        _log.warning("[store] url is %s, and no bucket: of what is stored by MinIO's client nothing is guarded", where)
    return (where if isinstance(where, Bucket) else None), found.selection().pattern


def guarded_key(bucket: str, name: str) -> str | None:
    """Give the key that the guard has for an object; None where that is none of those it moves.

    While its settings are wrong whatever is stored may be one.
    """
    try:
        where, pattern = _selected()
    except ExodusError:
        return name
    if where is None or bucket != where.name or not name.startswith(where.prefix):
        return None
    key = name.removeprefix(where.prefix)
    return key if pattern.search(key) else None

"""What describes a copy in the archive, and how it is read: whoever wrote it, it is a whole one or it is none."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from exodus_common.terminal import printable
from exodus_storage_guard.errors import StoreFailed
from exodus_storage_guard.instants import aware
from exodus_storage_guard.model import MOST_BYTES, StoredObject

T = TypeVar("T")
MOST_MANIFEST_BYTES = 1024 * 1024
_SHA256 = re.compile("[0-9a-f]{64}")
_SHOWN = 120


class ManifestUnreadable(StoreFailed):
    """Say that what lies beside a copy is no manifest."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Describe an archived object; its fields are those of CONTRACT.md."""

    key: str
    bytes: int
    sha256: str
    etag: str
    content_type: str
    metadata: Mapping[str, str]
    last_modified: datetime
    archived_at: datetime
    store: str

    @property
    def stored(self) -> StoredObject:
        """Give the object as it was in the store."""
        return StoredObject(self.key, self.bytes, self.etag, self.last_modified, self.content_type, self.metadata)


def parsed(content: bytes, where: str) -> Manifest:
    """Read a manifest; raise `ManifestUnreadable`, which names it, for whatever is none."""
    try:
        if len(content) > MOST_MANIFEST_BYTES:
            raise ValueError(f"it has {len(content)} bytes")
        found = json.loads(content)
        if not isinstance(found, dict):
            raise ValueError("it is no object")
        return _manifest(found)
    except (ValueError, OverflowError, RecursionError) as error:
        raise ManifestUnreadable(f"{where} is no manifest: {printable(str(error))[:_SHOWN]}") from error


def _manifest(found: dict[str, object]) -> Manifest:
    return Manifest(
        _key(found),
        _bytes(found),
        _sha256(found),
        _text(found, "etag"),
        _text(found, "content_type"),
        _metadata(found),
        _at(found, "last_modified"),
        _at(found, "archived_at"),
        _text(found, "store"),
    )


def _field(found: dict[str, object], name: str, kind: type[T]) -> T:
    value = found.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"its {name} is {value!r}" if name in found else f"it has no {name}")
    return value


def _key(found: dict[str, object]) -> str:
    key = _field(found, "key", str)
    if not os.fsencode(key):
        raise ValueError("its key is empty")
    return key


def _bytes(found: dict[str, object]) -> int:
    size = _field(found, "bytes", int)
    if not 0 <= size <= MOST_BYTES:
        raise ValueError(f"its bytes are {size}")
    return size


def _sha256(found: dict[str, object]) -> str:
    sha256 = _field(found, "sha256", str)
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"its sha256 is {sha256!r}")
    return sha256


def _text(found: dict[str, object], name: str) -> str:
    return _storable(_field(found, name, str), name)


def _metadata(found: dict[str, object]) -> dict[str, str]:
    metadata = _field(found, "metadata", dict)
    return {_storable(name, "metadata"): _text(metadata, name) for name in metadata}


def _storable(value: str, name: str) -> str:
    """Refuse what no database and no store takes as text."""
    value.encode("utf-8")
    if "\0" in value:
        raise ValueError(f"its {name} has a NUL")
    return value


def _at(found: dict[str, object], name: str) -> datetime:
    return aware(_field(found, name, str)).astimezone(UTC)

"""What lies beside a copy is a manifest, whole, or none: whoever wrote it there."""

import json
import os
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_common.render import json_text
from exodus_storage_guard.instants import datetime_of, instant
from exodus_storage_guard.tiering.manifests import MOST_MANIFEST_BYTES, Manifest, ManifestUnreadable, parsed

AT = datetime(2026, 1, 1, 12, 30, 15, tzinfo=UTC)
GOOD = Manifest("key\udcff", 7, "ab" * 32, "etag", "text/plain", {"handle": "\u00fc"}, AT, AT, "/srv/store")
FIELDS: dict[str, Any] = json.loads(json_text(GOOD))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a\0\ud800\udcff", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a\0", max_size=2), inner, max_size=3),
    max_leaves=8,
)
TIMES = st.datetimes().map(str) | st.sampled_from(
    ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01", "2026-W01-1T00Z", "24:00"]
)


def usable(content: bytes) -> bool:
    """Tell whether this is a manifest; whatever is must do wherever one is used."""
    found = problem = None
    try:
        found = parsed(content, "archive: x.manifest.json")
    except ManifestUnreadable as error:
        problem = str(error)
    if found is None:
        assert problem is not None
        assert problem.startswith("archive: x.manifest.json is no manifest: ")
        assert problem.isprintable()
        assert len(problem) < 200
        return False
    os.fsencode(found.key)
    for at in (found.last_modified, found.archived_at):
        assert datetime_of(instant(at)) == at
    assert 0 <= found.bytes < 2**63
    for text in (found.etag, found.content_type, found.store, *found.metadata, *found.metadata.values()):
        text.encode("utf-8")
    return True


def test_what_is_written_is_read() -> None:
    assert parsed(json_text(GOOD).encode("ascii"), "it") == GOOD


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\0" * 300,
        b"\xff\xfe{}",
        b"[" * 200_000,
        b'{"bytes": ' + b"9" * 5000 + b"}",
        json_text(GOOD).encode("ascii")[:-20],
        json_text(GOOD).encode("ascii") + b" " * MOST_MANIFEST_BYTES,
    ],
    ids=["empty", "object", "list", "null", "zeros", "utf-16", "deep", "digits", "cut", "large"],
)
def test_what_a_power_cut_or_a_neighbour_leaves_is_none(content: bytes) -> None:
    assert not usable(content)


NO_TEXTS: list[object] = [None, 7, "\0", "\ud800"]
SPOILED: dict[str, list[object]] = {
    "bytes": [-1, 1.5, True, "7", 2**63, 1e999, None],
    "sha256": ["", "ab", "AB" * 32, "xy" * 32, 7, "ab" * 32 + "\n"],
    "key": ["", 7, None, ["k"], "\ud800"],
    "metadata": [[], "x", {"a": 1}, {"a": "\0"}, {"a": "\ud800"}],
    "last_modified": ["", "yesterday", "2026-01-01T00:00:00", 0, "0001-01-01T00:00:00+01:00"],
    "archived_at": ["9999-12-31T23:59:59-01:00", None],
    "etag": NO_TEXTS,
    "content_type": NO_TEXTS,
    "store": NO_TEXTS,
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in SPOILED.items() for value in values])
def test_a_field_that_is_none_of_its_kind_makes_it_none(name: str, value: object) -> None:
    assert usable(json.dumps(FIELDS).encode())
    assert not usable(json.dumps(FIELDS | {name: value}).encode())
    assert not usable(json.dumps({key: FIELDS[key] for key in FIELDS if key != name}).encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_none(content: bytes) -> None:
    assert not usable(content)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), JSON | TIMES, max_size=4))
def test_any_json_is_a_manifest_or_none(spoiled: dict[str, object]) -> None:
    usable(json.dumps(FIELDS | spoiled).encode())

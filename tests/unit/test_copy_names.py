"""How keys are called in an archive: each by a name of its own that stays in its folder and fits."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_storage_guard.tiering.copy_names import (
    MANIFEST,
    aside_name,
    copy_name,
    copy_names,
    is_ours,
    key_of,
    manifest_name,
    may_be_of,
    name_before,
)

SHA256 = st.text("0123456789abcdef", min_size=64, max_size=64) | st.sampled_from(["0" * 64, "0" * 63 + "1"])
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300) | st.text("./%~a\n\0", max_size=12)


def test_an_apks_key_is_its_name() -> None:
    key = "x" * 60 + "_org.example.app.apk"

    assert copy_name(key) == key
    assert manifest_name(copy_name(key)) == key + ".manifest.json"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("../etc/passwd", "%2E%2E/etc/passwd"),
        ("/absolute", "%/absolute"),
        ("a//b", "a/%/b"),
        ("line\nfeed\0", "line%0Afeed%00"),
        ("per%cent", "per%25cent"),
        (".exodus-storage-guard.json", "%2Eexodus-storage-guard.json"),
        ("other.apk.manifest.json", "other.apk%2Emanifest.json"),
        ("x.apk~0123456789ab", "x.apk%7E0123456789ab"),
        ("x.apk~" + "0" * 64, "x.apk%7E" + "0" * 64),
        ("x.apk~0123456789a", "x.apk~0123456789a"),
    ],
)
def test_what_would_be_mistaken_is_written_otherwise(key: str, name: str) -> None:
    assert copy_name(key) == name


@given(KEYS)
def test_every_name_fits_and_stays_in_its_folder(key: str) -> None:
    for segment in copy_name(key).split("/"):
        assert segment not in ("", ".", "..")
        assert len(os.fsencode(segment)) + len(MANIFEST) + 13 <= 255
        assert "\0" not in segment
        assert not segment.endswith(MANIFEST)


@given(KEYS, KEYS)
def test_no_two_keys_share_a_name(one: str, other: str) -> None:
    assert (copy_name(one) == copy_name(other)) == (one == other)


def test_long_keys_that_begin_alike_are_told_apart() -> None:
    assert copy_name("x" * 1023 + "a") != copy_name("x" * 1023 + "b")


@pytest.mark.parametrize(
    "key", ["plain.apk", "a/b", "per%20cent", ".exodus-odd", "line\nfeed", "x.manifest.json", "a\udcff"]
)
def test_the_key_of_a_copy_is_told_from_its_name(key: str) -> None:
    assert key_of(copy_name(key)) == key


@pytest.mark.parametrize("name", ["50%", "a//b", "%41", "x" * 300])
def test_a_name_that_no_copy_has_is_no_keys(name: str) -> None:
    assert key_of(name) is None


def test_a_key_that_is_not_utf_8_has_a_name_that_every_archive_can_hold() -> None:
    assert copy_name("\udcffx%") == "%FFx%25"


@st.composite
def near(draw: st.DrawFn) -> str:
    """Give a key that is called as a copy of another one is, or was."""
    key, sha256 = draw(KEYS), draw(SHA256)
    name = draw(st.sampled_from(copy_names(key, sha256)))
    return draw(st.sampled_from([key, name, manifest_name(name), aside_name(name), copy_name(name)]))


@given(near(), SHA256, near(), SHA256)
def test_no_two_keys_share_any_name_and_no_two_contents_the_last(one: str, first: str, other: str, second: str) -> None:
    names, others = copy_names(one, first), copy_names(other, second)
    if one != other:
        assert not set(names) & set(others)
    assert (names[-1] == others[-1]) == ((one, first) == (other, second))
    assert len(set(names)) == len(names)
    written = {*names, *map(manifest_name, names)}
    assert len(written) == 2 * len(names)
    if one != other:
        assert not written & set(map(manifest_name, others))


@given(KEYS, SHA256, SHA256, st.integers(0, 2))
def test_a_key_that_is_called_as_a_copy_of_another_is_has_names_of_its_own(
    key: str, sha256: str, other: str, which: int
) -> None:
    called_alike = copy_names(key, sha256)[which]
    if called_alike != key:
        assert not set(copy_names(key, sha256)) & set(copy_names(called_alike, other))


@given(near(), SHA256)
def test_a_copy_is_told_to_be_of_its_key_by_any_of_its_names(key: str, sha256: str) -> None:
    for name in copy_names(key, sha256):
        assert may_be_of(name, key)
        assert may_be_of(name.upper(), key)
        assert may_be_of(name_before(aside_name(name)), key)
        assert is_ours(aside_name(name))
        assert not is_ours(name)
        for segment in (name, aside_name(name)):
            assert all(len(os.fsencode(part)) + len(MANIFEST) <= 255 for part in segment.split("/"))


def test_a_copy_that_was_named_before_tildes_were_escaped_is_found() -> None:
    assert may_be_of("x.apk~0123456789ab", "x.apk~0123456789ab")
    assert may_be_of("x.apk~0123456789ab~ba9876543210", "x.apk~0123456789ab")
    assert not may_be_of("x.apk~0123456789abc", "x.apk")
    assert not may_be_of("y.apk", "x.apk")
    assert not may_be_of("x" * 100, "x" * 120)

"""How keys are called in an archive: each by a name of its own that stays in its folder and fits."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exodus_storage_guard.tiering.copy_names import MANIFEST, copy_name, key_of, manifest_name

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

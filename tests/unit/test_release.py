"""What `make release` writes, and what it refuses to make a release of."""

import hashlib
from datetime import UTC, date, datetime
from types import ModuleType

import pytest

from tests.parts.command import ROOT
from tests.parts.scripts import loaded

DAY = date(2027, 1, 9)
WHEN = datetime(2027, 1, 9, 8, 5, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def release() -> ModuleType:
    return loaded("packaging/release")


CHANGES = """# Changelog

## [Unreleased]

### Changed

- What is new.

## [1.1.0] - 2026-12-01

- What was new.
"""


def test_what_was_not_released_is_that_of_the_version_and_nothing_is_left_under_unreleased(release: ModuleType) -> None:
    new = release.changes_released(CHANGES, "1.2.0", DAY)

    assert new == CHANGES.replace("## [Unreleased]\n", "## [Unreleased]\n\n## [1.2.0] - 2027-01-09\n")
    with pytest.raises(release.Refused, match="nothing under"):
        release.changes_released(new, "1.3.0", DAY)


def test_links_compare_the_version_with_the_one_before_and_what_follows_with_the_version(release: ModuleType) -> None:
    old = "[Unreleased]: https://forge.example/p/compare/v1.1.0...HEAD\n[1.1.0]: https://forge.example/p/releases/v1.1.0\n"

    new = release.changes_released(f"{CHANGES}\n{old}", "1.2.0", DAY)

    assert new.split("\n\n")[-1].splitlines() == [
        "[Unreleased]: https://forge.example/p/compare/v1.2.0...HEAD",
        "[1.2.0]: https://forge.example/p/compare/v1.1.0...v1.2.0",
        "[1.1.0]: https://forge.example/p/releases/v1.1.0",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "# Changelog\n",
        "## [Unreleased]\n",
        "## [Unreleased]\n\n### Changed\n\n- \n",
        "## [Unreleased]\n\n### Changed\n\n## [1.1.0] - 2026-12-01\n\n- What was new.\n",
        "## [Unreleased]\n\n[1.1.0]: https://forge.example/\n- no entry, below the links\n",
    ],
)
def test_a_list_without_anything_new_is_no_release(release: ModuleType, text: str) -> None:
    with pytest.raises(release.Refused, match=r"nothing under \[Unreleased\]"):
        release.changes_released(text, "1.2.0", DAY)


def test_the_first_version_takes_all_there_is(release: ModuleType) -> None:
    new = release.changes_released("# Changelog\n\n## [Unreleased]\n\n- One.\n- Two.\n", "0.1.0", DAY)

    assert new == "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2027-01-09\n\n- One.\n- Two.\n"


ENTRY = """exodus-certbot (1.1.0) unstable; urgency=medium

  * Something.

 -- The authors <authors@forge.example>  Tue, 01 Dec 2026 10:00:00 +0000
"""


def test_an_entry_of_debian_s_is_put_on_top_and_signed_as_the_one_before(release: ModuleType) -> None:
    new = release.debian_released(ENTRY, "1.2.0", WHEN)

    first, rest = new[: -len(ENTRY)], new[-len(ENTRY) :]
    assert rest == ENTRY
    assert first.startswith("exodus-certbot (1.2.0) unstable; urgency=medium\n\n  * ")
    assert first.endswith("\n\n -- The authors <authors@forge.example>  Sat, 09 Jan 2027 08:05:00 +0000\n\n")


def test_an_entry_that_is_there_already_is_kept_and_dated_anew(release: ModuleType) -> None:
    new = release.debian_released(ENTRY, "1.1.0", WHEN)

    assert new == ENTRY.replace("Tue, 01 Dec 2026 10:00:00 +0000", "Sat, 09 Jan 2027 08:05:00 +0000")


def test_a_list_of_debian_s_without_an_entry_is_refused(release: ModuleType) -> None:
    with pytest.raises(release.Refused, match="has no entry"):
        release.debian_released("", "1.2.0", WHEN)


def test_the_version_is_set_in_its_one_place(release: ModuleType) -> None:
    text = (ROOT / release.IN_ONE_PLACE).read_text()

    new = release.version_set(text, "98.7.6")

    assert [line for line in new.splitlines() if line not in text.splitlines()] == ['__version__ = "98.7.6"']


@pytest.mark.parametrize("version", ["", "1", "1.2", "1.2.3.4", "v1.2.3", "1.2.3rc1", "1.2.03", "1.2.3\n", "1.2.³"])
def test_what_is_no_version_is_refused(release: ModuleType, version: str) -> None:
    with pytest.raises(release.Refused, match="no version of three numbers"):
        release.numbers(version)


@pytest.mark.parametrize(
    ("version", "ours", "tags"),
    [
        ("1.2.0", "1.1.0", ["v1.0.0", "v1.1.0"]),
        ("1.10.0", "1.9.0", ["v1.9.0"]),
        ("0.1.0", "0.1.0", []),  # the first, of which the tree is already
        ("1.2.0", "1.2.0", ["v1.1.0", "v9.bak", "something"]),
    ],
)
def test_a_newer_version_is_released(release: ModuleType, version: str, ours: str, tags: list[str]) -> None:
    release.refuse_what_is_not_newer(version, ours, tags)


@pytest.mark.parametrize(
    ("version", "ours", "tags"),
    [
        ("1.1.0", "1.1.0", ["v1.1.0"]),
        ("1.0.9", "1.1.0", ["v1.0.0", "v1.1.0"]),
        ("1.9.0", "1.10.0", ["v1.10.0", "v1.9.1"]),
        ("0.0.9", "0.1.0", []),
    ],
)
def test_a_version_that_is_not_newer_is_refused(release: ModuleType, version: str, ours: str, tags: list[str]) -> None:
    with pytest.raises(release.Refused, match=r"is not newer than|is older than"):
        release.refuse_what_is_not_newer(version, ours, tags)


def test_sums_are_as_sha256sum_reads_them(release: ModuleType) -> None:
    one, two = hashlib.sha256(b"one").hexdigest(), hashlib.sha256(b"two").hexdigest()

    assert release.sums({"trixie/b.deb": b"two", "a.whl": b"one"}) == f"{one}  a.whl\n{two}  trixie/b.deb\n"

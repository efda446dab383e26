"""A tired volunteer finds the page: all are reachable from a short README, and what messages name is there."""

import re

from tests.parts.command import ROOT
from tests.parts.documented import page, section, titles

SOURCES = ("exodus_certbot", "hooks")
_MOST_LINES = 110
_NAMED = re.compile(r"\b(docs/[\w/-]+\.md|README)\b(?:: ([\w ]+)\))?")


def linked_from(name: str) -> set[str]:
    """Give the pages that a page leads to, as paths in the checkout."""
    return {str(((ROOT / name).parent / target).resolve().relative_to(ROOT)) for target in targets(page(name))}


def targets(text: str) -> list[str]:
    """Give the pages that a text has links to, without the places in them."""
    return re.findall(r"\]\(([^)#:\s]+\.md)[^)]*\)", text)


def named(text: str) -> list[tuple[str, str]]:
    """Give the pages that a text names to an operator, each with the title it names, or none."""
    return _NAMED.findall(text)


def missing(name: str, title: str) -> bool:
    """Tell whether there is no such page, or no such title on it."""
    if not (ROOT / name).is_file():
        return True
    return bool(title) and title.lower() not in [said.lower() for _, _, said in titles(page(name))]


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    pages = {f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")}

    assert len(page("README.md").splitlines()) <= _MOST_LINES
    assert len(pages) > 10
    assert pages - linked_from("README.md") == set()


def test_a_link_leads_to_a_page_and_no_other_text_does() -> None:
    text = "[a](docs/one.md), [b](docs/two.md#here), docs/three.md, [c](https://example.org/four.md)"

    assert targets(text) == ["docs/one.md", "docs/two.md"]


def test_every_page_that_a_message_names_is_there() -> None:
    files = [file for source in SOURCES for file in (ROOT / source).rglob("*.py")]
    found = [(str(file.relative_to(ROOT)), *one) for file in files for one in named(file.read_text())]

    assert {title for _, _, title in found} >= {"the plugin", "the timer"}
    assert [one for one in found if missing(*one[1:])] == []


def test_the_pages_that_messages_name_are_in_a_package() -> None:
    assert "docs" in page("packaging/debian/exodus-common.docs").split()


def test_a_page_or_a_title_that_there_is_not_is_found() -> None:
    assert named("install it (README: the plugin), or") == [("README", "the plugin")]
    assert missing("README", "the plugin")
    assert missing("docs/install.md", "the rocket")
    assert not missing("docs/install.md", "the plugin")


def test_a_section_ends_at_the_next_title_that_is_no_lower_and_at_no_comment_of_a_block() -> None:
    text = "# a\n## b\n1\n```sh\n# c\n```\n### d\n2\n## e\n3\n"

    assert section(text, "b") == "1\n```sh\n# c\n```\n### d\n2\n"
    assert section(text, "e") == "3\n"
    assert "c" not in [said for _, _, said in titles(text)]

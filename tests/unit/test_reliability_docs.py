"""docs/reliability.md names tests that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def named(text: str) -> set[str]:
    return set(re.findall(r"`(test_\w+)`", text))


def defined() -> set[str]:
    files = (ROOT / "tests").rglob("test_*.py")
    return {name for file in files for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)}


def test_every_promise_is_held_by_a_test_that_there_is() -> None:
    text = (ROOT / "docs/reliability.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| what goes wrong")]

    assert len(rows) > 20
    assert [row for row in rows if not named(row)] == []
    assert named(text) - defined() == set()


def test_a_test_that_there_is_not_is_found() -> None:
    assert named("held by `test_that_nobody_wrote`") - defined() == {"test_that_nobody_wrote"}

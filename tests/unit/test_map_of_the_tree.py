"""The map in CONTRIBUTING.md names what is there, and every room is on it."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_NAME = re.compile(r"(?<!\S)[\w-]+(?:[./][\w-]+)*(?:\.\w+|/)(?=[,;:]?(?:\s|$))")
_HAVE_ROOMS = ("exodus_certbot", "hooks/exodus_storage_guard")


def map_of(text: str) -> list[str]:
    """Give the paths that a map names: what is indented lies in the folder above it."""
    paths, above = [], ""
    for line in text.splitlines():
        names = _NAME.findall(line)
        inside = line.startswith(" ")
        paths += [above + name if inside else name for name in names]
        if names and not inside:
            above = names[0]
    return paths


def missing(root: Path, text: str) -> list[str]:
    """Give what a map names and a tree has not."""
    return [path for path in map_of(text) if not (root / path).exists()]


@pytest.fixture
def text() -> str:
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    return contributing.split("```text\n")[1].split("```")[0]


def test_the_map_names_nothing_that_is_not_there(text: str) -> None:
    assert len(map_of(text)) > 40
    assert missing(ROOT, text) == []


def test_a_name_that_is_not_there_is_found(text: str) -> None:
    assert missing(ROOT, text.replace("plugin.py", "plug.py")) == ["exodus_certbot/plug.py"]
    assert missing(ROOT, text + "\nexodus_nowhere/  something\n") == ["exodus_nowhere/"]
    assert missing(ROOT, text.replace("adopt.py", "adopt.py, gone.py")) == ["exodus_certbot/gone.py"]
    assert missing(ROOT, text + "\n  state/4.sql\n") != []


def test_every_room_is_on_the_map(text: str) -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [Path(name) for name in listed.stdout.split()]
    ours = [one for one in files if one.parts[0] in ("exodus_certbot", "hooks")]
    shown = {path.rstrip("/") for path in map_of(text)}
    folders = {str(one.parent) for one in ours}
    modules = {str(one) for one in ours if str(one.parent) in _HAVE_ROOMS and "/__" not in str(one)}

    assert len(ours) > 100
    assert sorted((folders | modules) - shown) == []

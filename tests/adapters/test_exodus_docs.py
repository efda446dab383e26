"""The changes that docs/exodus.md shows: made to a platform of the same shape, and counted."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts.example import UPLOAD, changed_platform, documented_location

MOST_LINES = {False: 10, True: 16}


@pytest.mark.parametrize("uploads", [False, True])
def test_the_platform_changes_few_lines(uploads: bool, tmp_path: Path) -> None:
    assert 0 < changed_platform(tmp_path / "platform", uploads=uploads) <= MOST_LINES[uploads]


@pytest.mark.parametrize("uploads", [False, True])
def test_no_import_is_left_unused(uploads: bool, tmp_path: Path) -> None:
    """Flake8, as that platform's own checks have it: F is Pyflakes, whose rules ruff has."""
    changed_platform(tmp_path / "platform", uploads=uploads)
    argv = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F,E4,E7,E9", "--exclude", "settings"]
    done = subprocess.run([*argv, str(tmp_path / "platform")], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout


def test_nginx_asks_for_the_page_that_takes_files_and_for_no_other() -> None:
    assert documented_location() in (UPLOAD, UPLOAD.rstrip("/"))

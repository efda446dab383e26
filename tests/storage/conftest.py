"""Fixtures of the storage half."""

from pathlib import Path

import pytest

from tests.parts.guard import Guarded


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    """Give an empty store of 100 MiB by budget, an archive, and settings."""
    return Guarded(tmp_path).write()

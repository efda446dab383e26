"""Fixtures of the storage half."""

from pathlib import Path

import pytest

from tests.parts.guard import Guarded
from tests.parts.postgresql import Postgresql


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.full)])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Guarded:
    """Give an empty store of 100 MiB by budget, an archive, a catalogue of each kind, and settings."""
    if request.param == "sqlite":
        return Guarded(tmp_path).write()
    server: Postgresql = request.getfixturevalue("postgresql")
    return Guarded(tmp_path, server.database()).write()

"""Marks that several files of tests share; apart from the parts that `make demo` uses, which has no pytest."""

import pytest

on_sqlite = pytest.mark.parametrize("guarded", ["sqlite"], indirect=True)
"""Marks a test of what only a catalogue in a file is or has."""

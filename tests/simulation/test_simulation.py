"""A thousand worlds, each far worse than ours, and nothing that was accepted is lost in any of them.

`make simulate SEEDS=…` plays as many as you like, and makes a wrong one short.
"""

import pytest

from tests.simulation.simulate import parts, wrong_of


@pytest.mark.parametrize("seeds", parts(0, 1000), ids=str)
def test_nothing_is_lost_over_committed_or_stuck(seeds: range) -> None:
    assert wrong_of(seeds) == []

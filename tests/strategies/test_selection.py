"""Choosing by what the supernet loses: ties are broken as the authors' code of DARTS-PT breaks them."""

import numpy as np
import pytest

from search_spaces.genotype import CONCAT
from search_spaces.registry import default
from strategies.darts.parts.selection import Selection
from strategies.interfaces import SearchContext


@pytest.fixture
def decided():
    def decide(score):
        selection, rng = Selection(SearchContext(), default()), np.random.default_rng(0)
        for _ in range(14 + 3):
            selection.decide("normal", rng, lambda kind, without: score(without.nonzero().tolist()))
        return selection

    return decide


def test_of_equal_operations_the_first_stays_and_of_equal_inputs_the_last_goes(decided):
    selection = decided(lambda without: 50.0)
    assert selection.operations["normal"].tolist() == [1] * 14
    kept = [states.logical_not().tolist() for states in selection.removed["normal"].split(CONCAT)]
    assert kept == [[True, True] + [False] * (node - 2) for node in CONCAT]


def test_keeps_what_is_missed_most(decided):
    """Without the fifth candidate the accuracy is lowest; without the first edges of a node it is highest."""
    selection = decided(lambda without: -float(without[0][1] == 5) if len(without) == 1 else -without[0][0])
    assert selection.operations["normal"].tolist() == [5] * 14
    kept = [states.logical_not().tolist() for states in selection.removed["normal"].split(CONCAT)]
    assert kept == [[False] * (node - 2) + [True, True] for node in CONCAT]

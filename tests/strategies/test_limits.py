"""Limits on several sizes at once, which every strategy keeps."""

import numpy as np
import pytest

from search_spaces import registry
from search_spaces.sizes import part_parameters
from strategies.interfaces import Limit, SearchContext
from tests.strategies.judge import run

SUPERNETS = [
    "darts",
    "random_ws:candidates=6,finalists=2,batches=2",
    "enas:controller_steps=1,aggregate=2,candidates=3,hidden=8",
    "evolution:evaluate=supernet,selection=nsga2,population=4,offspring=2,generations=1",
    pytest.param("darts-pt:projection_epochs=1", marks=pytest.mark.slow),
]
CANDIDATES = [
    "random:candidates=8",
    "evolution:population=4,tournament=2,candidates=8",
    "local_search:init=3,candidates=8",
]


@pytest.fixture(scope="module")
def limits():
    """Limits on parameters and on a made-up latency that some 30% of all cells keep."""
    space, setting, rng = registry.default(), (8, 6, 10, "cifar", 16), np.random.default_rng(0)
    times = {}

    def time(part):
        return times.setdefault(part.name, int(rng.integers(1, 100)))

    params = space.costs(*setting, measure=part_parameters)
    latency = space.costs(*setting, measure=time)
    cells = [space.random(rng) for _ in range(200)]
    return tuple(
        Limit(name, size, int(np.quantile([size(cell) for cell in cells], 0.5)), unit)
        for name, size, unit in (("max_params", params, "parameters"), ("max_latency", latency, "ns"))
    )


@pytest.mark.parametrize("text", SUPERNETS)
def test_shared_weights_keep_all_limits(supernet, costs, limits, text):
    most = costs.base * 2
    context = SearchContext(seed=1, mult_adds=costs, max_mult_adds=most, other_limits=limits)
    assert [limit.name for limit in context.limits] == ["max_mult_adds", "max_params", "max_latency"]
    found = supernet(text, context, epochs=1).result.genotype
    assert costs(found) <= most and all(limit.fits(found) for limit in limits) and context.fits(found)


@pytest.mark.parametrize("text", CANDIDATES)
def test_candidates_keep_all_limits(costs, limits, text, records):
    context = SearchContext(seed=1, mult_adds=costs, max_mult_adds=costs.base * 2, other_limits=limits)
    found = run(text, context, records)
    assert all(context.fits(found.proposer.architecture(each.code)) for each in found.history)
    assert len(found.history) == 8

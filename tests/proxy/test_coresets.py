"""Coresets of the literature against slow computations by their definitions."""

import numpy as np
import pytest

from nastransfer_nni.data import hashing
from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.kinds.coverage import budgets
from search_spaces.errors import UserError
from tests.proxy.cases import pool_of

POOL = pool_of([60, 90, 150])


def test_moderate_images_are_those_at_the_median_distance():
    chosen = set(spec.parse("moderate:0.2").choose(POOL, seed=0).tolist())
    features = POOL.column(None, "features")
    expected = set()
    for label, number in enumerate((12, 18, 30)):
        rows = [row for row in range(len(POOL)) if POOL.labels[row] == label]
        center = sum(features[row] for row in rows) / len(rows)
        distance = {row: sum((features[row] - center) ** 2) ** 0.5 for row in rows}
        middle = sorted(distance.values())
        median = (middle[len(rows) // 2 - 1] + middle[len(rows) // 2]) / 2
        expected |= set(sorted(rows, key=lambda row: abs(distance[row] - median))[:number])
    assert chosen == expected


def by_algorithm(hardness, keys, number, *, cutoff, strata, seed):
    """Algorithm 1 of Zheng et al. as it is written: the smallest stratum left is served next."""
    kept = sorted(range(len(hardness)), key=lambda row: hardness[row])
    kept = kept[: len(kept) - int(cutoff * len(kept))]
    low, high = hardness[kept[0]], hardness[kept[-1]]
    bins = [[] for _ in range(strata)]
    for row in kept:
        bins[min(int((hardness[row] - low) / ((high - low) / strata)), strata - 1)].append(row)
    rank = hashing.seeded(keys, seed, "images")
    chosen = set()
    while bins:
        smallest = min(bins, key=len)
        take = min(len(smallest), number // len(bins))
        chosen |= set(sorted(smallest, key=lambda row: rank[row])[:take])
        number -= take
        bins.remove(smallest)
    return chosen


@pytest.mark.parametrize(
    ("number", "cutoff", "strata", "by"),
    [
        (30, 0.3, 50, "loss"),
        (100, 0.1, 50, "margin"),
        (217, 0.25, 7, "entropy"),
        (270, 0.1, 50, "loss"),
        (2, 0, 1, "loss"),
    ],
)
def test_coverage_follows_the_published_algorithm(number, cutoff, strata, by):
    text = f"coverage:{number},by={by},cutoff={cutoff},strata={strata}"
    chosen = spec.parse(text).choose(POOL, seed=3)
    hardness = POOL.column(None, by)
    expected = by_algorithm(hardness, POOL.keys, number, cutoff=cutoff, strata=strata, seed=3)
    assert len(chosen) == number and set(chosen.tolist()) == expected
    kept = len(POOL) - int(cutoff * len(POOL))
    assert hardness[chosen].max() <= np.sort(hardness)[kept - 1], "none of the hardest"


def test_budgets_use_all_that_small_strata_lack():
    assert budgets(np.array([3, 100, 0, 50]), 60).tolist() == [3, 29, 0, 28]
    assert budgets(np.array([5, 5, 5]), 15).tolist() == [5, 5, 5]


def test_a_cutoff_that_leaves_too_few_is_refused():
    with pytest.raises(UserError, match=r"asks for 280 images, cutoff=0.1 leaves 270 of 300"):
        spec.parse("coverage:280").choose(POOL, seed=0)


def test_equal_scores_are_one_stratum():
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Flat(type(POOL)):
        def column(self, source, name):
            return np.zeros(len(self))

    flat = Flat(POOL.classes, POOL.labels, POOL.keys)
    assert len(spec.parse("coverage:90").choose(flat, seed=0)) == 90

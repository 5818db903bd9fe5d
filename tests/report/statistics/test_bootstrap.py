import random

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.bootstrap import arm
from tests.report.statistics.studies import study

RAGGED = [[1, 3], [2], [1, 1, 2]]
"""Trainings of each search of each proxy draw."""


def ragged(seed=0, shape=RAGGED):
    rng = np.random.default_rng(seed)
    rows = [
        {"target": "t", "strategy": "a", "proxy": "p", "proxy_seed": d, "search_seed": s, "train_seed": t}
        for d, searches in enumerate(shape)
        for s, trainings in enumerate(searches)
        for t in range(trainings)
    ]
    return reading.check(pd.DataFrame(rows).assign(top1=90 + rng.normal(size=len(rows))))[0]


def tree(rows):
    """Accuracies of the trainings, as a list per search in a list per draw."""
    return [
        [rows_of_search["top1"].to_numpy() for _, rows_of_search in rows_of_draw.groupby("search_seed")]
        for _, rows_of_draw in rows.groupby("proxy_seed")
    ]


def nested_mean(draws):
    return np.mean([np.mean([np.mean(trainings) for trainings in searches]) for searches in draws])


def mean(values):
    return sum(values) / len(values)


def slow_resample(draws, rng):
    """Mean of one resample of nested lists, with the same number of draws, searches and trainings."""

    def again(items):
        return rng.choices(items, k=len(items))

    return mean(
        [mean([mean(again(trainings)) for trainings in again(searches)]) for searches in again(draws)]
    )


@pytest.mark.parametrize("shape", [RAGGED, [[2, 2], [2, 2]], [[1]] * 5])
def test_resampling_equals_the_obvious_loop(shape):
    rows = ragged(shape=shape)
    fast = arm(rows, "top1", 20_000, 0)
    nested = [[list(trainings) for trainings in searches] for searches in tree(rows)]
    rng = random.Random(1)
    slow = np.array([slow_resample(nested, rng) for _ in range(10_000)])
    slow = (slow - slow.mean()) / slow.std()
    assert stats.wasserstein_distance(fast.shapes, slow) < 0.04


def test_the_mean_and_its_error_are_those_of_the_outermost_units():
    rows = ragged()
    means = [nested_mean([searches]) for searches in tree(rows)]
    found = arm(rows, "top1", 1000, 0)
    assert found.mean == pytest.approx(np.mean(means), rel=1e-12)
    assert found.se == pytest.approx(np.std(means, ddof=1) / np.sqrt(3), rel=1e-12)
    assert (found.n, found.searches, found.units, found.level) == (10, 6, 3, "proxy draw")


@pytest.mark.parametrize(
    ("shape", "units", "level"),
    [
        ([[1, 2, 1]], 3, "search"),
        ([[4]], 4, "training"),
        ([[1]], 1, "training"),
        ([[2], [2]], 2, "proxy draw"),
    ],
)
def test_units_are_the_outermost_level_with_several_members(shape, units, level):
    found = arm(ragged(shape=shape), "top1", 1000, 0)
    assert (found.units, found.level) == (units, level)
    assert len(found.replicates) == (1000 if units > 1 else 0)


def test_spread_of_the_replicates_is_students():
    rows = ragged(shape=[[1] * 8])
    found = arm(rows, "top1", 200_000, 0)
    # a scaled Student's t with n degrees of freedom has variance n / (n - 2)
    assert found.replicates.std() == pytest.approx(found.se * np.sqrt(8 / 6), rel=0.03)


def test_probabilities_equal_counted_replicates_and_resolve_smaller_ones():
    found = arm(ragged(), "top1", 200_000, 0)
    limits = found.mean + 0.4 * np.random.default_rng(0).normal(size=200_000)
    assert found.probability_below(limits) == pytest.approx((found.replicates < limits).mean(), abs=3e-3)
    far = np.full(200_000, found.mean - 100 * found.se)
    assert 0 < found.probability_below(far) < 1e-4
    mirrored = 1 - found.probability_below(2 * found.mean - far)
    assert 0 < mirrored < 1e-4


def test_equal_runs_leave_doubt_only_where_the_limit_equals_them():
    rows = ragged(shape=[[1] * 8]).assign(top1=90.0)
    found = arm(rows, "top1", 1000, 0)
    assert found.se == 0
    assert [found.probability_below(np.full(1000, limit)) for limit in (89.0, 90.0, 91.0)] == [0, 0.5, 1]


def test_replicates_depend_neither_on_other_rows_nor_on_their_order():
    rows, _ = reading.check(study())
    one = rows[(rows["strategy"] == "enas") & (rows["proxy"] == "images:0.1")]
    replicates = arm(one, "top1", 1000, 0).replicates
    assert np.array_equal(replicates, arm(one.iloc[::-1], "top1", 1000, 0).replicates)
    assert not np.array_equal(replicates, arm(one, "top1", 1000, 1).replicates)


def test_strategies_on_the_same_proxy_draws_share_their_resampling():
    rows, _ = reading.check(study(deviations=(1.0, 0.01, 0.01)))
    parts = dict(list(rows[rows["proxy"] == "all"].groupby("strategy")))
    enas, nsga2 = parts["enas"], parts["nsga2"]
    other = nsga2.assign(proxy_seed=nsga2["proxy_seed"] + "x")
    shapes = [arm(part, "top1", 5000, 0).shapes for part in (enas, nsga2, other)]
    correlation = np.corrcoef(shapes)
    assert correlation[0, 1] > 0.99
    assert abs(correlation[0, 2]) < 0.1

"""Statistics of a ranking, beside independent slow ones and published figures."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from nastransfer_nni.rank.agreement import agreement, ceiling, recall, regret


def expected(values, top1, k):
    """Recall and regret as means over every order of equal values and of equal accuracies."""
    orders = list(itertools.permutations(range(len(values))))
    ranked = {order for order in orders if list(values[list(order)]) == sorted(values, reverse=True)}
    known = {order for order in orders if list(top1[list(order)]) == sorted(top1, reverse=True)}
    shares = [len({*a[:k]} & {*b[:k]}) / k for a in ranked for b in known]
    return np.mean(shares), np.mean([top1.max() - top1[order[0]] for order in ranked])


@pytest.mark.parametrize("seed", range(6))
def test_equal_values_are_ordered_at_random(seed):
    rng = np.random.default_rng(seed)
    values, top1 = rng.integers(3, size=6).astype(float), rng.integers(4, size=6).astype(float)
    slow_recall, slow_regret = expected(values, top1, 2)
    assert recall(values, top1, 2) == pytest.approx(slow_recall)
    assert regret(values, top1) == pytest.approx(slow_regret)


def test_a_perfect_and_a_reversed_evaluation():
    top1 = np.arange(40.0)
    perfect = agreement(top1, top1, ["a"] * 40, top=10, replicates=200)
    assert perfect.tau[0] == perfect.rho[0] == perfect.recall[0] == 1
    assert perfect.regret == (0, 0, 0)
    worst = agreement(-top1, top1, ["a"] * 40, top=10, replicates=200)
    assert (worst.tau[0], worst.recall[0], worst.regret[0]) == (-1, 0, 39)


def test_a_network_whose_score_is_not_finite_is_the_worst():
    top1 = np.arange(20.0)
    values = np.where(top1 < 3, -math.inf, top1)
    assert agreement(values, top1, ["a"] * 20, top=5, replicates=200).tau[0] > 0.95


def test_an_evaluation_that_is_the_same_for_all_cells_says_nothing():
    found = agreement(np.ones(10), np.arange(10.0), ["a"] * 10, top=3)
    assert all(math.isnan(value) for value in (*found.tau, *found.regret))


def test_cells_of_few_strategies_have_no_intervals():
    rng = np.random.default_rng(0)
    for count, is_known in ((1, True), (3, False), (4, True)):
        names = [f"strategy {row % count}" for row in range(40)]
        found = agreement(rng.normal(size=40), rng.normal(size=40), names, top=5, replicates=200)
        assert all(math.isnan(each[1]) != is_known for each in (found.tau, found.recall, found.regret))


def test_intervals_cover_what_they_say():
    rng = np.random.default_rng(3)
    inside = {"tau": 0, "recall": 0}
    for _ in range(60):
        true = rng.normal(size=(3000, 2)) @ [[1, 0.5], [0, math.sqrt(0.75)]]
        truth = {"tau": 1 / 3, "recall": recall(*true.T, 600)}
        found = agreement(*true[:60].T, ["a"] * 60, top=12, replicates=200)
        for name in inside:
            low, high = getattr(found, name)[1:]
            inside[name] += low <= truth[name] <= high
    assert min(inside.values()) >= 52


def test_the_ceiling_is_that_of_a_normal_reliability():
    """Kendall's tau of normal variables with correlation r is 2 / pi asin r (Kruskal, JASA 53, 1958)."""
    true = np.random.default_rng(1).normal(95, 0.2, size=400)
    top1 = true + np.random.default_rng(2).normal(0, 0.1, size=400)
    value, low, high = ceiling(top1, np.ones(400, dtype=int), 0.1, replicates=50)
    reliability = 1 - 0.01 / top1.var(ddof=1)
    assert value == pytest.approx(2 / math.pi * math.asin(math.sqrt(reliability)), abs=0.02)
    assert low < value < high
    assert ceiling(top1, np.full(400, 16), 0.1, replicates=50)[0] > value
    assert ceiling(top1, np.ones(400, dtype=int), 1.0)[0] == 0
    assert stats.kendalltau(true, top1).statistic == pytest.approx(value, abs=0.05)


def test_few_cells_and_equal_accuracies_have_no_agreement():
    few = agreement(np.arange(4.0), np.arange(4.0), ["a"] * 4, top=2, replicates=20)
    assert few.cells == 4 and np.isnan(few.tau).all() and np.isnan(few.regret).all()
    found = ceiling(np.full(6, 90.0), np.ones(6, int), 0.2, replicates=20)
    assert found[0] == 0 and np.isnan(found[1:]).all()

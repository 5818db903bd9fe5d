import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.probability import permutation_p, superiority
from nastransfer_nni.report.statistics.tails import are_heavy, is_heavy

OPTIONS = AnalysisOptions(replicates=2000)


def rows(top1, **columns):
    values = {"search_seed": [str(i) for i in range(len(top1))], "train_seed": "0", "genotype": ""}
    return pd.DataFrame({**values, "proxy_seed": "", "top1": np.asarray(top1, float)} | columns)


def normal(seed, n, shift=0.0, scale=1.0):
    return shift + scale * np.random.default_rng(seed).normal(size=n)


def test_large_arms_have_scipys_test():
    x, y = np.round(normal(0, 12, 0.5), 1), np.round(normal(1, 15, scale=2), 1)
    found = superiority(rows(x), rows(y), OPTIONS)
    assert found.test == "Brunner-Munzel"
    assert found.p_value == pytest.approx(stats.brunnermunzel(x, y).pvalue)
    wins = np.mean((x[:, None] > y) + 0.5 * (x[:, None] == y))
    assert found.probability == pytest.approx(wins)
    assert found.low < wins < found.high


def test_small_arms_have_the_studentized_permutation_test():
    x, y = normal(0, 5, 1), normal(1, 7)
    found = superiority(rows(x), rows(y), OPTIONS)

    def statistic(a, b):
        return -stats.brunnermunzel(a, b).statistic

    with np.errstate(divide="ignore", invalid="ignore"):
        expected = stats.permutation_test((x, y), statistic, permutation_type="independent")
    assert found.test == "permutation"
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.smallest_p == pytest.approx(2 / 792)


def test_drawn_permutations_agree_with_all_of_them():
    x, y = [np.array([v]) for v in normal(0, 8, 0.8)], [np.array([v]) for v in normal(1, 8)]
    every = permutation_p(x, y, AnalysisOptions(replicates=12_870))
    assert permutation_p(x, y, OPTIONS) == pytest.approx(every, abs=0.03)


def test_separated_arms_have_the_smallest_p_and_a_limit():
    found = superiority(rows(normal(0, 5, 20)), rows(normal(1, 24)), OPTIONS)
    assert (found.probability, found.high) == (1, 1)
    assert found.low == pytest.approx(0.025 ** (1 / 5))
    assert found.p_value == found.smallest_p == pytest.approx(2 / 118_755)


def test_searches_that_share_a_training_are_permuted_together():
    x = np.repeat(normal(0, 3, 2), 3)
    found = superiority(rows(x, genotype=list("aaabbbccc")), rows(normal(1, 6)), OPTIONS)
    assert found.smallest_p == pytest.approx(2 / 84)
    assert found.p_value >= found.smallest_p


def test_an_arm_without_an_error_has_no_probability():
    assert superiority(rows([90.0]), rows([89.0, 90.0]), OPTIONS) is None


def test_few_normal_arms_are_taken_for_heavy_and_a_collapse_is_seen():
    values = np.random.default_rng(0).normal(size=(1000, 8))
    assert are_heavy(values).mean() < 0.03
    assert not is_heavy(values[0])
    values[:, 0] -= 15
    assert are_heavy(values).mean() > 0.95
    assert not is_heavy(np.array([1.0, 2.0]))
    assert not is_heavy(np.full(9, 3.0))

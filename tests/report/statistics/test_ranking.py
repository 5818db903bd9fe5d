from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.improvement import compare
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.ranking import critical_differences, movements, rankings
from tests.report.statistics.studies import STRATEGIES, study

OPTIONS = AnalysisOptions(replicates=2000)


def comparisons(**options):
    return compare(reading.check(study(**options))[0], OPTIONS)


def test_probabilities_sum_to_one_and_the_best_is_first():
    for ranking in rankings(comparisons()):
        assert np.allclose(ranking.probabilities.sum(0), 1)
        assert np.allclose(ranking.probabilities.sum(1), 1)
        assert (np.diff(ranking.scores) <= 0).all()
        assert ranking.strategies[-1] == "enas"
        assert ranking.probabilities[-1, -1] > 0.95
        assert ranking.sufficient


def test_probabilities_equal_a_count_over_replicates():
    members = [each for each in comparisons() if each.proxy == "all"]
    ranking = rankings(members)[0]
    counts = np.zeros((5, 5))
    for replicate in zip(*(member.replicates for member in members), strict=True):
        for rank, index in enumerate(np.argsort(replicate)[::-1]):
            counts[ranking.strategies.index(members[index].strategy), rank] += 1
    assert np.allclose(ranking.probabilities, counts / 2000)


def test_alike_strategies_share_the_ranks():
    alike = dict.fromkeys(("a", "b"), 0.0)
    chances = [
        rankings(comparisons(seed=seed, strategies=alike))[0].probabilities[0, 0] for seed in range(30)
    ]
    assert np.mean(chances) < 0.9  # the better of two means is not the better strategy
    assert min(chances) >= 0.45


def test_without_random_cells_top1_is_ranked():
    ranking = rankings(comparisons(random_cells=0))[0]
    assert ranking.measure == "top1"
    assert ranking.scores.max() > 70


def test_agreement_of_two_proxies_equals_scipy_in_each_replicate():
    found = comparisons(deviations=(0.3, 0.4, 0.1))
    row = movements(found, OPTIONS).iloc[0]
    a, b = (
        [each for each in found if each.place == row[name] and each.searched]
        for name in ("proxy_a", "proxy_b")
    )
    means = np.array([[each.searched.mean for each in side] for side in (a, b)])
    assert row["tau"] == pytest.approx(stats.kendalltau(*means).statistic)
    assert row["rho"] == pytest.approx(stats.spearmanr(*means).statistic)
    replicates = np.stack([[each.searched.replicates for each in side] for side in (a, b)])
    pairs = [replicates[:, :, i] for i in range(replicates.shape[2])]
    taus, rhos = (
        [function(*pair).statistic for pair in pairs] for function in (stats.kendalltau, stats.spearmanr)
    )
    assert np.allclose([row["tau_low"], row["tau_high"]], np.quantile(taus, OPTIONS.tails))
    assert np.allclose([row["rho_low"], row["rho_high"]], np.quantile(rhos, OPTIONS.tails))
    assert row["same_best"] == pytest.approx(np.mean([np.argmax(x) == np.argmax(y) for x, y in pairs]))


def swapped(seed=0):
    """A study whose best and worst strategies swap on the last proxy."""
    frame = study(seed=seed, draws=10, searches=1, strategies={"a": 0.6, "b": 0.1, "c": -0.6})
    last = frame["proxy"] == "all"
    frame.loc[last, "strategy"] = frame.loc[last, "strategy"].map({"a": "c", "c": "a", "b": "b"})
    return compare(reading.check(frame)[0], OPTIONS)


def test_a_true_swap_is_found_and_named():
    found = movements(swapped(), OPTIONS)
    assert found["swaps"].map(len).tolist()[0] == 0
    assert "a above c on imagenet1k / classes:100, below on cifar10 / all" in found["swaps"][1]
    assert (found.loc[1:, "tau"] < 0).all()


def test_swaps_by_chance_are_rarely_called_swaps():
    alike = dict.fromkeys(("a", "b", "c"), 0.0)
    called = [
        movements(comparisons(seed=seed, strategies=alike, proxies={("s", "p"): 0, ("s", "q"): 0}), OPTIONS)
        for seed in range(40)
    ]
    assert sum(bool(row["swaps"].map(len).any()) for row in called) <= 3


def test_critical_difference_equals_demsars_and_friedmans():
    found = comparisons(draws=8, proxies={("s", "p"): 0.0}, searches=1)
    result = critical_differences(found, OPTIONS)[0]
    # q at 0.05 for five classifiers is 2.728 (Demsar 2006, table 5)
    assert result.difference == pytest.approx(2.728 * np.sqrt(5 * 6 / (6 * 8)), rel=1e-3)
    accuracies = np.stack(
        [each.rows.sort_values("proxy_seed")["top1"] for each in found if each.searched], axis=1
    )
    ranks = np.array([[1 + (row > value).sum() for value in row] for row in accuracies]).mean(0)
    assert np.allclose(result.mean_ranks, np.sort(ranks))
    chi2 = stats.friedmanchisquare(*accuracies.T).statistic
    assert result.p_value == pytest.approx(stats.f.sf(7 * chi2 / (8 * 4 - chi2), 4, 28))
    for (i, a), (j, b) in combinations(enumerate(result.mean_ranks), 2):
        joined = any(start <= i and j <= end for start, end in result.cliques)
        assert joined == (b - a <= result.difference)


def test_few_matched_runs_have_no_critical_difference():
    assert critical_differences(comparisons(draws=2), OPTIONS) == []


def test_the_strategies_of_the_fixture_have_known_effects():
    assert sorted(STRATEGIES, key=STRATEGIES.__getitem__)[0] == "enas"

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from benchmarks.simulated import comparison, of_values
from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.comparison import compare, difference
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.ranking import critical_differences, movements, rankings
from nastransfer_nni.report.statistics.replicates import arm_replicates, tau_rows
from nastransfer_nni.report.statistics.units import SEARCH
from tests.report.statistics.studies import STRATEGIES, study

OPTIONS = AnalysisOptions(replicates=2000)


def comparisons(**options):
    return compare(reading.check(study(**options))[0], OPTIONS)


def test_probabilities_sum_to_one_and_the_best_is_first():
    for ranking in rankings(comparisons(), OPTIONS):
        assert np.allclose(ranking.probabilities.sum(0), 1)
        assert np.allclose(ranking.probabilities.sum(1), 1)
        assert (np.diff(ranking.scores) <= 0).all()
        assert ranking.strategies[-1] == "enas"
        assert ranking.probabilities[-1, -1] > 0.95
        assert ranking.sufficient


def test_replicates_have_the_t_distribution_of_the_tests():
    members = [each for each in comparisons(draws=6, deviations=(0.5, 0.2, 0.1)) if each.proxy == "all"]
    arms = [each.searched for each in members]
    found = arm_replicates(arms, 40_000, np.random.default_rng(0))
    for i, j in combinations(range(5), 2):
        gap = difference(arms[i], arms[j], shares_draws=True)
        share = (found[:, i] > found[:, j]).mean()
        assert share == pytest.approx(gap.probability_above(), abs=0.01)
    own = arm_replicates([replace(arms[0], names=())], 40_000, np.random.default_rng(0))
    low, high = arms[0].estimate.interval(0.9)
    assert np.quantile(own, [0.05, 0.95]) == pytest.approx([low, high], abs=0.02)


def test_kendalls_tau_of_rows_is_scipys():
    a, b = np.random.default_rng(0).normal(size=(2, 30, 6))
    expected = [stats.kendalltau(x, y).statistic for x, y in zip(a, b, strict=True)]
    assert tau_rows(a, b) == pytest.approx(expected)


def test_alike_strategies_share_the_ranks():
    alike = dict.fromkeys(("a", "b"), 0.0)
    chances = [
        rankings(comparisons(seed=seed, strategies=alike), OPTIONS)[0].probabilities[0, 0]
        for seed in range(12)
    ]
    assert np.mean(chances) < 0.9  # the better of two means is not the better strategy
    assert min(chances) >= 0.45


def test_without_random_cells_top1_is_ranked():
    ranking = rankings(comparisons(random_cells=0), OPTIONS)[0]
    assert ranking.measure == "top1"
    assert ranking.scores.max() > 70


def test_agreement_of_two_proxies_is_scipys_beside_its_ceiling():
    found = comparisons(deviations=(0.3, 0.4, 0.1))
    row = movements(found, OPTIONS).iloc[0]
    means = [
        [each.searched.mean for each in found if each.place == row[name] and each.searched]
        for name in ("proxy_a", "proxy_b")
    ]
    assert row["tau"] == pytest.approx(stats.kendalltau(*means).statistic)
    assert row["rho"] == pytest.approx(stats.spearmanr(*means).statistic)
    assert row["tau_low"] <= row["tau"] <= row["tau_high"]
    assert row["ceiling_low"] <= row["ceiling"] < 1
    assert not row["differs"]
    assert row["split_half_a"] < 1


def test_the_ceiling_is_what_two_replications_of_one_ranking_reach():
    taus, ceilings, rng = [], [], np.random.default_rng(0)
    for _ in range(60):
        true = rng.normal(size=6)
        made = [
            comparison(f"proxy {place}", f"s{name}", of_values(true[name] + rng.normal(size=8), SEARCH))
            for place in range(2)
            for name in range(6)
        ]
        row = movements(made, replace(OPTIONS, replicates=500)).iloc[0]
        taus.append(row["tau"])
        ceilings.append(row["ceiling"])
    assert np.mean(ceilings) == pytest.approx(np.mean(taus), abs=0.07)


def test_a_reversed_ranking_differs_beyond_noise_and_four_strategies_say_nothing():
    def reversed_on_q(names):
        strategies = {name: 0.4 * i for i, name in enumerate(names)}
        frame = study(strategies=strategies, proxies={("s", "p"): 0.0, ("s", "q"): 0.0})
        turned = dict(zip(names, reversed(names), strict=True))
        on_q = (frame["proxy"] == "q") & (frame["strategy"] != "random")
        frame.loc[on_q, "strategy"] = frame.loc[on_q, "strategy"].map(turned)
        return movements(compare(reading.check(frame)[0], OPTIONS), OPTIONS).iloc[0]

    assert reversed_on_q("abcde")["differs"]
    assert reversed_on_q("abcd")["differs"] is None


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
        for seed in range(15)
    ]
    assert sum(bool(row["swaps"].map(len).any()) for row in called) <= 2


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

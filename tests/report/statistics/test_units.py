import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from nastransfer_nni.report.statistics.units import (
    DRAW,
    SEARCH,
    TRAINING,
    Noise,
    arm,
    clusters,
    networks,
    training_noise,
)


def rows(top1, **columns):
    values = {"search_seed": [str(i) for i in range(len(top1))], "train_seed": "0", "genotype": ""}
    frame = pd.DataFrame({**values, "proxy_seed": "", "top1": np.asarray(top1, float)} | columns)
    return frame.assign(genotype=frame["genotype"].astype(object))


def test_searches_are_units_and_their_mean_has_students_error():
    top1 = [90.0, 91.5, 89.0, 90.4]
    found = arm(rows(top1))
    assert (found.n, found.searches, found.cells, found.level) == (4, 4, 4, SEARCH)
    assert (found.se, found.df) == (pytest.approx(stats.sem(top1)), 3)


def test_draws_are_units_whatever_is_within_them():
    frame = rows([1, 3, 10, 30, 30, 50], proxy_seed=["a", "a", "b", "b", "b", "b"])
    found = arm(frame)
    assert (found.level, found.names, found.draws) == (DRAW, ("a", "b"), 2)
    assert found.values == pytest.approx([2, 30])
    assert found.se == pytest.approx(stats.sem([2, 30]))


def test_draws_with_equal_fingerprints_are_one():
    frame = rows([1, 3, 10, 30], proxy_seed=["0", "1", "0", "1"], proxy_fingerprint=["x"] * 4)
    assert (arm(frame).level, arm(frame).draws, arm(frame).units) == (SEARCH, 1, 4)


def test_trainings_of_one_search_are_averaged_before_searches_are():
    frame = rows([1, 3, 10], search_seed=["0", "0", "1"], train_seed=["0", "1", "2"], genotype="abb")
    frame["genotype"] = ["a", "a", "b"]
    assert arm(frame).mean == 6
    assert (arm(frame).n, arm(frame).searches, arm(frame).cells) == (3, 2, 2)


def test_equal_cells_with_training_seeds_of_their_own_are_independent():
    top1 = [90.0, 90.5, 91.0]
    found = arm(rows(top1, genotype=["a"] * 3, train_seed=["0", "1", "2"]))
    assert (found.n, found.cells, found.df) == (3, 1, 2)
    assert found.se == pytest.approx(stats.sem(top1))


def test_searches_that_share_one_training_are_refused_with_the_reason():
    found = arm(rows([90.5] * 8, genotype=["a"] * 8))
    assert (found.n, found.searches, found.cells) == (1, 8, 1)
    assert found.reason == "all 8 searches share one training, which is one measurement"
    assert np.isnan(found.se)


def test_trainings_of_one_search_say_nothing_about_others():
    found = arm(rows([90.0, 91.0], search_seed=["0"] * 2, genotype=["a"] * 2, train_seed=["0", "1"]))
    assert (found.level, found.searches) == (TRAINING, 1)
    assert "say nothing about other searches" in found.reason
    assert found.se == pytest.approx(0.5)


def shared(noise=None):
    cells = ["a"] * 4 + ["b"] * 3 + ["c"]
    return arm(rows([90.0] * 4 + [91.0] * 3 + [93.0], genotype=cells), noise=noise)


def test_shared_trainings_without_noise_are_clusters_of_bell_and_mccaffrey():
    w, v = np.array([4, 3, 1]) / 8, np.array([90.0, 91.0, 93.0])
    residual = np.eye(3) - np.outer(np.ones(3), w)
    form = residual.T @ np.diag(w**2) @ residual
    found = shared()
    assert found.se**2 == pytest.approx((w @ w) * (v @ form @ v) / np.trace(form))
    assert found.df == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))


def test_equal_clusters_are_statsmodels_cluster_robust_error():
    top1 = np.repeat([90.0, 91.0, 93.0, 94.0], 2)
    found = arm(rows(top1, genotype=list("aabbccdd")))
    groups = np.repeat(range(4), 2)
    fit = sm.OLS(top1, np.ones(8)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    assert found.se**2 == pytest.approx(fit.bse[0] ** 2 * 4 / 3)
    assert found.df == pytest.approx(3)


def test_known_noise_of_shared_trainings_enters_once():
    noise, n = 0.3, 8
    found = shared(Noise(noise, 8))
    spread = np.var([90] * 4 + [91] * 3 + [93], ddof=1)
    enters = 26 / 64
    between = max(0, spread - noise * n / (n - 1) * (1 - enters))
    assert found.se**2 == pytest.approx(between / n + noise * enters)
    # the variance of s^2 from the covariance of the searches, as a matrix
    weights = np.repeat(np.eye(3), [4, 3, 1], axis=0)
    covariance = between * np.eye(n) + noise * weights @ weights.T
    centred = (np.eye(n) - 1 / n) @ covariance
    of_spread = 2 * np.trace(centred @ centred) / (n - 1) ** 2 / n**2
    slope = enters - (1 - enters) / (n - 1)
    assert found.df == pytest.approx(2 * found.se**4 / (of_spread + 2 * (slope * noise) ** 2 / 8))


def test_noise_is_pooled_over_cells_that_were_trained_again():
    top1 = [90.0, 92.0, 80.0, 81.0, 82.0, 70.0, 71.0, 72.0, 60.0]
    cells = list("aabbbccc") + ["d"]
    frame = rows(top1, genotype=cells, train_seed=list("010120120"))
    found = training_noise(frame)
    assert (found.variance, found.df) == (pytest.approx((2 + 2 + 2) / 5), 5)
    assert training_noise(frame.iloc[:5]) is None


def test_whole_clusters_and_networks_are_listed_once():
    frame = rows([1.0, 1.0, 2.0, 3.0], genotype=["a", "a", "b", "c"])
    assert [each.tolist() for each in clusters(frame)] == [[1.0, 1.0], [2.0], [3.0]]
    assert networks(frame).to_dict("list") == {
        "top1": [1.0, 2.0, 3.0],
        "searches": [2, 1, 1],
        "genotype": ["a", "b", "c"],
    }

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.improvement import Verdict, compare, relative_improvement
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.tables.improvement import CSV_COLUMNS
from tests.report.statistics.studies import STRATEGIES, study

PUBLISHED = {
    ("cifar10", "darts"): 0.32,
    ("cifar10", "pdarts"): 0.52,
    ("cifar10", "nsganet"): -0.48,
    ("cifar10", "enas"): 0.01,
    ("cifar10", "nao"): 0.44,
    ("cifar100", "darts"): 0.23,
    ("cifar100", "pdarts"): 2.00,
    ("cifar100", "enas"): -3.44,
}
"""Relative improvements in percent from the raw runs of Yang et al. (ICLR 2020)."""


def improve(frame, **options):
    rows, _ = reading.check(frame)
    chosen = AnalysisOptions(**{"replicates": 2000} | options)
    return relative_improvement(compare(rows, chosen), chosen)


def flat(searched, random, **columns):
    """One row a run."""
    arms = [("a", top1) for top1 in searched] + [("random", top1) for top1 in random]
    frame = pd.DataFrame(arms, columns=["strategy", "top1"])
    return frame.assign(target="t", search_seed=range(len(frame)), **columns)


def test_published_relative_improvements_to_two_decimals(published):
    rows, _ = reading.read(published)
    options = AnalysisOptions(replicates=2000)
    found = relative_improvement(compare(rows, options), options)
    assert set(CSV_COLUMNS) <= set(found.columns)
    values = found.set_index(["target", "strategy"])
    for key, value in PUBLISHED.items():
        row = values.loc[key]
        assert round(row["relative_improvement"], 2) == value
        assert row["ci_low"] < row["relative_improvement"] < row["ci_high"]
        assert (row["n"], row["n_random"]) == (8, 8)
    assert len(found) == 16
    missing = values.loc[("cifar100", "stacnas")]
    assert (missing["n"], missing["n_random"]) == (0, 8)
    assert np.isnan(missing["relative_improvement"])


def test_intervals_of_published_runs_agree_with_welchs(published):
    raw = pd.read_csv(published)
    rows, _ = reading.read(published)
    found = relative_improvement(compare(rows, AnalysisOptions()), AnalysisOptions()).set_index(
        ["setting", "strategy"]
    )
    for key, runs in raw.groupby(["target", "method"]):
        searched, random = (runs.loc[runs["arm"] == arm, "top1"] for arm in ("searched", "random"))
        if len(searched):
            welch = stats.ttest_ind(searched, random, equal_var=False).confidence_interval()
            width = 100 * (welch.high - welch.low) / random.mean()
            row = found.loc[key]
            assert (row["ci_high"] - row["ci_low"]) / width == pytest.approx(1.03, abs=0.12)


def test_p_values_of_normal_runs_agree_with_welchs():
    rng = np.random.default_rng(0)
    for _ in range(8):
        searched, random = 90 + rng.normal(0.5, 1, 20), 90 + rng.normal(size=20)
        ours = improve(flat(searched, random), replicates=20_000)["p_value"][0]
        assert ours == pytest.approx(stats.ttest_ind(searched, random, equal_var=False).pvalue, abs=0.04)


def test_holm_is_taken_within_a_target_and_protocol():
    found = improve(study(targets=("a", "b")))
    for _, family in found.groupby("setting"):
        assert len(family) == 15
        expected = multipletests(family["p_value"], method="holm")[1]
        assert np.allclose(family["p_holm"], expected)
        assert np.allclose(
            family["p_equivalent_holm"], multipletests(family["p_equivalent"], method="holm")[1]
        )


def test_known_effects_are_found():
    found = improve(study(draws=12, searches=1, random_cells=40)).set_index("strategy")
    assert set(found.loc["evolution", "verdict"]) == {Verdict.BETTER}
    assert set(found.loc["enas", "verdict"]) == {Verdict.WORSE}
    truth = {name: 100 * effect / 73.5 for name, effect in STRATEGIES.items()}
    for name, row in found[found["proxy"] == "images:0.1"].iterrows():
        assert row["ci_low"] - 0.15 < truth[name.split(" ")[0]] < row["ci_high"] + 0.15


def test_equivalence_needs_evidence():
    rng = np.random.default_rng(1)
    tight = improve(flat(90 + 0.05 * rng.normal(size=8), 90 + 0.05 * rng.normal(size=8)))
    loose = improve(flat(90 + 2 * rng.normal(size=8), 90 + 2 * rng.normal(size=8)))
    assert tight["verdict"][0] is Verdict.EQUIVALENT
    assert loose["verdict"][0] is Verdict.INCONCLUSIVE
    assert (
        improve(flat([90.0, 90.1] * 4, [90.0, 90.1] * 4), margin=0.01)["verdict"][0] is Verdict.INCONCLUSIVE
    )


@pytest.mark.parametrize(("searched", "random"), [(7, 20), (20, 7), (3, 3)])
def test_too_few_runs_are_insufficient_whatever_they_show(searched, random):
    rng = np.random.default_rng(0)
    row = improve(flat(95 + rng.normal(size=searched), 80 + rng.normal(size=random))).iloc[0]
    assert row["verdict"] is Verdict.INSUFFICIENT
    assert np.isnan(row["p_value"])
    assert np.isnan(row["p_holm"])
    assert row["ci_low"] < row["relative_improvement"] < row["ci_high"]


def test_trainings_of_few_cells_and_few_proxy_draws_are_insufficient():
    frame = flat(90 + np.arange(8.0), 80 + np.arange(8.0))
    few_cells = frame.assign(search_seed=[0] * 4 + [1] * 4 + [*range(8)], train_seed=range(16))
    few_draws = frame.assign(proxy="p", proxy_seed=[0] * 4 + [1] * 4 + [""] * 8)
    assert improve(few_cells)["verdict"][0] is Verdict.INSUFFICIENT
    assert improve(few_draws)["verdict"][0] is Verdict.INSUFFICIENT


def test_a_missing_arm_breaks_nothing():
    frame = study()
    without_random = improve(frame[frame["strategy"] != "random"])
    assert set(without_random["verdict"]) == {Verdict.NO_RANDOM_RUNS}
    assert without_random["mean"].notna().all()


def test_single_runs_have_an_estimate_and_no_interval():
    row = improve(flat([91.0], [90.0])).iloc[0]
    assert row["relative_improvement"] == pytest.approx(100 / 90)
    assert np.isnan(row["ci_low"])
    assert row["verdict"] is Verdict.INSUFFICIENT


def test_options_and_protocols_are_not_pooled():
    frame = study(draws=2, searches=1, random_cells=2)
    frame["protocol_hash"] = ["a", "b"] * (len(frame) // 2)
    frame.loc[frame["strategy"] == "darts", "strategy_options"] = ["", '{"order": 2}'] * 3
    found = improve(frame)
    assert found.groupby("setting").ngroups == 2
    assert (found["n"] == 1).all()
    assert {"darts", "darts (order=2)"} <= set(found["strategy"])


def test_a_target_with_two_protocols_is_named_with_them():
    frame = study(targets=("a", "b"), draws=2, searches=1, random_cells=2)
    frame.loc[(frame["target"] == "a") & (frame.index % 2 == 0), "protocol_hash"] = "other"
    names = set(improve(frame, replicates=1000)["target"])
    assert "b" in names
    assert names - {"b"} == {f"a, protocol large-batch-imagenet {code}" for code in ("other", "3f9c0a71d2")}

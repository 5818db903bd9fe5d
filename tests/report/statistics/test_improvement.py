import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.comparison import compare
from nastransfer_nni.report.statistics.detectable import detectable_difference
from nastransfer_nni.report.statistics.improvement import Verdict, relative_improvement
from nastransfer_nni.report.statistics.looks import Looks, smallest_p
from nastransfer_nni.report.statistics.margin import Margin
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.probability import placements, superiority
from tests.report.statistics.studies import STRATEGIES, study

CSV_COLUMNS = ["target", "source", "proxy", "strategy", "relative_improvement", "ci_low", "ci_high"]
CSV_COLUMNS += ["p_value", "p_holm", "n", "n_random"]
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
    rows = reading.check(frame)[0]
    chosen = AnalysisOptions(**{"replicates": 1000} | options)
    return relative_improvement(compare(rows, chosen), chosen)


def flat(searched, random, **columns):
    """One row a run."""
    arms = [("a", top1) for top1 in searched] + [("random", top1) for top1 in random]
    frame = pd.DataFrame(arms, columns=["strategy", "top1"])
    return frame.assign(**{"target": "t", "search_seed": range(len(frame))} | columns)


@pytest.fixture(scope="module")
def random():
    """Twelve random networks of mean 90 and standard deviation 0.3."""
    values = np.random.default_rng(0).normal(size=12)
    return 90 + 0.3 * (values - values.mean()) / values.std(ddof=1)


def test_published_relative_improvements_to_two_decimals(published):
    options = AnalysisOptions(replicates=1000)
    found = relative_improvement(compare(reading.read(published)[0], options), options)
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
    assert missing["verdict"] is Verdict.NO_SEARCHED_RUNS
    assert np.isnan(missing["relative_improvement"])


def test_eight_rows_of_one_training_are_one_measurement(random):
    row = improve(flat([90.5] * 8, random, genotype=["a"] * 8 + list("bcdefghijklm"), train_seed=0)).iloc[0]
    assert row["verdict"] is Verdict.UNTESTABLE
    assert "all 8 searches share one training" in row["reason"]
    assert (row["searches"], row["n"], row["cells"]) == (8, 1, 1)
    assert np.isnan(row["p_value"])
    assert row["relative_improvement"] == pytest.approx(100 * 0.5 / 90)


def test_three_clear_runs_are_a_finding(random):
    row = improve(flat([93.0, 93.2, 92.9], random)).iloc[0]
    assert row["verdict"] is Verdict.BETTER
    assert row["p_holm"] < 0.001


def test_one_family_is_corrected_by_holms_method_within_a_setting():
    found = improve(study(targets=("a", "b")))
    for _, family in found.groupby("setting"):
        assert len(family) == 15
        for column, holm in (("p_value", "p_holm"), ("probability_p", "probability_p_holm")):
            assert np.allclose(family[holm], multipletests(family[column], method="holm")[1])


def test_known_effects_are_found():
    found = improve(study(draws=12, searches=1, random_cells=40)).set_index("strategy")
    assert set(found.loc["evolution", "verdict"]) == {Verdict.BETTER}
    assert set(found.loc["enas", "verdict"]) == {Verdict.WORSE}
    truth = {name: 100 * effect / 73.5 for name, effect in STRATEGIES.items()}
    for name, row in found[found["proxy"] == "images:0.1"].iterrows():
        assert row["ci_low"] - 0.15 < truth[name.split(" ")[0]] < row["ci_high"] + 0.15


def test_equivalence_needs_evidence_and_a_certain_margin():
    rng = np.random.default_rng(1)
    frame = flat(90 + rng.normal(size=80), 90 + rng.normal(size=80))
    row = improve(frame, margin=Margin(0.8, "sd")).iloc[0]
    assert row["verdict"] is Verdict.EQUIVALENT
    assert row["margin_points"] == pytest.approx(0.8 * frame["top1"][80:].std())
    assert row["verdict"].text(Margin(0.8, "sd")) == "equivalent within 0.8sd"
    assert improve(frame, margin=Margin(0.01, "%"))["verdict"][0] is Verdict.UNDECIDED
    few = improve(flat([90, 90.1, 90.2], [90.0, 90.1])).iloc[0]
    assert "too uncertain: 2 random cells" in few["equivalence"]
    assert np.isnan(few["p_equivalent"])


def test_undecided_says_what_it_could_have_found_and_what_would_decide_it(random):
    row = improve(flat([90.1, 90.4, 89.9, 90.2], random)).iloc[0]
    assert row["verdict"] is Verdict.UNDECIDED
    assert row["detectable_points"] == pytest.approx(100 * row["detectable"] / 100 * 0.9)
    assert row["detectable_points"] > abs(row["difference"])
    assert row["more"].endswith(("more searches", "more random cells"))
    assert row["more_for"] in ("difference", "equivalence")


def test_a_difference_that_rests_on_a_tail_is_no_finding(random):
    collapsed = 90 + np.array([2.0, 2.1, 2.2, 1.9, 2.05, 2.15, 1.95, 1.0])
    row = improve(flat(collapsed, random)).iloc[0]
    assert (row["verdict"], row["tail"]) == (Verdict.TAIL, "searched")
    assert improve(flat(collapsed, random), primary="probability")["verdict"][0] is Verdict.BETTER


def test_strategies_on_shared_draws_are_paired_with_a_named_baseline():
    frame = study(draws=4, searches=2, deviations=(1.0, 0.1, 0.1))
    found = improve(frame, baseline="enas").set_index(["strategy", "proxy"])
    assert "enas" not in found.index.get_level_values(0)
    row = found.loc[("evolution", "all")]
    one = frame[frame["proxy"] == "all"].groupby(["strategy", "proxy_seed"])["top1"].mean()
    test = stats.ttest_rel(one["evolution"], one["enas"])
    assert row["p_value"] == pytest.approx(test.pvalue)
    assert row["df"] == 3
    low, high = test.confidence_interval()
    assert row["difference_high"] - row["difference_low"] == pytest.approx(high - low)


def test_draws_of_a_named_baseline_are_the_units_of_the_probability_too():
    frame = study(draws=4, searches=3, deviations=(1.0, 0.1, 0.1))
    options = AnalysisOptions(replicates=1000, baseline="enas")
    found = improve(frame, baseline="enas", replicates=1000).set_index(["strategy", "proxy"])
    rows = frame[frame["proxy"] == "all"].groupby("strategy").get_group
    assert placements(rows("evolution"), rows("enas"), is_random=False)[1].units == 4
    expected = superiority(rows("evolution"), rows("enas"), options)
    assert found.loc[("evolution", "all"), "probability_p"] == expected.p_value
    assert expected.smallest_p == smallest_p(4, 4)


def test_nothing_is_compared_without_a_baseline():
    assert set(improve(study(), baseline="")["verdict"]) == {Verdict.NO_RANDOM_RUNS}


def test_a_planned_look_has_a_boundary_and_other_looks_decide_nothing(random):
    looks = Looks(times=(0.5, 1.0), units=8, random_units=12)
    row = improve(flat([93.0, 93.2, 92.9, 93.1], random), looks=looks).iloc[0]
    assert row["verdict"] is Verdict.BETTER
    assert (row["information"], row["p_boundary"]) == (0.5, pytest.approx(0.003, abs=2e-4))
    row = improve(flat([93.0, 93.2, 92.9, 93.1, 93.0], random), looks=looks).iloc[0]
    assert row["verdict"] is Verdict.NOT_YET
    assert "next planned look is at 8 units" in row["reason"]
    assert row["relative_improvement"] > 3


def test_a_missing_arm_and_single_runs_break_nothing():
    frame = study()
    without_random = improve(frame[frame["strategy"] != "random"])
    assert set(without_random["verdict"]) == {Verdict.NO_RANDOM_RUNS}
    assert without_random["mean"].notna().all()
    row = improve(flat([91.0], [90.0])).iloc[0]
    assert row["relative_improvement"] == pytest.approx(100 / 90)
    assert np.isnan(row["ci_low"])
    assert row["verdict"] is Verdict.UNTESTABLE


def test_equal_accuracies_say_nothing():
    row = improve(flat([91.0] * 3, [90.0] * 3)).iloc[0]
    assert row["reason"] == "all networks of both arms have the same accuracy"


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
    names = set(improve(frame)["target"])
    assert "b" in names
    assert names - {"b"} == {f"a, protocol large-batch-imagenet {code}" for code in ("other", "3f9c0a71d2")}


def test_detectable_differences_are_those_of_the_t_test():
    # a standard deviation of 0.23: 0.35 points with 8 runs an arm, 0.21 with 20
    assert round(detectable_difference(8, 8, 0.23), 2) == 0.35
    assert round(detectable_difference(20, 20, 0.23), 2) == 0.21

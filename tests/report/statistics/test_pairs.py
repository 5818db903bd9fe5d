import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.comparison import compare
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.pairs import pairwise, two_way
from tests.report.statistics.studies import study

OPTIONS = AnalysisOptions(replicates=1000)


def comparisons(frame):
    return compare(reading.check(frame)[0], OPTIONS)


def test_every_two_strategies_on_one_proxy_are_compared_draw_by_draw():
    frame = study(draws=4, searches=2)
    found = pairwise(comparisons(frame), OPTIONS)
    assert len(found) == 3 * 10
    row = found[(found["a"] == "enas") & (found["b"] == "evolution") & (found["proxy"] == "all")].iloc[0]
    means = frame[frame["proxy"] == "all"].groupby(["strategy", "proxy_seed"])["top1"].mean()
    test = stats.ttest_rel(means["enas"], means["evolution"])
    assert row["p_value"] == pytest.approx(test.pvalue)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(tuple(test.confidence_interval()))
    assert row["is_paired"]
    assert row["verdict"] in ("evolution", "undecided")


@pytest.mark.parametrize(("draws", "searches", "unpaired"), [(4, 2, 1.00), (3, 3, 1.40)])
def test_paired_widths_are_those_of_the_paired_t(draws, searches, unpaired):
    """The two designs of a review, whose unpaired widths are given for comparison."""
    ratios, two = [], {"strategies": {"darts": 0.1, "enas": -0.45}, "proxies": {("s", "all"): 0.0}}
    for seed in range(20):
        frame = study(seed=seed, draws=draws, searches=searches, deviations=(0.5, 0.2, 0.1), **two)
        row = pairwise(comparisons(frame), OPTIONS).iloc[0]
        part = frame[frame["proxy"] == row["proxy"]].groupby(["strategy", "proxy_seed"])["top1"].mean()
        low, high = stats.ttest_rel(part["darts"], part["enas"]).confidence_interval()
        ratios.append((row["ci_high"] - row["ci_low"]) / (high - low))
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)


def test_main_effects_and_interaction_are_those_of_a_mixed_model():
    frame = study(draws=30, searches=1, strategies={"a": 0.0, "b": 0.3}, deviations=(0.3, 0.2, 0.1))
    frame = frame[frame["proxy"].isin(["all", "images:0.1"])].copy()
    shift = (frame["strategy"] == "b") & (frame["proxy"] == "all")
    frame.loc[shift, "top1"] += 0.2
    found = two_way(comparisons(frame), OPTIONS).set_index("effect")
    searched = frame[frame["strategy"] != "random"].assign(
        strategy=lambda rows: np.where(rows["strategy"] == "a", 0.5, -0.5),
        proxy=lambda rows: np.where(rows["proxy"] == "images:0.1", 0.5, -0.5),
        group=frame["proxy"] + frame["proxy_seed"].astype(str),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = smf.mixedlm("top1 ~ proxy * strategy", searched, groups=searched["group"]).fit()
    for effect, name in (("proxy", "proxy"), ("strategy", "strategy"), ("interaction", "proxy:strategy")):
        row = found.loc[effect]
        width = (row["ci_high"] - row["ci_low"]) / 2
        assert row["estimate"] == pytest.approx(model.params[name], abs=1e-3)
        assert width / (1.96 * model.bse[name]) == pytest.approx(1.03, abs=0.05)
    assert found.loc["strategy", "verdict"] == "differs"


def test_effects_of_one_draw_are_welchs_of_searches():
    frame = study(draws=1, searches=8, strategies={"a": 0.0}, deviations=(0.0, 0.2, 0.1))
    found = two_way(comparisons(frame), OPTIONS)
    assert set(found["effect"]) == {"proxy"}
    row = found.iloc[0]
    arms = [
        frame.loc[(frame["proxy"] == p) & (frame["strategy"] == "a"), "top1"]
        for p in ("classes:100", "images:0.1")
    ]
    assert row["estimate"] == pytest.approx(arms[0].mean() - arms[1].mean())
    assert row["p_value"] == pytest.approx(stats.ttest_ind(*arms, equal_var=False).pvalue, abs=0.01)


def test_a_single_proxy_has_no_effects():
    assert two_way(comparisons(study(proxies={("s", "p"): 0.0})), OPTIONS).empty
    assert isinstance(pairwise([], OPTIONS), pd.DataFrame)

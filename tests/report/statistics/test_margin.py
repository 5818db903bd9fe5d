import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nastransfer_nni.report.statistics.estimate import Estimate
from nastransfer_nni.report.statistics.margin import Margin, deviation, known_margin
from search_spaces.errors import UserError


def cells(top1, trainings=1):
    seeds = np.repeat([str(i) for i in range(len(top1) // trainings)], trainings)
    return pd.DataFrame({"search_seed": seeds, "genotype": "", "top1": np.asarray(top1, float)})


@pytest.mark.parametrize(
    ("text", "margin"), [("0.5%", Margin(0.5, "%")), ("1 sd", Margin(1, "sd")), (0.5, Margin(0.5, "%"))]
)
def test_margins_are_read(text, margin):
    assert Margin.parse(text) == margin
    assert Margin.parse(str(margin)) == margin


@pytest.mark.parametrize("text", ["", "0%", "-1sd", "half", "100%", "0.5 points"])
def test_other_margins_are_refused(text):
    with pytest.raises(UserError, match=r"write it as 0.5% or 0.5sd"):
        Margin.parse(text)


def test_the_deviation_has_the_jackknifes_error():
    values = np.random.default_rng(0).normal(size=12)
    found = deviation(cells(values))
    deleted = np.array([np.delete(values, i).std(ddof=1) for i in range(12)])
    assert found.mean == pytest.approx(values.std(ddof=1))
    assert found.se == pytest.approx(np.sqrt(11 / 12 * ((deleted - deleted.mean()) ** 2).sum()))


def test_cells_that_were_trained_often_vary_like_cells_that_were_trained_once():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=4000), 3) + rng.normal(size=12000)
    assert deviation(cells(values, trainings=3)).mean == pytest.approx(np.sqrt(2), rel=0.03)


def test_a_margin_in_percent_is_tested_on_the_ratio():
    a, b = Estimate(90.1, 0.1, 7.0), Estimate(90.0, 0.1, 7.0)
    margin = known_margin(Margin(0.5, "%"), cells([90.0, 90.0]))
    upper = a - b * 1.005
    assert margin.p_equivalent(lambda ratio: a - b * ratio) == pytest.approx(
        stats.t.cdf(upper.mean / upper.se, upper.df)
    )
    assert margin.points.mean == pytest.approx(0.45)


def test_the_error_of_the_margin_enters_the_test():
    gap = Estimate(0.0, 0.05, 30.0)
    random = cells(np.random.default_rng(0).normal(90, 1, 30))
    found = known_margin(Margin(0.5, "sd"), random)
    exact = known_margin(Margin(100 * found.points.mean / random["top1"].mean(), "%"), random)
    assert found.p_equivalent(lambda _: gap) > exact.p_within(gap)


@pytest.mark.parametrize("top1", [[], [90.0, 91.0], [90.0] * 3 + [10.0]])
def test_an_uncertain_margin_is_not_used(top1):
    found = known_margin(Margin(0.5, "sd"), cells(top1))
    assert found.reason
    assert np.isnan(found.p_within(Estimate(0.0, 0.01, 9.0)))

import numpy as np
import pytest
from statsmodels.stats.power import TTestIndPower

from nastransfer_nni.report.statistics.detectable import detectable_difference, runs_needed
from nastransfer_nni.report.statistics.looks import Looks
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.power import PlannedArm, PlannedDesign, Spread, power
from search_spaces.errors import UserError


def design(n, random, arms=1, draws=1, **options):
    return PlannedDesign(
        arms=tuple(
            PlannedArm(name=f"s{i}", place="p", draws=draws, searches=n, **options) for i in range(arms)
        ),
        random_cells=random,
    )


def test_power_of_one_comparison_is_that_of_the_t_test():
    spread = Spread(search=0.23, training=0.0)
    found = power(design(20, 20), spread, effect=0.21, studies=4000).iloc[0]
    expected = TTestIndPower().power(0.21 / 0.23, 20, 0.05)
    assert found["power"] == found["power_single"] == pytest.approx(expected, abs=0.025)
    assert found["detectable"] == pytest.approx(detectable_difference(20, 20, 0.23), rel=0.01)


def test_more_random_cells_searches_and_fewer_comparisons_buy_power():
    spread = Spread(search=0.23, training=0.0)
    base = power(design(5, 8, arms=6), spread, effect=0.5)["power"].mean()
    for better in (design(8, 8, arms=6), design(5, 24, arms=6), design(5, 8, arms=2)):
        assert power(better, spread, effect=0.5)["power"].mean() > base + 0.05


def test_draws_collapses_and_trainings_matter():
    spread = Spread(search=0.2, training=0.2, draw=0.2)
    shared = power(design(2, 24, draws=4), spread, effect=0.5)["power"][0]
    assert power(design(1, 24, draws=8), spread, effect=0.5)["power"][0] > shared
    assert power(design(2, 24, draws=4, trainings=4), spread, effect=0.5)["power"][0] > shared
    collapsing = Spread(search=0.2, training=0.2, draw=0.2, collapse_rate=0.1)
    assert power(design(2, 24, draws=4), collapsing, effect=0.5)["power"][0] < shared


def test_looks_cost_little_power():
    spread = Spread(search=0.23, training=0.0)
    looks = AnalysisOptions(looks=Looks(times=(0.5, 1.0), units=10, random_units=20))
    plain = power(design(10, 20), spread, effect=0.25)["power"][0]
    assert power(design(10, 20), spread, effect=0.25, options=looks)["power"][0] == pytest.approx(
        plain, abs=0.03
    )


def test_a_comparison_that_can_never_be_decided_is_named():
    arms = (*design(1, 8).arms, PlannedArm(name="b", place="p", draws=1, searches=5))
    found = power(PlannedDesign(arms=arms, random_cells=8), Spread(), effect=0.5)
    assert found["power"][0] == 0
    assert "one search says nothing about another" in found["reason"][0]
    assert np.isnan(found["detectable"][0])
    assert found["reason"][1] == ""
    assert found["power"][1] > 0.5
    assert set(power(design(5, 1), Spread(), effect=0.5)["power"]) == {0.0}


def test_runs_needed_reach_the_power_and_one_less_does_not():
    t_test = TTestIndPower()
    for difference in (0.1, 0.23, 0.5, 1.0):
        runs = runs_needed(difference, 0.23)
        assert t_test.power(difference / 0.23, runs, 0.05) >= 0.8
        assert runs == 2 or t_test.power(difference / 0.23, runs - 1, 0.05) < 0.8
    assert runs_needed(100.0, 0.23) == 2


@pytest.mark.parametrize("call", [lambda: detectable_difference(1, 8, 0.2), lambda: runs_needed(0, 0.2)])
def test_designs_without_power_are_refused(call):
    with pytest.raises(UserError, match=r"at least two|positive"):
        call()

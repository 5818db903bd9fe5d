import numpy as np
import pandas as pd
import pytest

from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.reliability import intraclass, mean_squares, spread_of, variances
from search_spaces.errors import UserError
from tests.report.statistics.studies import study

SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def test_the_published_intraclass_correlation_with_its_interval():
    # Shrout & Fleiss 1979, tables 2 and 4: ICC(1, 1) is 0.17, from -0.13 to 0.72
    values = pd.Series(np.ravel(SHROUT_FLEISS))
    members = pd.Series(np.repeat(range(6), 4))
    squares = mean_squares(values, pd.Series([0] * 24), members)
    assert (squares.between, squares.within) == (
        pytest.approx(11.24, abs=0.01),
        pytest.approx(6.26, abs=0.01),
    )
    assert np.round(intraclass(squares), 2).tolist() == [0.17, -0.13, 0.72]


def test_the_standard_deviations_of_a_study_are_found():
    frame = study(draws=30, searches=6, trainings=2, random_cells=60, deviations=(0.3, 0.2, 0.1))
    found = variances(reading.check(frame)[0]).set_index("level")
    for level, truth in (("training", 0.1), ("search", 0.2), ("random", 0.2)):
        row = found.loc[level]
        assert row["deviation"] == pytest.approx(truth, rel=0.25)
        assert row["low"] < row["deviation"] < row["high"]
    assert found.loc["draw", "deviation"] == pytest.approx(0.3, rel=0.3)
    assert found.loc["search", "reliability"] == pytest.approx(0.8, abs=0.05)
    spread = spread_of(found.reset_index())
    assert (spread.draw, spread.training) == (
        found.loc["draw", "deviation"],
        found.loc["training", "deviation"],
    )


def test_without_repeated_trainings_the_search_has_all_of_the_variance():
    frame = study(draws=1, searches=20, deviations=(0.0, 0.3, 0.4), proxies={("s", "p"): 0.0})
    found = variances(reading.check(frame)[0]).set_index("level")
    assert found.loc["search", "deviation"] == pytest.approx(0.5, rel=0.2)
    assert np.isnan(found.loc["training", "deviation"])
    assert np.isnan(found.loc["search", "reliability"])
    assert spread_of(found.reset_index()).training == 0


def test_a_pilot_without_repetition_is_refused():
    frame = study(draws=1, searches=1, random_cells=1)
    with pytest.raises(UserError, match="no two searches"):
        spread_of(variances(reading.check(frame)[0]))

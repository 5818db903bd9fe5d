import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from statsmodels.stats.multitest import multipletests

from nastransfer_nni.report.statistics.looks import Looks, boundaries, holm_at_looks, smallest_p
from search_spaces.errors import UserError


def test_boundaries_are_the_published_ones_of_lan_and_demets():
    found = norm.isf(np.array(boundaries((0.2, 0.4, 0.6, 0.8, 1.0), 0.05)) / 2)
    assert np.round(found, 2).tolist() == [4.88, 3.36, 2.68, 2.29, 2.03]


def test_two_looks_together_spend_the_level():
    limits = norm.isf(np.array(boundaries((0.4, 1.0), 0.05)) / 2)
    process = multivariate_normal(cov=[[1, np.sqrt(0.4)], [np.sqrt(0.4), 1]])
    inside = process.cdf(limits, lower_limit=-limits)
    assert 1 - inside == pytest.approx(0.05, abs=2e-4)


def test_one_look_is_the_plain_test():
    assert boundaries((1.0,), 0.05) == pytest.approx((0.05,))


def test_holms_method_at_one_look_is_statsmodels():
    p = np.random.default_rng(0).random((5, 6)) ** 3  # statsmodels takes some 200 ms for each
    found = np.isfinite(holm_at_looks(p[None], (1.0,), 0.05))
    assert (found == [multipletests(each, 0.05, method="holm")[0] for each in p]).all()


def test_what_one_look_refuses_leaves_its_level_to_the_others():
    times = (0.5, 1.0)
    second = boundaries(times, 0.05)[1]
    p = np.array([[[1e-6, 0.5]], [[0.5, second * 0.99]]])
    assert holm_at_looks(p, times, 0.05).tolist() == [[0.0, 1.0]]
    p[0, 0, 0] = 0.5
    assert np.isinf(holm_at_looks(p, times, 0.05)).all()


def test_a_report_knows_its_look_and_decides_nothing_between_two():
    looks = Looks(times=(0.5, 1.0), units=8, random_units=24)
    limit, information, reason = looks.boundary("p", 4, 24, 0.05)
    assert (limit, information, reason) == (pytest.approx(boundaries((0.5,), 0.05)[0]), 0.5, "")
    limit, information, reason = looks.boundary("p", 5, 24, 0.05)
    assert np.isnan(limit)
    assert reason == "the next planned look is at 8 units; there are 5"
    assert looks.boundary("p", 9, 24, 0.05)[0] == pytest.approx(boundaries((0.5, 1.0), 0.05)[1])


def test_a_boundary_that_no_permutation_reaches_decides_nothing():
    looks = Looks(times=(0.25, 1.0), units=8, random_units=24)
    _, _, reason = looks.boundary("p", 2, 6, 0.05)
    assert "2 and 6 units reach 0.071" in reason
    assert smallest_p(2, 6) == pytest.approx(2 / 28)


def test_a_setting_may_plan_its_own_number_of_units():
    looks = Looks(times=(0.5, 1.0), units=8, random_units=24, units_of={"q": 4})
    assert looks.boundary("q", 2, 24, 0.05)[1] == 0.5


@pytest.mark.parametrize("times", [(), (0.5,), (0.6, 0.5, 1.0), (0.0, 1.0)])
def test_other_looks_are_refused(times):
    with pytest.raises(UserError, match="increasing fractions"):
        Looks(times=times, units=8, random_units=24)

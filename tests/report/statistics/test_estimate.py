import numpy as np
import pytest
from scipy import optimize, special, stats

from nastransfer_nni.report.statistics.estimate import (
    Estimate,
    p_equivalent,
    relative_interval,
    total,
)


def of(values):
    n = len(values)
    return Estimate(np.mean(values), np.std(values, ddof=1) / np.sqrt(n), n - 1)


def pair(n, random, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return 90 + scale * rng.normal(size=n), 89 + rng.normal(size=random)


def test_one_arm_is_students_t():
    values, _ = pair(6, 6)
    test = stats.ttest_1samp(values, 89.5)
    assert of(values).p_value(89.5) == pytest.approx(test.pvalue)
    assert of(values).interval(0.9) == pytest.approx(tuple(test.confidence_interval(0.9)))


def test_a_difference_comes_close_to_welchs_from_eight_units_up():
    for n, random in ((8, 8), (8, 24), (20, 24), (60, 60)):
        x, y = pair(n, random)
        welch = stats.ttest_ind(x, y, equal_var=False).confidence_interval()
        low, high = (of(x) - of(y)).interval(0.95)
        assert (high - low) / (welch.high - welch.low) == pytest.approx(1.015, abs=0.017)


def test_the_exponent_lies_between_cochrans_and_welchs():
    parts = [Estimate(0.0, 1.0, 4.0), Estimate(0.0, 2.0, 9.0)]
    shares = np.array([0.2, 0.8])
    welch, harmonic = (1 / (shares**power / [4, 9]).sum() for power in (2, 1))
    assert harmonic < total(parts).df < welch
    assert total(parts).df == pytest.approx(1 / (shares**1.5 / [4, 9]).sum())
    assert total([parts[0], Estimate(0.0, 0.0, np.inf)]).df == pytest.approx(4)


def test_fiellers_interval_holds_just_what_its_test_does_not_refuse():
    x, y = map(of, pair(5, 8))
    low, high = relative_interval(x, y, 0.95)
    reach = special.stdtrit((x - y).df, 0.975)

    def excess(percent):
        ratio = 1 + percent / 100
        return abs(x.mean - ratio * y.mean) / np.hypot(x.se, ratio * y.se) - reach

    middle = 100 * (x.mean / y.mean - 1)
    assert low == pytest.approx(optimize.brentq(excess, -20, middle))
    assert high == pytest.approx(optimize.brentq(excess, middle, 20))


def test_the_interval_excludes_zero_just_where_the_test_finds_a_difference():
    for seed in range(40):
        x, y = map(of, pair(4, 6, seed))
        low, high = relative_interval(x, y, 0.95)
        assert (low > 0 or high < 0) == ((x - y).p_value() < 0.05)


def test_a_baseline_that_may_be_zero_has_no_limits():
    assert relative_interval(Estimate(1.0, 0.1, 5), Estimate(0.1, 1.0, 5), 0.95) == (-np.inf, np.inf)


def test_equivalence_is_two_one_sided_tests():
    x, y = pair(20, 20)
    gap = of(x) - of(y) - 1.0
    margin = 0.8
    expected = max(
        stats.t.sf((gap.mean + margin) / gap.se, gap.df), stats.t.cdf((gap.mean - margin) / gap.se, gap.df)
    )
    assert p_equivalent(gap + margin, gap - margin) == pytest.approx(expected)


def test_arrays_of_studies_are_the_studies_one_by_one():
    pairs = [pair(5, 8, seed) for seed in range(4)]
    arrays = [np.array(each) for each in zip(*pairs, strict=True)]
    many = [
        Estimate(a.mean(1), a.std(1, ddof=1) / np.sqrt(a.shape[1]), np.full(4, a.shape[1] - 1.0))
        for a in arrays
    ]
    lows, _ = relative_interval(*many, 0.95)
    for index, (x, y) in enumerate(pairs):
        assert (many[0] - many[1]).p_value()[index] == pytest.approx((of(x) - of(y)).p_value())
        assert lows[index] == pytest.approx(relative_interval(of(x), of(y), 0.95)[0])

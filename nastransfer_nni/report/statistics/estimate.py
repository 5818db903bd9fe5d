"""Estimates with Student-type errors: how they combine, their intervals, tests and equivalence tests.

Every comparison of a report is made of these few formulas, so that no two parts of it contradict each other.
All of them work on numbers and on arrays alike: a simulation gives arrays with one element per study.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Numbers = Any
"""A float, or an array of floats with one element per simulated study."""
LEAST = 0.4
"""Smallest exponent of the variance shares; it matters to two units."""


@dataclass(frozen=True)
class Estimate:
    """An estimate whose error, divided by its standard error, follows Student's t.

    Independent estimates are added and subtracted, and multiplied by numbers without error; `total` gives the
    degrees of freedom of a sum.

    Attributes:
        mean: the estimate.
        se: standard error of the estimate.
        df: degrees of freedom of the standard error.
    """

    mean: Numbers
    se: Numbers
    df: Numbers

    def __add__(self, other: Estimate | float) -> Estimate:
        if isinstance(other, Estimate):
            return total([self, other])
        return Estimate(self.mean + other, self.se, self.df)

    def __mul__(self, factor: Numbers) -> Estimate:
        return Estimate(factor * self.mean, abs(factor) * self.se, self.df)

    def __sub__(self, other: Estimate | float) -> Estimate:
        return self + other * -1

    def probability_above(self) -> Numbers:
        """Probability of Student's t that the true value is above 0; NaN without a standard error.

        One minus it is the one-sided p-value for "at most 0".
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return special.stdtr(self.df, self.mean / self.se)

    def p_value(self, value: Numbers = 0.0) -> Numbers:
        """Two-sided p-value for "equal to `value`"."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return 2 * special.stdtr(self.df, -np.abs(self.mean - value) / self.se)

    def interval(self, confidence: float) -> tuple[Numbers, Numbers]:
        """Lower and upper limit at the given coverage; NaN without a standard error."""
        reach = special.stdtrit(self.df, 0.5 + confidence / 2) * self.se
        return self.mean - reach, self.mean + reach


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


def total(estimates: Sequence[Estimate]) -> Estimate:
    """The sum of independent estimates.

    With the shares s of the estimates in the variance of the sum and their degrees of freedom f, the sum has
    1 / sum(s^p / f). Welch [1] and Satterthwaite have p = 2, which finds too much where the smallest f is 1
    to 4 (7.7% at 3 searches against 24). Cochran and Cox [2] weight the critical values of t by s, which is
    p = 1 to the first order and finds too little elsewhere. Here p is 2 - 2 / min(f), and `LEAST` or more:
    it keeps the level from two units up and comes close to Welch's test at eight (docs/statistics.md).

    References:
        [1] Welch. The generalization of Student's problem when several different population variances are
            involved. Biometrika 34, 1947.
        [2] Cochran & Cox. Experimental Designs. Wiley, 1950.
    """
    if len(estimates) == 1:
        return estimates[0]
    pairs = [np.broadcast_arrays(np.square(each.se), each.df) for each in estimates]
    squares, degrees = (np.stack(np.broadcast_arrays(*each)) for each in zip(*pairs, strict=True))
    variance = squares.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.maximum(2 - 2 / degrees.min(0), LEAST)
        df = 1 / ((squares / variance) ** power / degrees).sum(0)
    mean = sum(each.mean for each in estimates)
    return Estimate(mean, np.sqrt(variance)[()], df[()])


def relative_improvement(arm: Estimate, baseline: Estimate) -> Numbers:
    """100 * (mean of the arm - mean of the baseline) / mean of the baseline, in percent."""
    return 100 * (arm.mean / baseline.mean - 1)


def relative_interval(arm: Estimate, baseline: Estimate, confidence: float) -> tuple[Numbers, Numbers]:
    """Interval of the relative improvement in percent by Fieller's theorem [1].

    It holds the improvements r for which `arm - (1 + r / 100) baseline` does not differ from 0, with the
    degrees of freedom of the difference. So it excludes 0 just where the test of the difference finds one.

    Args:
        arm: mean accuracy of the arm.
        baseline: mean accuracy that it is compared with; independent of the arm.
        confidence: coverage, as a fraction.

    Returns:
        Lower and upper limit; infinite where the mean of the baseline itself does not differ from 0.

    References:
        [1] Fieller. Some problems in interval estimation. J. R. Statist. Soc. B 16, 1954.
    """
    reach = special.stdtrit((arm - baseline).df, 0.5 + confidence / 2)
    square = np.square(baseline.mean) - np.square(reach * baseline.se)
    product = arm.mean * baseline.mean
    root = np.sqrt(np.maximum(product**2 - square * (np.square(arm.mean) - np.square(reach * arm.se)), 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = (
            np.where(square > 0, 100 * ((product + sign * root) / square - 1), sign * np.inf)
            for sign in (-1, 1)
        )
    is_known = np.isfinite(reach)
    return np.where(is_known, low, np.nan)[()], np.where(is_known, high, np.nan)[()]


def p_equivalent(above_lower: Estimate, above_upper: Estimate) -> Numbers:
    """p-value of two one-sided tests for equivalence (TOST) [1].

    Args:
        above_lower: the difference minus the lower margin; equivalence needs it above 0.
        above_upper: the difference minus the upper margin; equivalence needs it below 0.

    Returns:
        The larger of the two one-sided p-values.

    References:
        [1] Schuirmann. A comparison of the two one-sided tests procedure and the power approach for assessing
            the equivalence of average bioavailability. J. Pharmacokinet. Biopharm. 15, 1987.
    """
    return np.maximum(1 - above_lower.probability_above(), above_upper.probability_above())

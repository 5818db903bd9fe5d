"""Estimates with Student-type errors: how they combine, their intervals, tests and equivalence tests.

Every comparison of a report is made of these few formulas, so that no two parts of it contradict each other.
All of them work on numbers and on arrays alike: a simulation gives arrays with one element per study.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Numbers = Any
"""A float, or an array of floats with one element per simulated study."""


@dataclass(frozen=True)
class Estimate:
    """An estimate whose error, divided by its standard error, follows Student's t.

    Independent estimates are added and subtracted, and multiplied by numbers without error. The degrees of
    freedom of a sum are those of Welch and Satterthwaite [1]: `(v1 + v2)^2 / (v1^2 / df1 + v2^2 / df2)` for
    the squared standard errors v1 and v2.

    Attributes:
        mean: the estimate.
        se: standard error of the estimate.
        df: degrees of freedom of the standard error.

    References:
        [1] Welch. The generalization of Student's problem when several different population variances are
            involved. Biometrika 34, 1947.
    """

    mean: Numbers
    se: Numbers
    df: Numbers

    def __add__(self, other: Estimate | float) -> Estimate:
        if not isinstance(other, Estimate):
            return Estimate(self.mean + other, self.se, self.df)
        a, b = np.square(self.se), np.square(other.se)
        with np.errstate(divide="ignore", invalid="ignore"):
            df = (a + b) ** 2 / (a**2 / self.df + b**2 / other.df)
        return Estimate(self.mean + other.mean, np.sqrt(a + b), df)

    def __mul__(self, factor: Numbers) -> Estimate:
        return Estimate(factor * self.mean, abs(factor) * self.se, self.df)

    def __sub__(self, other: Estimate | float) -> Estimate:
        return self + other * -1

    def probability_above(self, value: Numbers = 0.0) -> Numbers:
        """Probability of Student's t that the true value is above `value`; NaN without a standard error.

        One minus it is the one-sided p-value for "at most `value`".
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return special.stdtr(self.df, (self.mean - value) / self.se)

    def p_value(self, value: Numbers = 0.0) -> Numbers:
        """Two-sided p-value for "equal to `value`"; Welch's test for a difference of two arms."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return 2 * special.stdtr(self.df, -np.abs(self.mean - value) / self.se)

    def interval(self, confidence: float) -> tuple[Numbers, Numbers]:
        """Lower and upper limit at the given coverage; NaN without a standard error."""
        reach = special.stdtrit(self.df, 0.5 + confidence / 2) * self.se
        return self.mean - reach, self.mean + reach


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


def total(estimates: list[Estimate]) -> Estimate:
    """The sum of independent estimates, of which there must be one or more."""
    first, *others = estimates
    for other in others:
        first = first + other
    return first


def relative_improvement(arm: Estimate, baseline: Estimate) -> Numbers:
    """100 * (mean of the arm - mean of the baseline) / mean of the baseline, in percent."""
    return 100 * (arm.mean / baseline.mean - 1)


def relative_interval(arm: Estimate, baseline: Estimate, confidence: float) -> tuple[Numbers, Numbers]:
    """Interval of the relative improvement in percent by Fieller's theorem [1].

    It holds the improvements r for which `arm - (1 + r / 100) baseline` does not differ from 0, with the
    degrees of freedom of Welch's test of the difference. So it excludes 0 just where that test finds one.

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

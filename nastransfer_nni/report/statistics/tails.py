"""Heavy tails: when the mean of a few networks rests on one or two of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nastransfer_nni.report.statistics.estimate import Floats

LEVEL = 0.01
"""Share of normal arms that are taken for heavy-tailed."""
LEVERAGE = 0.25
"""Skewness divided by the root of the number of units from which on Student's t fails."""


def is_heavy(values: Floats) -> bool:
    """Whether an arm has a heavy tail, so that Student's t may not hold for its mean.

    It has one if Shapiro and Wilk's test [1] refuses a normal distribution at `LEVEL`, and if there are too
    few units for the mean to be near normal nevertheless: the skewness divided by the root of their number,
    which governs the first term of the error of Student's t [2], is above `LEVERAGE`. Under three units there
    is no telling. No rule can see a collapse that none of the searches has met.

    Args:
        values: means of the independent units, [units].

    References:
        [1] Shapiro & Wilk. An analysis of variance test for normality. Biometrika 52, 1965.
        [2] Johnson. Modified t tests and confidence intervals for asymmetrical populations. J. Am. Statist.
            Assoc. 73, 1978.
    """
    return bool(are_heavy(values[None])[0])


def are_heavy(values: Floats) -> NDArray[np.bool_]:
    """`is_heavy` for the arms of many studies: [studies, units] -> [studies]."""
    found = np.zeros(len(values), bool)
    n = values.shape[1]
    if n < 3:
        return found
    varied = np.flatnonzero(np.ptp(values, axis=1) > 0)
    skewed = varied[np.abs(stats.skew(values[varied], axis=1)) / np.sqrt(n) > LEVERAGE]
    found[skewed] = [stats.shapiro(each).pvalue < LEVEL for each in values[skewed]]
    return found

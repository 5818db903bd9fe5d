"""Power of the two-sample t-test: the difference that a design can detect, before anything is run."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.stats import norm
from statsmodels.stats.power import TTestIndPower

from search_spaces.errors import UserError


def detectable_difference(
    runs: int, random_runs: int, deviation: float, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest difference of two means that is found with probability `power`.

    Args:
        runs: independent runs in the searched arm.
        random_runs: independent runs in the random arm.
        deviation: standard deviation between runs, such as points of top-1.
        power: probability of finding a difference of the returned size.
        alpha: two-sided significance level; divide it by the number of comparisons for the first step of
            Holm's correction.

    Returns:
        The difference, in the unit of `deviation`.

    Raises:
        UserError: an arm has fewer than two runs.
    """
    if min(runs, random_runs) < 2:
        raise UserError("power needs at least two runs in each arm")

    def surplus(effect: float) -> float:
        return _power(effect, runs, alpha, random_runs / runs) - power

    high = 1.0
    while surplus(high) < 0:
        high *= 2
    return float(brentq(surplus, 0, high)) * deviation


def runs_needed(difference: float, deviation: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """The number of runs in each of two equal arms that finds `difference` with probability `power`.

    Args:
        difference: difference of the two means, in the unit of `deviation`.
        deviation: standard deviation between runs, such as points of top-1.
        power: probability of finding the difference.
        alpha: two-sided significance level.

    Raises:
        UserError: the difference or the deviation is not positive.
    """
    if difference <= 0 or deviation <= 0:
        raise UserError("difference and deviation must be positive")
    effect = difference / deviation
    # The normal distribution needs fewer runs than Student's t, so the search starts there and goes up.
    runs = max(2, math.floor(2 * ((norm.ppf(1 - alpha / 2) + norm.ppf(power)) / effect) ** 2))
    while _power(effect, runs, alpha) < power:
        runs += 1
    return runs


def _power(effect: float, runs: int, alpha: float, ratio: float = 1.0) -> float:
    """Power of the two-sided test, without the chance of finding a difference of the wrong sign.

    That chance is below alpha / 2, and statsmodels' noncentral t is NaN for it at times.
    """
    return float(TTestIndPower().power(effect, runs, alpha / 2, ratio=ratio, alternative="larger"))

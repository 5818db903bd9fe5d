"""Which difference a design can detect: the two-sample t-test's power, before any run is spent."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.stats import norm
from statsmodels.stats.power import TTestIndPower


def detectable_difference(
    runs: int, random_runs: int, deviation: float, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest difference of two means that is found with probability `power`.

    Args:
        runs: independent runs in the searched arm.
        random_runs: independent runs in the random arm.
        deviation: standard deviation between runs; the difference has its unit.
        power: probability of finding a difference of that size.
        alpha: two-sided level; divide it by the number of comparisons for Holm's first step.

    Raises:
        ValueError: fewer than two runs in an arm.
    """
    if min(runs, random_runs) < 2:
        raise ValueError("power needs at least two runs in each arm")

    def surplus(effect: float) -> float:
        return _power(effect, runs, alpha, random_runs / runs) - power

    high = 1.0
    while surplus(high) < 0:
        high *= 2
    return float(brentq(surplus, 0, high)) * deviation


def runs_needed(difference: float, deviation: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """The runs that each of two equal arms needs for `difference` to be found with probability `power`."""
    if difference <= 0 or deviation <= 0:
        raise ValueError("difference and deviation must be positive")
    effect = difference / deviation
    # the normal distribution needs fewer runs than Student's: a few steps up from there
    runs = max(2, math.floor(2 * ((norm.ppf(1 - alpha / 2) + norm.ppf(power)) / effect) ** 2))
    while _power(effect, runs, alpha) < power:
        runs += 1
    return runs


def _power(effect: float, runs: int, alpha: float, ratio: float = 1.0) -> float:
    """Power of the two-sided test, but for finding a difference of the wrong sign.

    That tail is below alpha / 2 in any case, and the library's noncentral t has no value for it at times.
    """
    return float(TTestIndPower().power(effect, runs, alpha / 2, ratio=ratio, alternative="larger"))

"""Which difference a design can detect: the two-sample t-test's power, before any run is spent."""

from __future__ import annotations

import math

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
    effect = TTestIndPower().solve_power(
        effect_size=None, nobs1=runs, ratio=random_runs / runs, alpha=alpha, power=power
    )
    return float(effect) * deviation


def runs_needed(difference: float, deviation: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """The runs that each of two equal arms needs for `difference` to be found with probability `power`."""
    if difference <= 0 or deviation <= 0:
        raise ValueError("difference and deviation must be positive")
    # the solver cannot bracket effects so large that two runs would do
    effect = min(difference / deviation, 8.0)
    runs = TTestIndPower().solve_power(effect_size=effect, nobs1=None, alpha=alpha, power=power)
    return max(2, math.ceil(float(runs) - 1e-9))

"""What a comparison could have detected, and how many more runs would decide it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy import special

from nastransfer_nni.report.statistics.estimate import Estimate, Numbers, total
from nastransfer_nni.report.statistics.units import DRAW, Arm
from search_spaces.errors import UserError

POWER = 0.8
"""Probability with which a difference is called detectable."""
MOST = 1000
"""More units than these are not suggested."""


def detectable(se: Numbers, df: Numbers, alpha: float, *, power: float = POWER) -> Numbers:
    """The smallest true difference that Student's t finds with probability `power`.

    It is `se` times the noncentrality of t that puts the probability `power` above the critical value.

    Args:
        se: standard error of the difference.
        df: degrees of freedom of the standard error.
        alpha: two-sided level; divided by the number of comparisons it is the first step of Holm's method.
        power: probability of finding the difference.

    Returns:
        The difference in the unit of `se`; NaN without a standard error.
    """
    critical = special.stdtrit(df, 1 - alpha / 2)
    return special.nctdtrinc(df, 1 - power, critical) * se


def detectable_difference(
    runs: int, random_runs: int, deviation: float, power: float = POWER, alpha: float = 0.05
) -> float:
    """The smallest difference of two means that is found with probability `power`.

    Args:
        runs: independent runs in the searched arm.
        random_runs: independent runs in the random arm.
        deviation: standard deviation between runs, such as points of top-1.
        power: probability of finding a difference of the returned size.
        alpha: two-sided significance level.

    Returns:
        The difference, in the unit of `deviation`.

    Raises:
        UserError: an arm has fewer than two runs.
    """
    if min(runs, random_runs) < 2:
        raise UserError("power needs at least two runs in each arm")
    se = deviation * np.sqrt(1 / runs + 1 / random_runs)
    return float(detectable(se, runs + random_runs - 2, alpha, power=power))


def runs_needed(difference: float, deviation: float, power: float = POWER, alpha: float = 0.05) -> int:
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
    runs = 2
    while detectable_difference(runs, runs, deviation, power, alpha) > difference:
        runs += 1
    return runs


@dataclass(frozen=True)
class More:
    """What would decide a comparison: so many more units of the searched arm, and more random cells."""

    searched: int
    random: int

    def text(self, level: str) -> str:
        """In words, such as `5 more proxy draws and 20 more random cells`.

        Args:
            level: level of the searched arm's units.
        """
        units = "proxy draw" if level == DRAW else "search"
        plural = "proxy draws" if level == DRAW else "searches"
        parts = [
            f"{count} more {one if count == 1 else many}"
            for count, one, many in (
                (self.searched, units, plural),
                (self.random, "random cell", "random cells"),
            )
            if count
        ]
        return " and ".join(parts)


def more_units(searched: Arm, random: Arm, difference: float, alpha: float) -> More | None:
    """The fewest more networks that find a true difference of the given size with probability `POWER`.

    The squared standard errors shrink in proportion to the units of their arm. More units of the searched
    arm, more random cells, and more of both in proportion are tried.

    Args:
        searched: the searched arm.
        random: the random cells.
        difference: the size of the difference, in points of top-1.
        alpha: two-sided level at which it must be found.

    Returns:
        What to add; None if `MOST` more units do not suffice.
    """
    best: tuple[float, More] | None = None
    for own, other in ((1.0, 0.0), (0.0, 1.0), (1.0, random.units / searched.units)):

        def added(step: int, own: float = own, other: float = other) -> More:
            return More(ceil(step * own), ceil(step * other))

        steps = range(1, MOST + 1)
        index = bisect_left(
            steps, -abs(difference), key=lambda step: -_detectable_with(searched, random, added(step), alpha)
        )
        if index < len(steps):
            more = added(steps[index])
            cost = more.searched * searched.n / searched.units + more.random * random.n / random.units
            if best is None or cost < best[0]:
                best = cost, more
    return best[1] if best else None


def _detectable_with(searched: Arm, random: Arm, more: More, alpha: float) -> float:
    """The difference that is detectable with more units of equal variance."""
    estimates = [
        Estimate(0.0, side.se * np.sqrt(side.units / (side.units + extra)), side.df + extra)
        for side, extra in ((searched, more.searched), (random, more.random))
    ]
    gap = total(estimates)
    return float(detectable(gap.se, gap.df, alpha))

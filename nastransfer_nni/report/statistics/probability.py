"""The probability that a searched network beats a random one: the estimate that no tail can spoil."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special, stats

from nastransfer_nni.report.statistics.estimate import Estimate, Floats
from nastransfer_nni.report.statistics.looks import smallest_p
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.table import BASELINE
from nastransfer_nni.report.statistics.units import Arm, arm, clusters

MIN_UNITS = 10
"""Units of each arm from which on the permutation form is not needed."""
MIN_PERMUTED = 5
"""Units of each arm from which on the permutation form keeps its level where some searches collapse."""
CHUNK = 2_000_000
"""Numbers that the permutations keep in memory at a time, times the size of the smaller arm."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Superiority:
    """How often a searched network beats a random one, each trained once.

    Attributes:
        probability: the probability, a tie counting half.
        low, high: its interval.
        p_value: two-sided p-value for one half.
        smallest_p: smallest p-value that so many units can reach in the permutation form.
        test: `Brunner-Munzel` or `permutation`.
    """

    probability: float
    low: float
    high: float
    p_value: float
    smallest_p: float
    test: str


def superiority(searched: pd.DataFrame, random: pd.DataFrame, options: AnalysisOptions) -> Superiority | None:
    """Compare two arms by Brunner and Munzel's test [1].

    The placement of a network is the share of the other arm that it beats, and the probability is the mean
    placement of the searched networks. Its error is that of a difference of the two means of placements with
    Welch's degrees of freedom, which for independent networks is Brunner and Munzel's; placements of units
    that share draws or trainings are averaged as the accuracies are (see `units.arm`). The interval is formed
    on the logit.

    At separation, where the error is 0, and with fewer than `MIN_UNITS` in an arm, the p-value is that of the
    studentized permutation form [2]: whole units change the arm. All divisions are enumerated if there are no
    more than `options.replicates`, else so many are drawn. With fewer than `MIN_PERMUTED` units, the p-value
    is at least that of the interval. At separation the interval's inner limit is the probability with which
    min(n, m) independent pairs would all be won with probability alpha / 2.

    Args:
        searched: rows of the searched arm.
        random: rows of the baseline: random cells, or the searches of a strategy that the options name.
        options: confidence, permutations and their seed, and the baseline.

    Returns:
        The probability with its test; None if an arm has no standard error.

    References:
        [1] Brunner & Munzel. The nonparametric Behrens-Fisher problem. Biometrical J. 42, 2000.
        [2] Neubert & Brunner. A studentized permutation test for the non-parametric Behrens-Fisher problem.
            Comput. Statist. Data Anal. 51, 2007.
    """
    is_random = options.baseline == BASELINE
    wins, losses = placements(searched, random, is_random=is_random)
    if not (wins.is_testable and losses.is_testable):
        return None
    probability = Estimate(wins.mean, *_error(wins, losses))
    groups = clusters(searched), clusters(random, is_random=is_random)
    sizes = len(groups[0]), len(groups[1])
    least = smallest_p(*sizes)
    if probability.mean in (0, 1):
        low, high = _separated(wins.mean, min(sizes), options)
        return Superiority(wins.mean, low, high, least, least, "permutation")
    slope = probability.mean * (1 - probability.mean)
    logit = Estimate(special.logit(probability.mean), probability.se / slope, probability.df)
    low, high = map(float, special.expit(logit.interval(options.confidence)))
    if min(sizes) < MIN_UNITS:
        p = permutation_p(*groups, options)
        if min(sizes) < MIN_PERMUTED:
            p = max(p, float(logit.p_value()))
        return Superiority(wins.mean, low, high, p, least, "permutation")
    is_plain = (wins.units, losses.units) == (len(searched), len(random)) == sizes
    p = (
        float(stats.brunnermunzel(searched["top1"], random["top1"]).pvalue)
        if is_plain
        else float(probability.p_value(0.5))
    )
    return Superiority(wins.mean, low, high, p, least, "Brunner-Munzel")


def placements(searched: pd.DataFrame, random: pd.DataFrame, *, is_random: bool = True) -> tuple[Arm, Arm]:
    """The two arms with the placements of their networks: the share of the other arm that each beats."""
    x, y = searched["top1"].to_numpy(float), random["top1"].to_numpy(float)
    return (
        arm(searched.assign(placement=_shares(x, y)), "placement"),
        arm(random.assign(placement=_shares(y, x)), "placement", is_random=is_random),
    )


def permutation_p(searched: list[Floats], random: list[Floats], options: AnalysisOptions) -> float:
    """Two-sided p-value of the studentized permutation test of Neubert and Brunner.

    Args:
        searched: for each cluster of the searched arm the accuracies of its networks.
        random: the same for the random cells.
        options: number of permutations and their seed.
    """
    few, many = sorted((_sorted(searched), _sorted(random)), key=len)
    units = [*few, *many]
    wins = _pairs(units)
    observed = _studentized(wins, np.arange(len(few))[None])[0]
    count, size = len(units), len(few)
    if comb(count, size) <= options.replicates:
        chosen = np.array(list(combinations(range(count), size)))
        extra = 0
    else:
        order = np.random.default_rng(options.seed).random((options.replicates, count))
        chosen = np.argpartition(order, size - 1, axis=1)[:, :size]
        extra = 1  # the observed division
    step = max(1, CHUNK // count)
    t = np.concatenate(
        [_studentized(wins, chosen[start : start + step]) for start in range(0, len(chosen), step)]
    )
    above, below = int((t >= observed - ROUNDING).sum()), int((t <= observed + ROUNDING).sum())
    return min(1.0, 2 * (min(above, below) + extra) / (len(t) + extra))


def _sorted(clusters: list[Floats]) -> list[Floats]:
    """The clusters and their values in an order that does not depend on that of the rows."""
    return sorted((np.sort(values) for values in clusters), key=lambda values: values.tolist())


def _shares(values: Floats, others: Floats) -> Floats:
    """For each value the share of the others that are below it; equal ones count half."""
    ordered = np.sort(others)
    ends = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return np.asarray(ends / (2 * len(others)))


def _pairs(units: list[Floats]) -> Floats:
    """For each pair of units how often a network of the first beats one of the second, [units, units]."""
    sizes = np.array([len(unit) for unit in units])
    values = np.concatenate(units)
    wins = (np.sign(values[:, None] - values) + 1) / 2
    starts = np.cumsum(sizes) - sizes
    sums = np.add.reduceat(np.add.reduceat(wins, starts, axis=0), starts, axis=1)
    return np.asarray(sums / np.outer(sizes, sizes))


def _studentized(wins: Floats, chosen: NDArray[np.int_]) -> Floats:
    """Brunner and Munzel's statistic where the chosen units are the first arm, [divisions].

    Args:
        wins: how often a unit beats another, [units, units].
        chosen: units of the first arm, [divisions, size].
    """
    count, size = len(wins), chosen.shape[1]
    losses = wins[:, chosen].sum(-1).T / size  # of each unit to the chosen, [divisions, units]
    rows = np.arange(len(chosen))[:, None]
    own = losses[rows, chosen]
    first = (wins.sum(1)[chosen] - own * size) / (count - size)
    rest = count - size
    means = (losses.sum(1) - own.sum(1)) / rest
    squares = (losses**2).sum(1) - (own**2).sum(1)
    variance = first.var(1, ddof=1) / size + np.maximum(squares - rest * means**2, 0) / (rest - 1) / rest
    gap = first.mean(1) - 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        t = gap / np.sqrt(np.where(variance > ROUNDING**2, variance, 0))
    return np.where(np.abs(gap) < ROUNDING, 0.0, t)


def _error(wins: Arm, losses: Arm) -> tuple[float, float]:
    """Standard error of the probability and its degrees of freedom."""
    difference = wins.estimate - losses.estimate
    return difference.se, difference.df


def _separated(probability: float, pairs: int, options: AnalysisOptions) -> tuple[float, float]:
    reach = (options.alpha / 2) ** (1 / pairs)
    return (reach, 1.0) if probability == 1 else (0.0, 1 - reach)

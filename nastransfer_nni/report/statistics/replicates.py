"""Simulated replicates of the means of several arms, for what has no formula: ranks and their agreement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nastransfer_nni.report.statistics.estimate import Floats
from nastransfer_nni.report.statistics.units import Arm

MIN_HALVED = 4
"""Units that an arm needs to be split in two."""
HALVES = 200
"""Random splits of the units in two."""


def arm_replicates(
    arms: list[Arm], count: int, rng: np.random.Generator, *, is_normal: bool = False
) -> Floats:
    """Replicates of the means of arms on one proxy.

    An arm of its own is drawn from Student's t with the arm's standard error and degrees of freedom. Arms
    with the same proxy draws are drawn together from the multivariate t distribution with the covariance of
    their draw means: `mean + sum z_d (y_d - mean) / sqrt(n (n - 1)) / sqrt(chi2 / (n - 1))`, one normal z
    for each of the n draws and one chi-squared variable for all. So the difference of two arms has the t
    distribution by which the report tests it.

    Args:
        arms: the arms; each must have a standard error.
        count: number of replicates.
        rng: random stream.
        is_normal: whether the standard errors count as known: normal errors in place of Student's.

    Returns:
        The replicates, [replicates, arms].
    """
    found = np.empty((count, len(arms)))
    shared: dict[tuple[str, ...], tuple[Floats, Floats]] = {}
    for index, arm in enumerate(arms):
        if not arm.names:
            errors = rng.normal(size=count) if is_normal else rng.standard_t(arm.df, count)
            found[:, index] = arm.mean + arm.se * errors
            continue
        order = np.argsort(arm.names)
        names = tuple(arm.names[i] for i in order)
        n = arm.units
        if names not in shared:
            scales = np.ones(count) if is_normal else np.sqrt(rng.chisquare(n - 1, count) / (n - 1))
            shared[names] = rng.normal(size=(count, n)), scales
        z, scale = shared[names]
        errors = z @ (arm.values[order] - arm.mean)
        norm = np.sqrt(((arm.values - arm.mean) ** 2).sum())
        found[:, index] = arm.mean + (errors / norm * arm.se if norm else 0) / scale
    return found


def tau_rows(a: Floats, b: Floats) -> Floats:
    """Kendall's tau of the arms in each replicate, in which no two values are equal.

    Args:
        a: values on one proxy, [replicates, arms].
        b: values on another, [replicates, arms].
    """
    first, second = np.triu_indices(a.shape[1], 1)
    agree = (a[:, first] > a[:, second]) == (b[:, first] > b[:, second])
    return np.asarray(2 * np.count_nonzero(agree, axis=1) / len(first) - 1)


def split_half_taus(arms: list[Arm], rng: np.random.Generator) -> float:
    """Mean tau between the rankings by one random half of the units of each arm and by the other.

    Half of the units is noisier than all of them, so this is below the ceiling. NaN with under four units.
    """
    if min(arm.units for arm in arms) < MIN_HALVED:
        return float("nan")
    means = np.empty((2, HALVES, len(arms)))
    splits: dict[tuple[str, ...], NDArray[np.int_]] = {}
    for index, arm in enumerate(arms):
        fresh = np.argsort(rng.random((HALVES, arm.units)), axis=1)
        order = splits.setdefault(arm.names, fresh) if arm.names else fresh
        size = arm.units // 2
        for half, part in enumerate((order[:, :size], order[:, size : 2 * size])):
            means[half, :, index] = arm.values[part].mean(1)
    return float(tau_rows(*means).mean())

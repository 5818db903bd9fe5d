"""How well an evaluation orders cells: rank correlation, the best group, regret, and the ceiling of noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from nastransfer_nni.report.statistics.correlation import (
    MIN_CELLS,
    MIN_STRATEGIES,
    Interval,
    coefficients,
    kendall,
)
from nastransfer_nni.report.statistics.estimate import Floats

NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well the values of an evaluation order cells.

    Attributes:
        cells: number of cells that were evaluated.
        tau: Kendall's tau-b with the accuracies, with its interval.
        rho: Spearman's rho, with its interval.
        recall: fraction of the k best cells that are among the k best by the evaluation, with its interval.
        regret: points of top-1 that choosing the best cell by the evaluation loses, with its interval.
    """

    cells: int
    tau: Interval
    rho: Interval
    recall: Interval
    regret: Interval


def agreement(
    values: Floats,
    top1: Floats,
    strategies: Sequence[str],
    *,
    top: int,
    confidence: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> Agreement:
    """Compare the values of an evaluation with known accuracies.

    The intervals of the correlations are those of `correlation.coefficients`; those of recall and regret are
    percentiles of a bootstrap. Both hold the cells of one strategy for a cluster: they need a single strategy
    or four of them. Equal values are ordered at random, and the mean over the orders is taken.

    Args:
        values: values of the evaluation, float64 [cells]; a larger one promises a better cell.
        top1: known accuracies in percent, float64 [cells].
        strategies: what found each cell, [cells].
        top: size k of the best group.
        confidence: coverage of the intervals.
        replicates: bootstrap samples.
        seed: random seed of the bootstrap.
    """
    ranks, names = stats.rankdata(values), list(strategies)
    top = min(top, len(values) // 2)
    if len(values) < MIN_CELLS or len(set(ranks)) == 1 or len(set(top1)) == 1:
        none = (NAN, NAN, NAN)
        return Agreement(cells=len(values), tau=none, rho=none, recall=none, regret=none)
    found = coefficients(ranks, top1, names, confidence)
    draws = _draws(names, replicates, np.random.default_rng(seed))

    def estimated(measure: Callable[[Floats, Floats], float]) -> Interval:
        drawn = [measure(ranks[rows], top1[rows]) for rows in draws]
        tails = ((1 - confidence) / 2, (1 + confidence) / 2)
        low, high = np.quantile(drawn, tails) if drawn else (NAN, NAN)
        return measure(ranks, top1), float(low), float(high)

    return Agreement(
        cells=len(values),
        tau=found["Kendall's tau-b"],
        rho=found["Spearman's rho"],
        recall=estimated(lambda ranked, known: recall(ranked, known, top)),
        regret=estimated(regret),
    )


def recall(values: Floats, top1: Floats, k: int) -> float:
    """Expected fraction of the `k` best cells that are among the `k` best by `values`.

    Where cells with equal values are more than the places that are left for them, each has the same chance.
    """
    return float((_chances(values, k) * _chances(top1, k)).sum() / k)


def regret(values: Floats, top1: Floats) -> float:
    """Points of top-1 that the best cell by `values`, or the mean of equally good ones, is below the best."""
    return max(0.0, float(top1.max() - top1[values == values.max()].mean()))


def ceiling(
    top1: Floats, trainings: np.ndarray, noise: float, *, replicates: int = 2000, seed: int = 0
) -> Interval:
    """Kendall's tau that a perfect evaluation would reach against accuracies as noisy as these.

    The true accuracies are the observed ones, shrunk towards their mean by the root of the reliability, so
    that they vary as true ones do; measured ones have normal noise besides.

    Args:
        top1: known accuracies in percent, float64 [cells].
        trainings: number of trainings of each cell, int64 [cells].
        noise: standard deviation between trainings of one cell, in points.
        replicates: simulated measurements.
        seed: random seed of the simulation.

    Returns:
        Mean of tau, with the limits between which it lies in 95% of the measurements.
    """
    errors = noise / np.sqrt(trainings)
    variance = float(top1.var(ddof=1))
    reliability = max(0.0, 1 - float((errors**2).mean()) / variance) if variance else 0.0
    true = top1.mean() + np.sqrt(reliability) * (top1 - top1.mean())
    rng = np.random.default_rng(seed)
    taus = [kendall(true, true + errors * rng.standard_normal(len(true))) for _ in range(replicates)]
    low, high = np.nanquantile(taus, (0.025, 0.975)) if reliability else (NAN, NAN)
    return float(np.nanmean(taus)) if reliability else 0.0, float(low), float(high)


def _chances(values: Floats, k: int) -> Floats:
    """For each cell the chance to be among the `k` best, with equal values in random order."""
    border = np.sort(values)[-k]
    above, equal = values > border, values == border
    return above + equal * (k - above.sum()) / equal.sum()


def _draws(names: Sequence[str], replicates: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Bootstrap samples of cells, as rows; of whole strategies where there are several, which takes four."""
    groups = [np.flatnonzero(np.array(names) == name) for name in dict.fromkeys(names)]
    if len(groups) == 1:
        return list(rng.integers(len(names), size=(replicates, len(names))))
    if len(groups) < MIN_STRATEGIES:
        return []
    chosen = rng.integers(len(groups), size=(replicates, len(groups)))
    return [np.concatenate([groups[group] for group in row]) for row in chosen]

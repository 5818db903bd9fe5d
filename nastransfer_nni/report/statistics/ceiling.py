"""The noise ceiling of a correlation: how well two trainings of the same cells agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from nastransfer_nni.report.statistics.estimate import Floats

MIN_CELLS = 5
"""Cells below which two trainings are not correlated."""
REPLICATES = 20
"""Simulated pairs of replications."""


def repeated(rows: pd.DataFrame) -> tuple[Floats, Floats] | None:
    """Accuracy of the first and of the second training of each cell that was trained twice.

    Args:
        rows: rows of one setting and source; a cell may be listed for several searches.

    Returns:
        The accuracies in percent, each [cells]; None with fewer than `MIN_CELLS` cells.
    """
    known = rows[(rows["genotype"] != "") & (rows["train_seed"] != "")]
    trained = known.groupby(["genotype", "train_seed"], sort=True)["top1"].mean().groupby(level=0)
    first, second = trained.nth(0).droplevel(1), trained.nth(1).droplevel(1)
    if len(second) < MIN_CELLS:
        return None
    return first[second.index].to_numpy(float), second.to_numpy(float)


def simulated(top1: Floats, noise: Floats, seed: int = 0) -> float:
    """Kendall's tau-b to expect between two measurements, from the noise of one.

    The observed accuracies are shrunk towards their mean by the root of their reliability,
    `1 - mean(noise^2) / variance`: they then vary as the true ones do. Two replications of them with normal
    noise are correlated.

    Args:
        top1: observed accuracies in percent, [cells].
        noise: standard deviation of one measurement of each cell, in points, [cells].
        seed: random seed of the replications.

    Returns:
        The mean tau over the replications; NaN where the noise explains all of the variance.
    """
    reliability = 1 - float(np.mean(noise**2)) / float(top1.var(ddof=1))
    if not reliability > 0:
        return float("nan")
    true = top1.mean() + np.sqrt(reliability) * (top1 - top1.mean())
    rng = np.random.default_rng(seed)
    pairs = true + noise * rng.normal(size=(REPLICATES, 2, len(true)))
    return float(np.mean([stats.kendalltau(first, second).statistic for first, second in pairs]))

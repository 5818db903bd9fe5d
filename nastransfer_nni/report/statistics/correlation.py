"""Accuracy on the source against accuracy on the target: is the best cell on the source good on the target?

Both are accuracies of the same cell trained from scratch. The score that a search gave the cell
(`search_score`) is not comparable between strategies and is not used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from nastransfer_nni.report.statistics.bootstrap import MIN_RUNS, Floats
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.table import Setting, label, settings

MIN_CELLS = 5
"""Cells below which no correlation is computed: the variance of tau needs more than four."""
TOP_K = (1, 3, 5, 10)


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Source against target accuracy of the cells found on one source, in one setting.

    Attributes:
        setting: target and training protocol.
        source: data set that `source_top1` was measured on.
        cells: one row per cell with the columns `strategy`, `source_top1` and `top1`, both averaged over the
            trainings of the cell, in percent.
        coefficients: for each coefficient its value and the limits of its interval.
        recall: for each k the fraction of the k best cells on the target that are among the k best on the
            source.
        regret: top-1 on the target, in points, that choosing the best cell on the source loses against the
            best cell on the target.
        sufficient: whether there are enough cells to conclude anything.
    """

    setting: Setting
    source: str
    cells: pd.DataFrame
    coefficients: dict[str, tuple[float, float, float]]
    recall: dict[int, float]
    regret: float
    sufficient: bool


def correlations(table: pd.DataFrame, options: AnalysisOptions) -> list[Correlation]:
    """Correlate source and target accuracy for each setting and source.

    Sources with fewer than `MIN_CELLS` cells of known `source_top1`, or with equal accuracies only, are left
    out.
    """
    found = []
    for setting, rows in settings(table):
        for source, part in rows[rows["source_top1"].notna()].groupby("source", sort=False):
            cells = _cells(part)
            x, y = cells["source_top1"].to_numpy(), cells["top1"].to_numpy()
            if len(cells) < MIN_CELLS or len(set(x)) == 1 or len(set(y)) == 1:
                continue
            best_on_source, best_on_target = _descending(x), _descending(y)
            found.append(
                Correlation(
                    setting=setting,
                    source=str(source),
                    cells=cells,
                    coefficients=coefficients(x, y, options.confidence),
                    recall={
                        k: len({*best_on_source[:k]} & {*best_on_target[:k]}) / k
                        for k in TOP_K
                        if k <= len(cells) // 2
                    },
                    regret=float(y[best_on_target[0]] - y[best_on_source[0]]),
                    sufficient=len(cells) >= MIN_RUNS,
                )
            )
    return found


def coefficients(x: Floats, y: Floats, confidence: float) -> dict[str, tuple[float, float, float]]:
    """Pearson's r, Spearman's rho and Kendall's tau-b with their intervals.

    The intervals are computed with Fisher's z-transformation; the variances for the two rank correlations are
    those of Bonett & Wright (Psychometrika 65, 2000).

    Args:
        x: float64 [cells], not all equal; at least five cells.
        y: float64 [cells], not all equal.
        confidence: coverage of the intervals, as a fraction.

    Returns:
        For the name of each coefficient its value and the lower and upper limit of its interval.
    """
    n = len(x)
    r, rho, tau = (float(f(x, y).statistic) for f in (stats.pearsonr, stats.spearmanr, stats.kendalltau))
    variances = {
        "Spearman's rho": (rho, (1 + rho**2 / 2) / (n - 3)),
        "Kendall's tau-b": (tau, 0.437 / (n - 4)),
        "Pearson's r": (r, 1 / (n - 3)),
    }
    reach = stats.norm.ppf(0.5 + confidence / 2)
    found = {}
    for name, (value, variance) in variances.items():
        z = np.arctanh(np.clip(value, -1 + 1e-12, 1 - 1e-12))
        low, high = np.tanh(z + np.array([-1, 1]) * reach * np.sqrt(variance))
        found[name] = (value, float(low), float(high))
    return found


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Average the trainings of each cell; a row with neither seed nor cell counts as a cell of its own."""
    is_known = (rows["search_seed"] != "") | (rows["genotype"] != "")
    names = [label(*pair) for pair in zip(rows["strategy"], rows["strategy_options"], strict=True)]
    keys = ["strategy", "proxy", "proxy_seed", "search_seed", "genotype", "row"]
    numbered = rows.assign(strategy=names, row=np.where(is_known, -1, np.arange(len(rows))))
    means = numbered.groupby(keys, sort=False)[["source_top1", "top1"]].mean().reset_index()
    return means[["strategy", "source_top1", "top1"]]


def _descending(values: Floats) -> list[int]:
    """Indices of the values, largest first."""
    return [int(i) for i in np.argsort(-values, kind="stable")]

"""Source accuracy against target accuracy: does choosing on the source choose well for the target?

Both are accuracies of the same cell trained from scratch; what a search saw of it (`search_score`) is not
comparable between strategies and never enters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from nastransfer_nni.report.statistics.bootstrap import MIN_RUNS, Floats
from nastransfer_nni.report.statistics.improvement import Options
from nastransfer_nni.report.statistics.table import Setting, label, settings

TOP_K = (1, 3, 5, 10)


@dataclass(frozen=True)
class Correlation:
    """The cells of one source in one setting.

    Attributes:
        setting: target and protocol.
        source: where `source_top1` was measured.
        cells: columns strategy, source_top1, top1, one row a cell, averaged over its trainings.
        coefficients: name -> (value, low, high).
        recall: k -> share of the target's k best cells among the source's k best.
        regret: top1 that the best cell on the source loses to the best on the target, in points.
        sufficient: whether there are cells enough for a finding.
    """

    setting: Setting
    source: str
    cells: pd.DataFrame
    coefficients: dict[str, tuple[float, float, float]]
    recall: dict[int, float]
    regret: float
    sufficient: bool


def correlations(table: pd.DataFrame, options: Options) -> list[Correlation]:
    """The correlation for each setting and source with at least five cells whose source_top1 is known."""
    found = []
    for setting, rows in settings(table[table["source_top1"].notna()]):
        for source, part in rows.groupby("source", sort=False):
            cells = _cells(part)
            if len(cells) < 5 or cells["source_top1"].nunique() == 1 or cells["top1"].nunique() == 1:
                continue
            x, y = cells["source_top1"].to_numpy(), cells["top1"].to_numpy()
            chosen, best = _order(x), _order(y)
            found.append(
                Correlation(
                    setting,
                    str(source),
                    cells,
                    coefficients(x, y, options.confidence),
                    {k: len({*chosen[:k]} & {*best[:k]}) / k for k in TOP_K if k <= len(cells) // 2},
                    float(y[best[0]] - y[chosen[0]]),
                    len(cells) >= MIN_RUNS,
                )
            )
    return found


def coefficients(x: Floats, y: Floats, confidence: float) -> dict[str, tuple[float, float, float]]:
    """Pearson's r, Spearman's rho and Kendall's tau-b of `x` and `y` [cells], each with its interval.

    Intervals by Fisher's transformation, with the variances of Bonett & Wright (2000, Psychometrika 65) for
    the two rank correlations.
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
    told = (rows["search_seed"] != "") | (rows["genotype"] != "")
    names = [label(*pair) for pair in zip(rows["strategy"], rows["strategy_options"], strict=True)]
    keys = ["strategy", "proxy", "proxy_seed", "search_seed", "genotype", "alone"]
    numbered = rows.assign(strategy=names, alone=np.where(told, -1, np.arange(len(rows))))
    return (
        numbered.groupby(keys, sort=False)[["source_top1", "top1"]]
        .mean()
        .reset_index()[["strategy", "source_top1", "top1"]]
    )


def _order(values: Floats) -> list[int]:
    return [int(i) for i in np.argsort(-values, kind="stable")]

"""Accuracy on the source against accuracy on the target: is the best cell on the source good on the target?

Both are accuracies of the same cell trained from scratch. The score that a search gave the cell
(`search_score`) is not comparable between strategies and is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats

from nastransfer_nni.report.statistics import ceiling
from nastransfer_nni.report.statistics.estimate import Floats
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.table import Setting, label, settings

MIN_CELLS = 5
"""Cells below which no correlation is computed: the variance of tau needs more than four."""
MIN_STRATEGIES = 4
"""Strategies from which on an interval for all of their cells is computed."""
TOP_K = (1, 3, 5, 10)
TOP_SHARE = 0.1

Interval = tuple[float, float, float]
"""A coefficient with the lower and upper limit of its interval, which may be NaN."""


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Source against target accuracy of the cells found on one source, in one setting.

    Attributes:
        setting: target and training protocol.
        source: data set that `source_top1` was measured on.
        cells: one row per distinct cell of a strategy with the columns `strategy`; `source_top1`, `top1`
            (averaged over the trainings of the cell, in percent), `params` and `mult_adds`.
        coefficients: Spearman's rho, Kendall's tau-b and Pearson's r over all cells.
        within: Kendall's tau-b within strategies; its value is NaN if no strategy has `MIN_CELLS` cells.
        between: Kendall's tau-b of the strategies' means; its value is NaN under three strategies.
        alone: what the size of the network predicts by itself: Kendall's tau-b of `params` and of `mult_adds`
            with the accuracy on the target, where they are known.
        best_tenth: Kendall's tau-b among the tenth of the cells that is best on the source; None where that
            has fewer than `MIN_CELLS`.
        ceiling: Kendall's tau-b of two trainings of the same cells, without limits where it follows from a
            noise that is known otherwise; None where nothing tells it.
        recall: for each k the fraction of the k best cells on the target that are among the k best on the
            source.
        regret: top-1 on the target, in points, that choosing the best cell on the source loses against the
            best cell on the target.
        clusters: number of strategies, which are the clusters of the intervals.
        sufficient: whether there is an interval over all cells.
    """

    setting: Setting
    source: str
    cells: pd.DataFrame
    coefficients: dict[str, Interval]
    within: Interval
    between: Interval
    alone: dict[str, Interval]
    best_tenth: Interval | None
    ceiling: Interval | None
    recall: dict[int, float]
    regret: float
    clusters: int
    sufficient: bool


def correlations(table: pd.DataFrame, options: AnalysisOptions) -> list[Correlation]:
    """Correlate source and target accuracy for each setting and source.

    Sources with fewer than `MIN_CELLS` cells of known `source_top1`, or with equal accuracies only, are left
    out.
    """
    found = []
    for setting, rows in settings(table):
        for source, part in rows[rows["source_top1"].notna()].groupby("source", sort=False):
            cells = distinct_cells(part)
            x, y = cells["source_top1"].to_numpy(), cells["top1"].to_numpy()
            if len(cells) < MIN_CELLS or len(set(x)) == 1 or len(set(y)) == 1:
                continue
            found.append(_correlation(setting, str(source), part, options.confidence))
    return found


def coefficients(x: Floats, y: Floats, clusters: list[str], confidence: float) -> dict[str, Interval]:
    """Spearman's rho, Kendall's tau-b and Pearson's r with their intervals.

    Cells of one strategy resemble each other, so that they are no independent points. With `MIN_STRATEGIES`
    or more clusters, the interval comes from the jackknife over clusters of Fisher's z, with Student's t of
    one degree of freedom fewer than there are clusters. With a single cluster the cells are independent, and
    Fisher's z has the variance 1 / (n - 3) for Pearson's r, and for the rank correlations those of Bonett and
    Wright [1]: (1 + rho^2 / 2) / (n - 3) and 0.437 / (n - 4). Between, there is no interval.

    Args:
        x: float64 [cells], not all equal; at least five cells.
        y: float64 [cells], not all equal.
        clusters: strategy of each cell, [cells].
        confidence: coverage of the intervals, as a fraction.

    Returns:
        For the name of each coefficient its value and the lower and upper limit of its interval.

    References:
        [1] Bonett & Wright. Sample size requirements for estimating Pearson, Kendall and Spearman
            correlations. Psychometrika 65, 2000.
    """
    n = len(x)
    rules: dict[str, tuple[Callable[..., float], Callable[[float], float]]] = {
        "Spearman's rho": (_spearman, lambda rho: (1 + rho**2 / 2) / (n - 3)),
        "Kendall's tau-b": (kendall, lambda tau: 0.437 / (n - 4)),
        "Pearson's r": (_pearson, lambda r: 1 / (n - 3)),
    }
    found = {}
    labels = np.array(clusters)
    for name, (measure, variance) in rules.items():
        value = measure(x, y)
        z, df = _fisher(value), float("inf")
        if len(set(clusters)) == 1:
            se = np.sqrt(variance(value))
        else:
            se, df = _jackknife(x, y, labels, measure)
        found[name] = (value, *_limits(z, se, df, confidence))
    return found


def kendall(x: Floats, y: Floats) -> float:
    """Kendall's tau-b; NaN where one side is constant."""
    return float(stats.kendalltau(x, y).statistic)


def distinct_cells(rows: pd.DataFrame) -> pd.DataFrame:
    """The distinct cells of each strategy, averaged over their trainings and the searches that found them.

    A row with neither seed nor cell counts as a cell of its own.

    Returns:
        Columns: `strategy` with its options, `source_top1`, `top1`, `params`, `mult_adds`.
    """
    names = [label(*pair) for pair in zip(rows["strategy"], rows["strategy_options"], strict=True)]
    columns = ["source_top1", "top1", "params", "mult_adds"]
    seeds = rows["proxy"] + "\0" + rows["proxy_seed"] + "\0" + rows["search_seed"]
    numbers = pd.Series([f"\1{number}" for number in range(len(rows))], index=rows.index)
    cells = rows["genotype"].where(rows["genotype"] != "", seeds.where(rows["search_seed"] != "", numbers))
    keyed = rows[columns].assign(strategy=names, cell=cells)
    means = keyed.groupby(["strategy", "cell"], sort=False)[columns].mean().reset_index()
    return means[["strategy", *columns]]


def _correlation(setting: Setting, source: str, rows: pd.DataFrame, confidence: float) -> Correlation:
    cells = distinct_cells(rows)
    x, y = cells["source_top1"].to_numpy(), cells["top1"].to_numpy()
    names = cells["strategy"].tolist()
    on_source, on_target = _descending(x), _descending(y)
    found = coefficients(x, y, names, confidence)
    means = cells.groupby("strategy", sort=False)[["source_top1", "top1"]].mean()
    top = on_source[: int(len(cells) * TOP_SHARE)]
    return Correlation(
        setting=setting,
        source=source,
        cells=cells,
        coefficients=found,
        within=_within(cells, confidence),
        between=_tau(means["source_top1"].to_numpy(float), means["top1"].to_numpy(float), confidence),
        alone={
            size: _clustered_tau(cells[cells[size].notna()], size, confidence)
            for size in ("params", "mult_adds")
            if cells[size].nunique() > 1 and cells[size].notna().sum() >= MIN_CELLS
        },
        best_tenth=_clustered_tau(cells.iloc[top], "source_top1", confidence)
        if len(top) >= MIN_CELLS
        else None,
        ceiling=_ceiling(rows, confidence),
        recall={k: len({*on_source[:k]} & {*on_target[:k]}) / k for k in TOP_K if k <= len(cells) // 2},
        regret=float(y[on_target[0]] - y[on_source[0]]),
        clusters=len(set(names)),
        sufficient=not np.isnan(found["Kendall's tau-b"][1]),
    )


def _ceiling(rows: pd.DataFrame, confidence: float) -> Interval | None:
    """Agreement of two trainings: of repeated ones, or by the column `noise` of a published table."""
    if (pair := ceiling.repeated(rows)) is not None:
        return _tau(*pair, confidence)
    if "noise" not in rows or rows["noise"].isna().any():
        return None
    value = ceiling.simulated(rows["top1"].to_numpy(float), rows["noise"].to_numpy(float))
    return None if np.isnan(value) else (value, float("nan"), float("nan"))


def _clustered_tau(cells: pd.DataFrame, column: str, confidence: float) -> Interval:
    x, y = cells[column].to_numpy(float), cells["top1"].to_numpy()
    if len(set(x)) == 1 or len(set(y)) == 1:
        return float("nan"), float("nan"), float("nan")
    return coefficients(x, y, cells["strategy"].tolist(), confidence)["Kendall's tau-b"]


def _tau(x: Floats, y: Floats, confidence: float) -> Interval:
    """Kendall's tau-b of independent points; no value under three, no interval under five."""
    if len(x) < 3:
        return float("nan"), float("nan"), float("nan")
    value = kendall(x, y)
    se = np.sqrt(0.437 / (len(x) - 4)) if len(x) >= MIN_CELLS else float("nan")
    return (value, *_limits(_fisher(value), se, float("inf"), confidence))


def _within(cells: pd.DataFrame, confidence: float) -> Interval:
    """Kendall's tau-b within strategies: the mean of Fisher's z, each weighted by its variance's inverse."""
    zs, weights = [], []
    for _, group in cells.groupby("strategy", sort=False):
        if len(group) >= MIN_CELLS and group["top1"].nunique() > 1 and group["source_top1"].nunique() > 1:
            zs.append(_fisher(kendall(group["source_top1"].to_numpy(float), group["top1"].to_numpy(float))))
            weights.append(len(group) - 4)
    if not zs:
        return float("nan"), float("nan"), float("nan")
    z = float(np.average(zs, weights=weights))
    limits = _limits(z, float(np.sqrt(0.437 / sum(weights))), float("inf"), confidence)
    return (float(np.tanh(z)), *limits)


def _jackknife(
    x: Floats, y: Floats, labels: np.ndarray, measure: Callable[..., float]
) -> tuple[float, float]:
    """Standard error of Fisher's z from leaving out one cluster at a time, and its degrees of freedom."""
    names = np.unique(labels)
    count = len(names)
    if count < MIN_STRATEGIES:
        return float("nan"), float("nan")
    zs = np.array([_fisher(measure(x[labels != name], y[labels != name])) for name in names])
    return float(np.sqrt((count - 1) / count * np.square(zs - zs.mean()).sum())), count - 1.0


def _fisher(value: float) -> float:
    return float(np.arctanh(np.clip(value, -1 + 1e-12, 1 - 1e-12)))


def _limits(z: float, se: float, df: float, confidence: float) -> tuple[float, float]:
    """Limits of a correlation whose Fisher's z has the given standard error; NaN for one of 1 or -1."""
    if abs(np.tanh(z)) > 1 - 1e-9:
        return float("nan"), float("nan")
    level = 0.5 + confidence / 2
    reach = (special.ndtri(level) if df == float("inf") else special.stdtrit(df, level)) * se
    return float(np.tanh(z - reach)), float(np.tanh(z + reach))


def _spearman(x: Floats, y: Floats) -> float:
    return float(stats.spearmanr(x, y).statistic)


def _pearson(x: Floats, y: Floats) -> float:
    return float(stats.pearsonr(x, y).statistic)


def _descending(values: Floats) -> list[int]:
    """Indices of the values, largest first."""
    return [int(i) for i in np.argsort(-values, kind="stable")]

"""The results table in short: one row per strategy and proxy, and per pool of random cells."""

from __future__ import annotations

import pandas as pd

from nastransfer_nni.report.statistics.comparison import Comparison, random_pools
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.table import COUNTS_SINCE_0_2
from nastransfer_nni.report.statistics.units import Arm

MEANS = (
    "params",
    "mult_adds",
    "parameter_free_share",
    "search_seconds",
    "search_samples",
    *COUNTS_SINCE_0_2,
    "train_seconds",
)


def summarise(comparisons: list[Comparison], options: AnalysisOptions) -> pd.DataFrame:
    """Accuracy, size and cost of each strategy on each proxy, and of each pool of random cells.

    Returns:
        Columns: `setting`; `source`, `proxy`, both empty for random cells; `strategy`; `top1`, mean in
        percent, with its interval `ci_low` to `ci_high` at `options.confidence` (NaN without a standard
        error); the means of `MEANS`, columns of the results table, NaN where unknown; `n` separately trained
        networks, `searches`, distinct `cells` and `proxy_draws` among them; `sufficient`, whether the arm can
        be tested; `genotype` with the highest mean top-1 of the row.
    """
    searched = [
        {
            "setting": str(comparison.setting),
            "source": comparison.source,
            "proxy": comparison.proxy,
            "strategy": comparison.strategy,
            **_row(comparison.rows, comparison.searched, options),
        }
        for comparison in comparisons
        if comparison.searched
    ]
    random = [
        {
            "setting": str(comparison.setting),
            "source": "",
            "proxy": "",
            "strategy": name,
            **_row(comparison.pool, comparison.random, options),
        }
        for name, comparison in random_pools(comparisons)
        if comparison.random
    ]
    return pd.DataFrame([*searched, *random])


def _row(rows: pd.DataFrame, arm: Arm, options: AnalysisOptions) -> dict[str, object]:
    low, high = arm.estimate.interval(options.confidence)
    by_cell = rows[rows["genotype"] != ""].groupby("genotype", sort=False)["top1"].mean()
    return {
        "top1": arm.mean,
        "ci_low": float(low),
        "ci_high": float(high),
        **{column: float(rows[column].mean()) for column in MEANS},
        "n": arm.n,
        "searches": arm.searches,
        "cells": arm.cells,
        "proxy_draws": arm.draws if rows["proxy_seed"].any() else 0,
        "sufficient": arm.is_testable,
        "genotype": str(by_cell.idxmax()) if len(by_cell) else "",
    }

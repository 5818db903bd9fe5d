"""The results table in short: a row for each strategy and proxy, and for each pool of random cells."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nastransfer_nni.report.statistics.bootstrap import Arm
from nastransfer_nni.report.statistics.improvement import Comparison, Options
from nastransfer_nni.report.statistics.table import BASELINE, label

MEANS = ("params", "mult_adds", "parameter_free_share", "search_seconds", "search_samples", "train_seconds")


def summarise(comparisons: list[Comparison], options: Options) -> pd.DataFrame:
    """Mean top1 with its interval and the means of sizes and costs, per setting, proxy and strategy.

    `genotype` is the cell with the best mean top1 of its row.
    """
    rows, random = [], []
    pools = set()
    for comparison in comparisons:
        setting = str(comparison.setting)
        if comparison.searched:
            rows.append(
                {
                    "setting": setting,
                    "source": comparison.source,
                    "proxy": comparison.proxy,
                    "strategy": comparison.strategy,
                    **_row(comparison.rows, comparison.searched, options),
                }
            )
        pool = (setting, *comparison.pool.index)
        if comparison.random and pool not in pools:
            pools.add(pool)
            name = label(BASELINE, comparison.pool["strategy_options"].iloc[0])
            row = _row(comparison.pool, comparison.random, options)
            random.append({"setting": setting, "source": "", "proxy": "", "strategy": name, **row})
    return pd.DataFrame([*rows, *random])


def _row(rows: pd.DataFrame, arm: Arm, options: Options) -> dict[str, object]:
    low, high = np.quantile(arm.draws, options.tails) if arm.units > 1 else (np.nan, np.nan)
    by_cell = rows[rows["genotype"] != ""].groupby("genotype", sort=False)["top1"].mean()
    return {
        "top1": arm.mean,
        "ci_low": float(low),
        "ci_high": float(high),
        **{column: float(rows[column].mean()) for column in MEANS},
        "n": arm.n,
        "searches": arm.searches,
        "proxy_draws": rows["proxy_seed"].nunique(),
        "sufficient": arm.is_sufficient,
        "genotype": str(by_cell.idxmax()) if len(by_cell) else "",
    }

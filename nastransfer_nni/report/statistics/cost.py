"""Cost against quality: which strategies no other one beats in both."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nastransfer_nni.report.statistics.bootstrap import Floats
from nastransfer_nni.report.statistics.improvement import Comparison
from nastransfer_nni.report.statistics.table import BASELINE, label


def front(cost: Floats, quality: Floats) -> NDArray[np.bool_]:
    """Which points [n] no other beats: none is better at no more cost, or as good at less."""
    order = np.lexsort((-quality, cost))
    on_front = np.zeros(len(cost), bool)
    best, best_cost = -np.inf, -np.inf
    for i in order:
        if quality[i] > best or (quality[i] == best and cost[i] == best_cost):
            on_front[i] = True
            best, best_cost = quality[i], cost[i]
    return on_front


def cost_table(comparisons: list[Comparison]) -> pd.DataFrame:
    """Mean search_seconds and top1 of each strategy and proxy, and of random, with the front per setting.

    Strategies whose search cost is not known are left out. A random cell costs no search.
    """
    rows = []
    pools = set()
    for comparison in comparisons:
        setting = str(comparison.setting)
        if comparison.searched and comparison.rows["search_seconds"].notna().all():
            seconds = float(comparison.rows["search_seconds"].mean())
            rows.append((setting, comparison.where, comparison.strategy, seconds, comparison.searched.mean))
        pool = (setting, *comparison.pool.index)
        if comparison.random and pool not in pools:
            pools.add(pool)
            name = label(BASELINE, comparison.pool["strategy_options"].iloc[0])
            rows.append((setting, "", name, 0.0, comparison.random.mean))
    frame = pd.DataFrame(rows, columns=["setting", "proxy", "strategy", "search_seconds", "top1"])
    frame["on_front"] = False
    for _, part in frame.groupby("setting", sort=False):
        frame.loc[part.index, "on_front"] = front(part["search_seconds"].to_numpy(), part["top1"].to_numpy())
    return frame

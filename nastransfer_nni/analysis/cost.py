"""Cost against quality: which strategies no other one beats in both."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nastransfer_nni.analysis.bootstrap import Floats
from nastransfer_nni.analysis.improvement import Comparison
from nastransfer_nni.analysis.table import BASELINE, baseline_of


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


def cost_table(comparisons: list[Comparison], table: pd.DataFrame) -> pd.DataFrame:
    """Mean search_seconds and top1 of each strategy and proxy, and of random, with the front per setting.

    Strategies whose search cost is not known are left out.
    """
    rows = []
    seen = set()
    for comparison in comparisons:
        setting = comparison.setting
        if comparison.searched and comparison.rows["search_seconds"].notna().all():
            rows.append(_row(str(setting), comparison.where, comparison.strategy, comparison.rows))
        if setting in seen:
            continue
        seen.add(setting)
        inside = (table[["target", "protocol", "protocol_hash"]] == [*setting.__dict__.values()]).all(axis=1)
        random = baseline_of(table[inside], "")
        if len(random):
            rows.append(_row(str(setting), "", BASELINE, random.fillna({"search_seconds": 0.0})))
    frame = pd.DataFrame(rows, columns=["setting", "proxy", "strategy", "search_seconds", "top1"])
    frame["on_front"] = False
    for _, part in frame.groupby("setting", sort=False):
        frame.loc[part.index, "on_front"] = front(part["search_seconds"].to_numpy(), part["top1"].to_numpy())
    return frame


def _row(setting: str, proxy: str, strategy: str, rows: pd.DataFrame) -> dict[str, object]:
    return {
        "setting": setting,
        "proxy": proxy,
        "strategy": strategy,
        "search_seconds": float(rows["search_seconds"].mean()),
        "top1": float(rows["top1"].mean()),
    }

"""Search cost against accuracy: which strategies no other one beats in both."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nastransfer_nni.report.statistics.comparison import Comparison, random_pools
from search_spaces.pareto import pareto_front

_COSTS = ("search_seconds", "proxy_seconds", "images", "forward_images")


def cost_table(comparisons: list[Comparison]) -> pd.DataFrame:
    """Search cost and accuracy of each strategy on each proxy, and of each pool of random cells.

    Strategies whose search cost is not known for every run are left out, and so are settings where no search
    of known cost remains.

    Returns:
        Columns: `setting`; `proxy`, the source and the proxy in one name, empty for random cells; `strategy`;
        `search_seconds`, mean over runs, with what the proxy's scorers took; `proxy_seconds`, the scorers'
        part of it; `images` and `forward_images`, with and without a gradient, of search and scorers; all 0
        for random cells, which need no search; `top1`, mean in percent; `on_front`, whether no other row of
        the setting costs less without a lower top-1, or has a higher top-1 at no higher cost. Scorers whose
        cost is not known count as 0, and other unknown numbers are NaN.
    """
    rows = [
        (
            str(comparison.setting),
            comparison.place,
            comparison.strategy,
            *_costs(comparison.rows),
            comparison.searched.mean,
        )
        for comparison in comparisons
        if comparison.searched and comparison.rows["search_seconds"].notna().all()
    ]
    rows += [
        (str(comparison.setting), "", name, 0.0, 0.0, 0.0, 0.0, comparison.random.mean)
        for name, comparison in random_pools(comparisons)
        if comparison.random
    ]
    frame = pd.DataFrame(rows, columns=["setting", "proxy", "strategy", *_COSTS, "top1"])
    frame = frame[frame.groupby("setting")["search_seconds"].transform("max") > 0].reset_index(drop=True)
    frame["on_front"] = False
    for _, part in frame.groupby("setting", sort=False):
        objectives = np.column_stack([part["search_seconds"], -part["top1"]])
        frame.loc[part.index[pareto_front(objectives)], "on_front"] = True
    return frame


def _costs(rows: pd.DataFrame) -> tuple[float, float, float, float]:
    """The columns `_COSTS` of the runs of one strategy on one proxy."""
    scorers = rows[["proxy_seconds", "proxy_samples", "proxy_forward_samples"]].fillna(0).mean()
    search = rows[["search_seconds", "search_samples", "search_forward_samples"]].mean()
    seconds, images, forward_images = (search.to_numpy() + scorers.to_numpy()).tolist()
    return seconds, float(scorers["proxy_seconds"]), images, forward_images

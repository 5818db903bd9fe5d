"""What the strategies of a table are compared with: random cells, another strategy, or each other."""

from __future__ import annotations

import pandas as pd

from nastransfer_nni.report.statistics.table import BASELINE, is_baseline, label
from search_spaces.errors import unknown

NONE = "none"
"""What a user writes to compare all pairs of strategies."""


def find_baseline(table: pd.DataFrame, name: str = "") -> str:
    """The baseline of a table.

    Args:
        table: results table, as `reading.check` returns it.
        name: the strategy that was asked for, with or without its options; `none` for none, empty to take
            random cells where there are any.

    Returns:
        `random` for random cells, the name of a strategy with its options, or "" for none.

    Raises:
        UserError: there is no such strategy.
    """
    if name == NONE:
        return ""
    kinds = table[["strategy", "strategy_options"]].drop_duplicates().itertuples(index=False)
    labels = {label(strategy, options): strategy for strategy, options in kinds}
    if not name:
        if is_baseline(table).any():
            return BASELINE
        alike = [text for text in labels if text.lower() == BASELINE]
        return alike[0] if len(alike) == 1 else ""
    if name == BASELINE and is_baseline(table).any():
        return BASELINE
    named = [text for text, strategy in labels.items() if strategy == name]
    if name in labels or len(named) == 1:
        return name if name in labels else named[0]
    raise unknown("strategy", name, [*labels, NONE])


def describe(table: pd.DataFrame, baseline: str) -> str:
    """What the strategies are compared with, in words."""
    names = table["strategy"].combine(table["strategy_options"], label)
    if not baseline and names.nunique() == 1:
        return "no random cells to compare with"
    if not baseline:
        return "no random cells: all pairs of strategies are compared"
    if baseline == BASELINE:
        rows = table[is_baseline(table)]
        spaces = rows["strategy_options"].nunique() > 1 or (rows["strategy_options"] != "").any()
        return (
            f"compared with random cells: {_rows(len(rows))}{', each method with its own' if spaces else ''}"
        )
    return f"compared with {baseline}: {_rows(int((names == baseline).sum()))}"


def _rows(count: int) -> str:
    return f"{count} row{'s' * (count > 1)}"

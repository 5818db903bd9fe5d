"""The results in short: accuracy, size and cost."""

from __future__ import annotations

from typing import Any

import pandas as pd

from nastransfer_nni.base.format import duration
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.tables.base import ReportTable
from nastransfer_nni.report.tables.text import intervals, numbers, places, quantities, text_table


def text(rows: pd.DataFrame, options: AnalysisOptions) -> pd.DataFrame:
    """Accuracy, size and cost as text."""
    return text_table(
        {
            "Proxy": places(rows),
            "Strategy": rows["strategy"],
            "Top-1 %": numbers(rows["top1"], "{:.2f}"),
            f"{options.confidence:.0%} interval": intervals(rows["ci_low"], rows["ci_high"]),
            "Params": quantities(rows["params"]),
            "Mult-adds": quantities(rows["mult_adds"]),
            "Parameter-free": numbers(100 * rows["parameter_free_share"], "{:.0f}%"),
            "Search": map(duration, rows["search_seconds"]),
            "Search images": numbers(rows["search_samples"], "{:,.0f}"),
            "Training": map(duration, rows["train_seconds"]),
            "Runs": map(_runs, rows.to_dict("records")),
        }
    )


def _runs(row: dict[Any, Any]) -> str:
    parts = [str(row["n"])]
    if row["searches"] != row["n"]:
        parts.append(f"{row['searches']} searches")
    if row["proxy_draws"] > 1:
        parts.append(f"{row['proxy_draws']} proxy draws")
    return ", ".join(parts) + ("" if row["sufficient"] else ": too few")


TABLE = ReportTable(
    name="results",
    title="Results",
    compute=lambda findings: findings.summary,
    text=text,
    csv="tables/summary.csv",
)

"""Search cost against accuracy."""

from __future__ import annotations

import pandas as pd

from nastransfer_nni.base.format import duration
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.tables.base import ReportTable
from nastransfer_nni.report.tables.text import numbers, text_table


def text(rows: pd.DataFrame, options: AnalysisOptions) -> pd.DataFrame:
    """Search cost and accuracy as text, the cheapest first."""
    rows = rows.sort_values("search_seconds", kind="stable")
    return text_table(
        {
            "Proxy": rows["proxy"],
            "Strategy": rows["strategy"],
            "Search": [duration(seconds) if seconds else "none" for seconds in rows["search_seconds"]],
            "Of it scorers": [duration(seconds) if seconds else "" for seconds in rows["proxy_seconds"]],
            "Images with a gradient": numbers(rows["images"], "{:,.0f}"),
            "Without": numbers(rows["forward_images"], "{:,.0f}"),
            "Top-1 %": numbers(rows["top1"], "{:.2f}"),
            "Pareto front": ["yes" if is_on_front else "" for is_on_front in rows["on_front"]],
        }
    )


TABLE = ReportTable(
    name="cost",
    title="Search cost against accuracy",
    compute=lambda findings: findings.cost,
    text=text,
)

"""The results in short: accuracy, size and cost."""

from __future__ import annotations

from collections.abc import Collection
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
            "Without a gradient": numbers(rows["search_forward_samples"], "{:,.0f}"),
            "Training": map(duration, rows["train_seconds"]),
            "Searches, trainings, cells": map(_runs, rows.to_dict("records")),
        }
    )


def _runs(row: dict[Any, Any]) -> str:
    counts = [str(row[name]) for name in ("searches", "n", "cells")]
    draws = f"; {row['proxy_draws']} proxy draws" if row["proxy_draws"] > 1 else ""
    return ", ".join(counts) + draws


def _note(columns: Collection[str], options: AnalysisOptions) -> str:
    return "The last column counts searches, separately trained networks and distinct cells."


TABLE = ReportTable(
    name="results",
    title="Results",
    compute=lambda findings: findings.summary,
    text=text,
    csv="tables/summary.csv",
    note=_note,
)

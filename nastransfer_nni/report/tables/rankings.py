"""Agreement of the rankings on two proxies."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from nastransfer_nni.report.statistics.answers import PROXY
from nastransfer_nni.report.statistics.improvement import Verdict
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.tables.base import ReportTable
from nastransfer_nni.report.tables.text import intervals, numbers, p_value, text_table


def text(rows: pd.DataFrame, options: AnalysisOptions) -> pd.DataFrame:
    """Agreement of the rankings on each two proxies as text."""
    return text_table(
        {
            "Proxies": rows["proxy_a"] + " and " + rows["proxy_b"],
            "Tau-b": numbers(rows["tau"], "{:.2f}"),
            "tau's interval": intervals(rows["tau_low"], rows["tau_high"]),
            "Ceiling": numbers(rows["ceiling"], "{:.2f}"),
            "5% of it": numbers(rows["ceiling_low"], "{:.2f}"),
            "p": map(p_value, rows["p_ceiling_holm"]),
            "Rho": numbers(rows["rho"], "{:.2f}"),
            "Same best": numbers(100 * rows["same_best"], "{:.0f}%"),
            "Split-half tau": [
                ", ".join(numbers(pair, "{:.2f}")) if pd.notna(pair[0]) else ""
                for pair in zip(rows["split_half_a"], rows["split_half_b"], strict=True)
            ],
            "Significant swaps": [
                ("; ".join(swaps) or "none") if is_sufficient else Verdict.UNTESTABLE.value
                for swaps, is_sufficient in zip(rows["swaps"], rows["sufficient"], strict=True)
            ],
            "Finding": map(_finding, rows["differs"], rows["strategies"]),
        }
    )


def _finding(differs: bool | None, strategies: int) -> str:
    if differs is None or pd.isna(differs):
        return f"{strategies} strategies: swaps only"
    return "differs beyond noise" if differs else "not shown to differ"


def _note(columns: Collection[str], options: AnalysisOptions) -> str:
    return (
        "The ceiling is the mean of tau between two replications of the design on one and the same true "
        "ranking, with its 5% quantile: what the noise leaves of 1. The column p says how often such "
        "replications agree as little as the proxies do. Split-half tau compares two halves of the runs "
        "on either proxy, as a check."
    )


TABLE = ReportTable(
    name="rankings",
    title="How the ranking changes between proxies",
    question=PROXY,
    compute=lambda findings: findings.movements,
    text=text,
    csv="tables/ranking_movements.csv",
    note=_note,
)

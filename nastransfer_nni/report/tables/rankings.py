"""Agreement of the rankings on two proxies."""

from __future__ import annotations

import pandas as pd

from nastransfer_nni.report.statistics.improvement import Verdict
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.tables.base import ReportTable
from nastransfer_nni.report.tables.text import intervals, numbers, text_table


def text(rows: pd.DataFrame, options: AnalysisOptions) -> pd.DataFrame:
    """Agreement of the rankings on each two proxies as text."""
    return text_table(
        {
            "Proxies": rows["proxy_a"] + " and " + rows["proxy_b"],
            "Tau-b": numbers(rows["tau"], "{:.2f}"),
            "tau's interval": intervals(rows["tau_low"], rows["tau_high"]),
            "Rho": numbers(rows["rho"], "{:.2f}"),
            "rho's interval": intervals(rows["rho_low"], rows["rho_high"]),
            "Same best": numbers(100 * rows["same_best"], "{:.0f}%"),
            "Significant swaps": [
                ("; ".join(swaps) or "none") if is_sufficient else Verdict.INSUFFICIENT.value
                for swaps, is_sufficient in zip(rows["swaps"], rows["sufficient"], strict=True)
            ],
        }
    )


TABLE = ReportTable(
    name="rankings",
    title="How the ranking changes between proxies",
    compute=lambda findings: findings.movements,
    text=text,
    csv="tables/ranking_movements.csv",
)

"""Accuracy on the source against accuracy on the target."""

from __future__ import annotations

import pandas as pd

from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.tables.base import ReportTable
from nastransfer_nni.report.tables.text import text_table


def compute(findings: Findings) -> pd.DataFrame:
    """One row per setting and source, with the attributes of `Correlation` as columns."""
    return pd.DataFrame([vars(each) | {"setting": str(each.setting)} for each in findings.correlations])


def text(rows: pd.DataFrame, options: AnalysisOptions) -> pd.DataFrame:
    """Correlation coefficients, top-k recall and regret as text."""
    names = rows["coefficients"].iloc[0]
    return text_table(
        {
            "Source": rows["source"],
            "Cells": [str(len(cells)) for cells in rows["cells"]],
            **{name: [_interval(*each[name]) for each in rows["coefficients"]] for name in names},
            "Top-k recall": [
                ", ".join(f"{share:.0%} of {k}" for k, share in recall.items()) for recall in rows["recall"]
            ],
            "Regret": [f"{regret:.2f} points" for regret in rows["regret"]],
            "Finding": ["" if enough else "insufficient: too few cells" for enough in rows["sufficient"]],
        }
    )


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


TABLE = ReportTable(
    name="correlation",
    title="Accuracy on the source against accuracy on the target",
    compute=compute,
    text=text,
)

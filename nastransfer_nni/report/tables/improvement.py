"""Relative improvement over random cells."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.tables.base import ReportTable
from nastransfer_nni.report.tables.text import intervals, numbers, p_value, places, text_table

CSV_COLUMNS = (
    "target",
    "source",
    "proxy",
    "strategy",
    "relative_improvement",
    "ci_low",
    "ci_high",
    "p_value",
    "p_holm",
    "n",
    "n_random",
)


def text(rows: pd.DataFrame, options: AnalysisOptions) -> pd.DataFrame:
    """Relative improvement over random cells as text."""
    is_within_margin = rows["p_equivalent_holm"] < options.alpha
    return text_table(
        {
            "Proxy": places(rows),
            "Strategy": rows["strategy"],
            "Top-1 %": numbers(rows["mean"], "{:.2f}"),
            "RI %": numbers(rows["relative_improvement"], "{:+.2f}"),
            f"{options.confidence:.0%} interval": intervals(rows["ci_low"], rows["ci_high"]),
            "p": map(p_value, rows["p_holm"]),
            _beyond(options): map(p_value, rows["p_equivalent_holm"]),
            "Runs": [
                f"{n} and {random} random" for n, random in zip(rows["n"], rows["n_random"], strict=True)
            ],
            "Finding": [
                verdict.text(options.margin, is_within_margin=is_small)
                for verdict, is_small in zip(rows["verdict"], is_within_margin, strict=True)
            ],
        }
    )


def _note(columns: Collection[str], options: AnalysisOptions) -> str:
    beyond = _beyond(options)
    sentences = {
        "RI %": "RI is 100 (mean searched − mean random) / mean random.",
        "p": "The column p tests for any difference from random.",
        beyond: f"The column {beyond} tests for a difference larger than the margin (two one-sided tests).",
    }
    shown = [sentence for column, sentence in sentences.items() if column in columns]
    if {"p", beyond} & set(columns):
        shown.append("p-values are corrected by Holm's method over all rows.")
    return " ".join(shown)


def _beyond(options: AnalysisOptions) -> str:
    return f"p beyond ±{options.margin:g}%"


TABLE = ReportTable(
    name="improvement",
    title="Relative improvement over random",
    compute=lambda findings: findings.improvement,
    text=text,
    csv="relative_improvement.csv",
    csv_columns=CSV_COLUMNS,
    note=_note,
)

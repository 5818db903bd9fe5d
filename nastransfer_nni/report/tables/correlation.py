"""Accuracy on the source against accuracy on the target."""

from __future__ import annotations

import math
from collections.abc import Collection

import pandas as pd

from nastransfer_nni.report.statistics.answers import ALIKE
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
    alone = dict.fromkeys(name for each in rows["alone"] for name in each)
    return text_table(
        {
            "Source": rows["source"],
            "Cells": [str(len(cells)) for cells in rows["cells"]],
            **{name: [_interval(*each[name]) for each in rows["coefficients"]] for name in names},
            "tau within strategies": [_interval(*each) for each in rows["within"]],
            "between them": [_interval(*each) for each in rows["between"]],
            "in the best tenth": [_interval(*each) if each else "" for each in rows["best_tenth"]],
            "of two trainings": [_interval(*each) if each else "" for each in rows["ceiling"]],
            **{
                f"tau of {name.replace('_', '-')} alone": [
                    _interval(*each[name]) if name in each else "" for each in rows["alone"]
                ]
                for name in alone
            },
            "Top-k recall": [
                ", ".join(f"{share:.0%} of {k}" for k, share in recall.items()) for recall in rows["recall"]
            ],
            "Regret": [f"{regret:.2f} points" for regret in rows["regret"]],
        }
    )


def _note(columns: Collection[str], options: AnalysisOptions) -> str:
    sentences = ["The intervals hold strategies for clusters, whose cells resemble each other."]
    if "of two trainings" in columns:
        sentences.append(
            "Two trainings of the same cells agree as well as the noise allows: no measurement on the source "
            "can be expected to agree better. Without an interval this ceiling follows from a noise that is "
            "known otherwise."
        )
    if any(column.endswith("alone") for column in columns):
        sentences.append(
            "Beside the source stands what the size of the network alone predicts: a source that agrees no "
            "better with the target has told nothing more."
        )
    return " ".join(sentences)


def _interval(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.2f}" if math.isnan(low) else f"{value:.2f} ({low:.2f} to {high:.2f})"


TABLE = ReportTable(
    name="correlation",
    title="Accuracy on the source against accuracy on the target",
    question=ALIKE,
    compute=compute,
    text=text,
    note=_note,
)

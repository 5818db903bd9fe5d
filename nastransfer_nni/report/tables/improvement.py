"""Relative improvement over random cells, and what each comparison rests on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from nastransfer_nni.report.statistics.answers import RANDOM
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.improvement import Verdict
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
    "searches",
    "cells",
    "searches_random",
    "cells_random",
    "difference",
    "difference_low",
    "difference_high",
    "df",
    "p_equivalent",
    "p_equivalent_holm",
    "margin_percent",
    "detectable",
    "probability",
    "probability_low",
    "probability_high",
    "probability_p",
    "probability_p_holm",
    "tail",
    "finding",
    "more",
    "reason",
)


def compute(findings: Findings) -> pd.DataFrame:
    """The relative improvements, with each finding in words."""
    rows = findings.improvement
    return rows.assign(finding=[finding(row, findings.options) for row in rows.to_dict("records")])


def finding(row: dict[Any, Any], options: AnalysisOptions) -> str:
    """The conclusion of a comparison in words."""
    is_small = row["p_equivalent_holm"] < options.alpha
    return str(row["verdict"].text(options.margin, is_within_margin=is_small))


def text(rows: pd.DataFrame, options: AnalysisOptions) -> pd.DataFrame:
    """Relative improvement over random cells as text."""
    compared = rows["relative_improvement"].notna()
    return text_table(
        {
            "Proxy": places(rows),
            "Strategy": rows["strategy"],
            "Top-1 %": numbers(rows["mean"], "{:.2f}"),
            "RI %": numbers(rows["relative_improvement"], "{:+.2f}"),
            f"{options.confidence:.0%} interval": intervals(rows["ci_low"], rows["ci_high"]),
            "p": map(p_value, rows["p_holm"]),
            _beyond(options): map(p_value, rows["p_equivalent_holm"]),
            "Detectable %": numbers(rows["detectable"].where(compared), "{:.2f}"),
            "Finding": map(_finding, rows.to_dict("records")),
        }
    )


def _finding(row: dict[Any, Any]) -> str:
    """The finding, with what would decide it or why there is none."""
    if row["verdict"] is Verdict.UNDECIDED and row["more"]:
        return f"{row['finding']}: {row['more']} would decide it"
    return (
        f"{row['finding']}: {row['reason']}"
        if row["reason"] and row["n"] and row["n_random"]
        else row["finding"]
    )


def evidence_text(rows: pd.DataFrame, options: AnalysisOptions) -> pd.DataFrame:
    """What each comparison rests on, and its secondary estimate, as text."""
    counts = ("searches", "n", "cells")
    return text_table(
        {
            "Proxy": places(rows),
            "Strategy": rows["strategy"],
            "Searches, trainings, cells": _triples(rows, counts),
            "Random": _triples(rows, ("searches_random", "n_random", "cells_random")),
            "Beats a random network": numbers(100 * rows["probability"], "{:.0f}%"),
            "its interval": [
                f"{low:.0f} to {high:.0f}%" if pd.notna(low) else ""
                for low, high in zip(
                    100 * rows["probability_low"], 100 * rows["probability_high"], strict=True
                )
            ],
            "its p": map(p_value, rows["probability_p_holm"]),
            "smallest p": map(p_value, rows["probability_smallest_p"]),
            "Test": rows["probability_test"],
            "Heavy tail": rows["tail"],
        }
    )


def _triples(rows: pd.DataFrame, columns: tuple[str, ...]) -> list[str]:
    return [", ".join(map(str, row)) for row in rows[list(columns)].itertuples(index=False)]


def _note(columns: Collection[str], options: AnalysisOptions) -> str:
    beyond = _beyond(options)
    sentences = {
        "RI %": "RI is 100 (mean searched − mean random) / mean random.",
        "p": "The column p tests for any difference from random.",
        beyond: f"The column {beyond} tests for a difference larger than the margin (two one-sided tests).",
        "Detectable %": "Detectable is the smallest difference that the comparison would have found with a "
        "probability of 80%.",
        "Finding": "What would decide an undecided comparison holds if its difference is as observed.",
    }
    shown = [sentence for column, sentence in sentences.items() if column in columns]
    if {"p", beyond} & set(columns):
        shown.append("p-values are corrected by Holm's method over all rows.")
    return " ".join(shown)


def _evidence_note(columns: Collection[str], options: AnalysisOptions) -> str:
    sentences = [
        "Searches, trainings, cells: independent searches, separately trained networks, distinct cells."
    ]
    if "Beats a random network" in columns:
        sentences.append(
            "The probability that a searched network beats a random one is the secondary estimate, with "
            "its own correction by Holm's method; it decides nothing. Smallest p is the smallest that the "
            "numbers of networks allow."
            if options.primary == "mean"
            else "The probability that a searched network beats a random one is the study's primary "
            "estimate: it decides, after Holm's correction."
        )
    return " ".join(sentences)


def _beyond(options: AnalysisOptions) -> str:
    return f"p beyond ±{options.margin}"


TABLE = ReportTable(
    name="improvement",
    title="Relative improvement over random",
    question=RANDOM,
    compute=compute,
    text=text,
    csv="relative_improvement.csv",
    csv_columns=CSV_COLUMNS,
    note=_note,
)
EVIDENCE = ReportTable(
    name="evidence",
    title="What the comparisons rest on",
    question=RANDOM,
    compute=lambda findings: findings.improvement,
    text=evidence_text,
    note=_evidence_note,
)

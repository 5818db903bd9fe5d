"""Strategies compared with each other, and the effects of proxies and strategies."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from nastransfer_nni.report.statistics.answers import PROXY, RANDOM
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.tables.base import ReportTable
from nastransfer_nni.report.tables.text import intervals, numbers, p_value, places, text_table


def compute(findings: Findings) -> pd.DataFrame:
    """The pairs of strategies of the settings in which no strategy can be compared with a baseline."""
    rows = findings.improvement
    compared = set(rows.loc[rows["relative_improvement"].notna(), "setting"])
    if compared == set(rows["setting"]):
        return pd.DataFrame()
    pairs = findings.pairs
    return pairs[~pairs["setting"].isin(compared)] if len(pairs) else pairs


def text(rows: pd.DataFrame, options: AnalysisOptions) -> pd.DataFrame:
    """Differences between pairs of strategies as text."""
    return text_table(
        {
            "Proxy": places(rows),
            "Strategy": rows["a"],
            "against": rows["b"],
            "Difference": numbers(rows["difference"], "{:+.2f}"),
            f"{options.confidence:.0%} interval": intervals(rows["ci_low"], rows["ci_high"]),
            "p": map(p_value, rows["p_holm"]),
            "Paired": ["yes" if is_paired else "" for is_paired in rows["is_paired"]],
            "Finding": [
                f"{verdict} is better" if verdict in (a, b) else verdict
                for verdict, a, b in zip(rows["verdict"], rows["a"], rows["b"], strict=True)
            ],
        }
    )


def effects_text(rows: pd.DataFrame, options: AnalysisOptions) -> pd.DataFrame:
    """Main effects and interactions as text."""
    return text_table(
        {
            "Effect": rows["effect"],
            "Strategy": rows["strategy"],
            "of": rows["a"],
            "against": rows["b"],
            "Difference": numbers(rows["estimate"], "{:+.2f}"),
            f"{options.confidence:.0%} interval": intervals(rows["ci_low"], rows["ci_high"]),
            "p": map(p_value, rows["p_holm"]),
            "p beyond margin": map(p_value, rows["p_equivalent_holm"]),
            "Finding": rows["verdict"],
        }
    )


def _note(columns: Collection[str], options: AnalysisOptions) -> str:
    return (
        "Differences are in points of top-1; p-values are corrected by Holm's method over all pairs. A pair "
        "is tested draw by draw where both strategies were run on the same draws of the proxy."
    )


def _effects_note(columns: Collection[str], options: AnalysisOptions) -> str:
    return (
        "Differences are in points of top-1, over the strategies that were run on every proxy; p-values "
        "are corrected by Holm's method within each effect. An interaction is by how much more a strategy "
        "differs between two proxies than the other strategies do."
    )


TABLE = ReportTable(
    name="pairs",
    title="Strategies compared with each other",
    question=RANDOM,
    compute=compute,
    text=text,
    csv="tables/pairs.csv",
    note=_note,
)
EFFECTS = ReportTable(
    name="effects",
    title="Effects of the proxy and of the strategy",
    question=PROXY,
    compute=lambda findings: findings.two_way,
    text=effects_text,
    csv="tables/effects.csv",
    note=_effects_note,
)

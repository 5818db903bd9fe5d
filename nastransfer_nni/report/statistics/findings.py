"""Everything that a report says, made from one results table."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from nastransfer_nni.report.statistics.answers import Answer, answer
from nastransfer_nni.report.statistics.correlation import Correlation, correlations
from nastransfer_nni.report.statistics.cost import cost_table
from nastransfer_nni.report.statistics.improvement import Comparison, Options, compare, relative_improvement
from nastransfer_nni.report.statistics.ranking import (
    CriticalDifference,
    Ranking,
    critical_differences,
    movements,
    rankings,
)
from nastransfer_nni.report.statistics.summary import summarise


@dataclass(frozen=True)
class Findings:
    """The statistics of one results table.

    Attributes:
        table: the results table.
        options: how the statistics were made.
        comparisons: strategy by strategy and proxy by proxy, setting by setting.
        summary: mean top1, sizes and costs of each.
        improvement: relative improvement over random of each.
        rankings: per setting and proxy.
        movements: of the rankings, per pair of proxies.
        critical_differences: per setting with enough matched runs.
        correlations: of source and target accuracy, per setting and source.
        cost: of search, against accuracy.
        answers: to the three questions.
    """

    table: pd.DataFrame
    options: Options
    comparisons: list[Comparison]
    summary: pd.DataFrame
    improvement: pd.DataFrame
    rankings: list[Ranking]
    movements: pd.DataFrame
    critical_differences: list[CriticalDifference]
    correlations: list[Correlation]
    cost: pd.DataFrame
    answers: list[Answer]

    @property
    def settings(self) -> list[str]:
        """Targets with their protocols, in the table's order."""
        return list(dict.fromkeys(str(comparison.setting) for comparison in self.comparisons))


def analyse(table: pd.DataFrame, options: Options) -> Findings:
    """Make every statistic of a checked results table."""
    comparisons = compare(table, options)
    improvement = relative_improvement(comparisons, options)
    moved = movements(comparisons, options)
    return Findings(
        table,
        options,
        comparisons,
        summarise(comparisons, options),
        improvement,
        rankings(comparisons),
        moved,
        critical_differences(comparisons, options),
        correlations(table, options),
        cost_table(comparisons),
        answer(comparisons, improvement, moved, options),
    )

"""All statistics of a report, computed from one results table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from nastransfer_nni.report.statistics.answers import Answer, answer
from nastransfer_nni.report.statistics.comparison import Comparison, compare
from nastransfer_nni.report.statistics.correlation import Correlation, correlations
from nastransfer_nni.report.statistics.cost import cost_table
from nastransfer_nni.report.statistics.improvement import relative_improvement
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.pairs import pairwise, two_way
from nastransfer_nni.report.statistics.ranking import (
    CriticalDifference,
    Ranking,
    critical_differences,
    movements,
    rankings,
)
from nastransfer_nni.report.statistics.summary import summarise


@dataclass(frozen=True, eq=False)
class Findings:
    """The statistics of one results table, each computed when it is first asked for.

    Attributes:
        table: results table, as `reading.check` returns it.
        options: how the table is analysed.
        networks: rows of all networks of a published table, whose correlations are shown in place of those of
            the few that were chosen; None for a study of trainings.
    """

    table: pd.DataFrame
    options: AnalysisOptions
    networks: pd.DataFrame | None = None

    @property
    def settings(self) -> list[str]:
        """Targets with their training protocols, in the order of the table; those of sources come last."""
        names = list(dict.fromkeys(str(comparison.setting) for comparison in self.comparisons))
        return sorted(names, key=self.is_of_source)

    def is_of_source(self, setting: str) -> bool:
        """Whether everything in a setting was searched on its own target: nothing was transferred to it."""
        own = [each for each in self.comparisons if str(each.setting) == setting]
        return all(each.source == each.setting.target for each in own)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every strategy on every proxy, compared with random cells; grouped by setting."""
        return compare(self.table, self.options)

    @cached_property
    def improvement(self) -> pd.DataFrame:
        """Relative improvement over random cells, one row per comparison; see `relative_improvement`."""
        return relative_improvement(self.comparisons, self.options)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Accuracy, size and cost, one row per strategy and proxy; see `summarise`."""
        return summarise(self.comparisons, self.options)

    @cached_property
    def rankings(self) -> list[Ranking]:
        """Ranking of the strategies on each proxy."""
        return rankings(self.comparisons, self.options)

    @cached_property
    def movements(self) -> pd.DataFrame:
        """Agreement of the rankings on two proxies, one row per pair of proxies; see `movements`."""
        return movements(self.comparisons, self.options)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Every two strategies on one proxy, compared with each other; see `pairwise`."""
        return pairwise(self.comparisons, self.options)

    @cached_property
    def two_way(self) -> pd.DataFrame:
        """Main effects of proxy and strategy and their interaction, one row per contrast; see `two_way`."""
        return two_way(self.comparisons, self.options)

    @cached_property
    def critical_differences(self) -> list[CriticalDifference]:
        """Critical differences of the settings that have enough matched runs."""
        return critical_differences(self.comparisons, self.options)

    @cached_property
    def correlations(self) -> list[Correlation]:
        """Accuracy on the source against accuracy on the target, per setting and source."""
        return correlations(self.table if self.networks is None else self.networks, self.options)

    @cached_property
    def cost(self) -> pd.DataFrame:
        """Search cost against accuracy, one row per strategy and proxy; see `cost_table`."""
        return cost_table(self.comparisons)

    @cached_property
    def answers(self) -> list[Answer]:
        """The answers to the three questions in each setting."""
        return answer(
            self.comparisons, self.improvement, self.two_way, self.movements, self.pairs, self.options
        )

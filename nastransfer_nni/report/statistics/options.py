"""Options of the statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nastransfer_nni.report.statistics.looks import Looks
from nastransfer_nni.report.statistics.margin import Margin
from nastransfer_nni.report.statistics.table import BASELINE

MARGIN = Margin(0.5, "sd")


@dataclass(frozen=True, kw_only=True)
class AnalysisOptions:
    """How a results table is analysed.

    Attributes:
        margin: largest difference that counts as equivalent to none.
        replicates: number of simulated replicates of ranks and of agreements between rankings, and of
            permutations.
        seed: random seed of those.
        confidence: coverage of the intervals, as a fraction.
        primary: estimate that alone decides: the relative improvement of the mean, or the probability that a
            searched network beats a random one.
        looks: looks that a study has planned; None: none.
        baseline: what the strategies are compared with: random cells, or the name of a strategy with its
            options, on the same source and proxy.
    """

    margin: Margin = MARGIN
    replicates: int = 10_000
    seed: int = 0
    confidence: float = 0.95
    primary: Literal["mean", "probability"] = "mean"
    looks: Looks | None = None
    baseline: str = BASELINE

    @property
    def alpha(self) -> float:
        """Significance level of the tests."""
        return 1 - self.confidence

    @property
    def tails(self) -> tuple[float, float]:
        """The two quantiles at which an interval ends."""
        return self.alpha / 2, 1 - self.alpha / 2

"""Options of the statistics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AnalysisOptions:
    """How a results table is analysed.

    Attributes:
        margin: largest relative improvement, in percent, that counts as equivalent to none.
        replicates: number of bootstrap replicates.
        seed: random seed of the bootstrap.
        confidence: coverage of the intervals, as a fraction.
    """

    margin: float = 0.5
    replicates: int = 10_000
    seed: int = 0
    confidence: float = 0.95

    @property
    def alpha(self) -> float:
        """Significance level of the tests."""
        return 1 - self.confidence

    @property
    def tails(self) -> tuple[float, float]:
        """The two quantiles at which an interval ends."""
        return self.alpha / 2, 1 - self.alpha / 2

"""Margins of equivalence, in percent of the random cells' mean or in standard deviations of random cells."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from nastransfer_nni.report.statistics.estimate import UNKNOWN, Estimate, p_equivalent
from search_spaces.errors import UserError

PATTERN = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*(%|sd|)\s*", re.ASCII)


@dataclass(frozen=True)
class Margin:
    """The largest difference that counts as equivalent to none.

    Attributes:
        value: the margin; more than 0.
        unit: `%` of the mean of random cells, or `sd`: standard deviations of random cells as observed, each
            trained once.
    """

    value: float
    unit: Literal["%", "sd"] = "sd"

    @classmethod
    def parse(cls, text: str | float) -> Margin:
        """The margin in a text such as `0.5%` or `0.5sd`; a bare number is in percent.

        Raises:
            UserError: the text is no margin, or not between 0 and 100.
        """
        match = PATTERN.fullmatch(str(text))
        value = float(match[1]) if match else 0.0
        if not match or not 0 < value < 100:
            raise UserError(f"margin is {text!r}; write it as 0.5% or 0.5sd, above 0 and below 100")
        return cls(value, "sd" if match[2] == "sd" else "%")

    def __str__(self) -> str:
        return f"{self.value:g}{self.unit}"


@dataclass(frozen=True)
class KnownMargin:
    """A margin in points of top-1, where that can be known.

    Attributes:
        points: the margin as an estimate, in points; its error is 0 for a margin in percent, in which the
            mean of the random cells has the error.
        fraction: a margin in percent as a fraction of the random mean; NaN for other margins.
        reason: why equivalence cannot be tested; empty if it can.
    """

    points: Estimate
    fraction: float
    reason: str

    def p_equivalent(self, gap: Callable[[float], Estimate]) -> float:
        """p-value of two one-sided tests for a difference of two arms within the margin; NaN if untestable.

        The error of a margin in standard deviations enters the tests; it is independent of the means for
        normal accuracies.

        Args:
            gap: the mean of the first arm minus a multiple of that of the second, for a given multiple.
        """
        if self.reason or np.isnan(self.fraction):
            return self.p_within(gap(1))
        return float(p_equivalent(gap(1 - self.fraction), gap(1 + self.fraction)))

    def p_within(self, difference: Estimate) -> float:
        """p-value for a difference, in points, within the margin in points; NaN if untestable."""
        if self.reason:
            return float("nan")
        return float(p_equivalent(difference + self.points, difference - self.points))


def known_margin(margin: Margin, random: pd.DataFrame, column: str = "top1") -> KnownMargin:
    """What a margin amounts to beside the random cells of a setting.

    The standard deviation of random cells is that of separately trained networks, one training of each cell:
    the variance between the means of the cells, with what averaging several trainings took from it. Its own
    standard error comes from the jackknife over cells [1], which holds for heavy tails too.

    Args:
        margin: the margin.
        random: rows of the random cells.
        column: accuracy that is compared, in percent.

    Returns:
        The margin in points. Equivalence cannot be tested without random cells, and where the standard error
        of the margin is more than half of it.

    References:
        [1] Efron & Stein. The jackknife estimate of variance. Ann. Statist. 9, 1981.
    """
    values = random[random[column].notna()]
    if margin.unit == "%":
        mean = float(values[column].mean()) if len(values) else float("nan")
        return KnownMargin(Estimate(margin.value / 100 * mean, 0.0, np.inf), margin.value / 100, "")
    if values.empty:
        return KnownMargin(UNKNOWN, float("nan"), "there are no random cells to take the margin from")
    sd = deviation(values, column)
    points = sd * margin.value
    if not points.se <= points.mean / 2:
        reason = f"the margin of {margin} is too uncertain: {_count(values)} random cells"
        return KnownMargin(points, float("nan"), reason)
    return KnownMargin(points, float("nan"), "")


def deviation(rows: pd.DataFrame, column: str = "top1") -> Estimate:
    """Standard deviation of cells that are trained once each, with the jackknife's standard error."""
    groups = rows[column].groupby(_cells(rows))
    means, counts = groups.mean().to_numpy(), groups.count().to_numpy()
    n = len(means)
    if n < 3:
        return UNKNOWN
    df = int((counts - 1).sum())
    squares = float((groups.var(ddof=1).fillna(0) * (counts - 1)).sum())
    within = squares / df * float(np.mean(1 - 1 / counts)) if df else 0.0
    deleted = means - means.mean()
    variance = deleted.var(ddof=1)
    # The variance without cell i has a closed form.
    left_out = np.maximum((n - 1) * variance - n / (n - 1) * deleted**2, 0) / (n - 2)
    deviations = np.sqrt(left_out + within)
    error = np.sqrt((n - 1) / n * np.square(deviations - deviations.mean()).sum())
    return Estimate(float(np.sqrt(variance + within)), float(error), n - 1.0)


def _cells(rows: pd.DataFrame) -> pd.Series[int]:
    known = (rows["search_seed"] != "") | (rows["genotype"] != "")
    names = rows["search_seed"] + "\0" + rows["genotype"]
    return names.where(known, [f"\1{number}" for number in range(len(rows))])


def _count(rows: pd.DataFrame) -> int:
    return int(_cells(rows).nunique())

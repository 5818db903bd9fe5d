"""Looking at a study before it is complete: what a p-value must be below at a planned look.

The level of a test is spent over the looks by the function of Lan and DeMets that resembles the boundary of
O'Brien and Fleming [1]: each side of a two-sided test has spent `2 - 2 Phi(z(1 - a / 2) / sqrt(t))` of its
level a by the information t. The boundaries are those of a normal process; they are given as nominal p-values
and compared with the p-values of Student's t.

References:
    [1] Lan & DeMets. Discrete sequential boundaries for clinical trials. Biometrika 70, 1983.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import ceil, comb

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from nastransfer_nni.report.statistics.estimate import Floats
from search_spaces.errors import UserError

GRID = 801
"""Points of the numerical integration; boundaries are exact to three decimals."""
WIDEST = 8.0
"""Standard normal value beyond which nothing is integrated."""


@dataclass(frozen=True)
class Looks:
    """The looks of a study, fixed before it runs.

    Attributes:
        times: planned looks as increasing fractions of the planned units; the last is 1.
        units: planned independent units of a searched arm: proxy draws if there are several, else searches.
        random_units: planned random cells.
        units_of: planned units on places (source and proxy) where they are others.
    """

    times: tuple[float, ...]
    units: int
    random_units: int
    units_of: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        is_increasing = all(a < b for a, b in zip((0.0, *self.times), self.times, strict=False))
        if not self.times or self.times[-1] != 1 or not is_increasing:
            raise UserError(
                f"looks are {self.times}; write increasing fractions of the planned runs, the last of them 1"
            )
        if min(self.units, self.random_units, *self.units_of.values()) < 2:
            raise UserError("looks need two planned units or more in each arm")

    def boundary(self, place: str, units: int, random_units: int, alpha: float) -> tuple[float, float, str]:
        """What a p-value must be below now.

        Args:
            place: source and proxy of the searched arm in one name.
            units: independent units of the searched arm so far.
            random_units: random cells so far.
            alpha: two-sided level of the comparison.

        Returns:
            The nominal two-sided p-value, NaN where this is no look; the information, which is the units of
            the arm that was planned smaller over those planned; and why nothing can be decided, if so.
        """
        planned_units = self.units_of.get(place, self.units)
        planned = min(planned_units, self.random_units)
        now = units if planned_units <= self.random_units else random_units
        counts = sorted({max(2, ceil(time * planned - 1e-9)) for time in self.times})
        information = now / planned
        if now < planned and now not in counts:
            coming = next(count for count in counts if count > now)
            return float("nan"), information, f"the next planned look is at {coming} units; there are {now}"
        look = counts.index(min(now, planned))
        limit = boundaries(tuple(count / planned for count in counts[: look + 1]), alpha)[look]
        least = smallest_p(units, random_units)
        if limit < least:
            reason = (
                f"this look needs p < {limit:.2g}, and {units} and {random_units} units reach {least:.2g}"
            )
            return limit, information, reason
        return limit, information, ""


def smallest_p(units: int, random_units: int) -> float:
    """The smallest two-sided p-value that a permutation test of so many units can reach."""
    return min(1.0, 2 / comb(units + random_units, units))


def spent(information: float, alpha: float) -> float:
    """Level that is spent by the given information; `alpha` is two-sided."""
    return float(4 * norm.sf(norm.isf(alpha / 4) / np.sqrt(information)))


@lru_cache(maxsize=1024)
def boundaries(times: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """Nominal two-sided p-values at the looks, by the recursive integration of Armitage et al. [1].

    Args:
        times: information at the looks up to now: increasing fractions of that planned.
        alpha: two-sided level of the whole test.

    References:
        [1] Armitage, McPherson & Rowe. Repeated significance tests on accumulating data. J. R. Statist. Soc.
            A 132, 1969.
    """
    limits: list[float] = []
    density = grid = np.empty(0)  # of the score that has crossed no limit yet
    for index, time in enumerate(times):
        before = times[index - 1] if index else 0.0
        step = np.sqrt(time - before)
        to_spend = (spent(time, alpha) - (spent(before, alpha) if index else 0.0)) / 2
        if index:
            excess = partial(_excess, to_spend=to_spend, density=density, grid=grid, step=step, time=time)
            limit = float(brentq(excess, 0, WIDEST)) if excess(WIDEST) < 0 else WIDEST
        else:
            limit = float(norm.isf(to_spend))
        limits.append(float(2 * norm.sf(limit)))
        fresh = np.linspace(-limit * np.sqrt(time), limit * np.sqrt(time), GRID)
        if index:
            steps = norm.pdf((fresh[:, None] - grid) / step) / step
            density = np.asarray(np.trapezoid(density * steps, grid, axis=1))
        else:
            density = norm.pdf(fresh / step) / step
        grid = fresh
    return tuple(limits)


def _excess(z: float, *, to_spend: float, density: Floats, grid: Floats, step: float, time: float) -> float:
    """Probability of crossing the limit z on one side at a look, and none before, above what is spent."""
    crossed = np.trapezoid(density * norm.sf((z * np.sqrt(time) - grid) / step), grid)
    return float(crossed - to_spend)


def holm_at_looks(p_values: Floats, times: tuple[float, ...], alpha: float) -> Floats:
    """Which hypotheses are refused by which look: Holm's procedure in its group-sequential form [1].

    At every look the hypotheses that are left are tested at the boundaries of the level alpha divided by
    their number; whenever one is refused, the others are tested again with what it leaves to them. With one
    look it is Holm's procedure.

    Args:
        p_values: two-sided p-values, [looks, studies, hypotheses]; NaN where there is none.
        times: information at the looks.
        alpha: level of the family.

    Returns:
        For each hypothesis the index of the look at which it is refused; infinity for never, [studies,
        hypotheses].

    References:
        [1] Ye, Li, Liu & Yao. A group sequential Holm procedure with multiple primary endpoints. Statist.
            Med. 32, 2013.
    """
    refused = np.full(p_values.shape[1:], np.inf)
    size = p_values.shape[-1]
    for look, p in enumerate(p_values):
        limits = np.array(
            [0.0, *(boundaries(times[: look + 1], alpha / left)[look] for left in range(1, size + 1))]
        )
        for _ in range(size):
            left = np.isinf(refused)
            new = left & (p < limits[left.sum(-1)][..., None])
            refused[new] = look
            if not new.any():
                break
    return refused

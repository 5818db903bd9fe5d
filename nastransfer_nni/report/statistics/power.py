"""The power of a planned study, by simulation with the report's own test.

Whole studies are drawn from a normal model with collapses and analysed as a report does it: the same units,
standard errors, Welch's test, Holm's correction and looks. All studies are analysed at once, as arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import pandas as pd

from nastransfer_nni.report.statistics.detectable import POWER, detectable
from nastransfer_nni.report.statistics.estimate import Estimate, Floats, p_equivalent
from nastransfer_nni.report.statistics.looks import holm_at_looks
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.tails import are_heavy
from nastransfer_nni.report.statistics.units import DRAW, SEARCH

MEAN = 90.0
"""Mean top-1 of the simulated random cells; it matters to a margin in percent alone."""

OPTIONS = AnalysisOptions()


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Standard deviations of the simulated accuracies, in points of top-1.

    Attributes:
        search: between searches (cells) on one draw of a proxy.
        training: between trainings of one cell.
        draw: between draws of a proxy; strategies on one draw share its effect.
        random: between random cells; None: as between searches.
        collapse_rate: share of searches that collapse.
        collapse_depth: points by which a collapsed search is worse.
    """

    search: float = 0.2
    training: float = 0.1
    draw: float = 0.0
    random: float | None = None
    collapse_rate: float = 0.0
    collapse_depth: float = 1.5


@dataclass(frozen=True, kw_only=True)
class PlannedArm:
    """A strategy on a proxy, as a study plans it.

    Attributes:
        name: what it is called.
        place: source and proxy; arms of one place share the draws.
        draws: distinct proxy draws.
        searches: searches on each draw.
        trainings: trainings of each search.
    """

    name: str
    place: str
    draws: int
    searches: int
    trainings: int = 1

    @property
    def units(self) -> int:
        """Independent units: draws if there are several, else searches."""
        return self.draws if self.draws > 1 else self.searches

    @property
    def level(self) -> str:
        """Level of the units."""
        return DRAW if self.draws > 1 else SEARCH


@dataclass(frozen=True, kw_only=True)
class PlannedDesign:
    """The comparisons of a study on one target under one protocol.

    Attributes:
        arms: the strategies on the proxies; all of them are compared with the random cells.
        random_cells: number of random cells.
        random_trainings: trainings of each.
    """

    arms: tuple[PlannedArm, ...]
    random_cells: int
    random_trainings: int = 1


def power(
    design: PlannedDesign,
    spread: Spread,
    *,
    effect: float,
    options: AnalysisOptions = OPTIONS,
    studies: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """With which probability a study finds that its strategies differ from random cells.

    Args:
        design: the comparisons.
        spread: standard deviations of the accuracies.
        effect: true difference of every strategy's mean to that of random cells, in points of top-1. The
            share of searches that collapse is part of that mean.
        options: confidence, margin and looks.
        studies: simulated studies; the standard error of a power of 0.8 is 0.013 with 1000.
        seed: random seed.

    Returns:
        One row per arm: `name`; `units`, `level`, independent units and their level; `power`, probability of
        a finding in the right direction after Holm's correction, at any look, that does not depend on a heavy
        tail; `power_single`, the same without
        a correction; `detectable`, difference in points that the first step of Holm's method finds with
        probability 0.8, without collapses; `equivalent`, probability of being called equivalent within the
        margin where the true difference is 0; `reason`, why the comparison can never be decided, or empty:
        the power of such a row is 0.
    """
    rng = np.random.default_rng(seed)
    reasons = [_reason(arm, design) for arm in design.arms]
    decided = [arm for arm, reason in zip(design.arms, reasons, strict=True) if not reason]
    rows = {arm.name: {"power": 0.0, "power_single": 0.0, "equivalent": 0.0} for arm in design.arms}
    if decided:
        kept = PlannedDesign(
            arms=tuple(decided),
            random_cells=design.random_cells,
            random_trainings=design.random_trainings,
        )
        simulated = simulate(kept, spread, studies, rng)
        rows |= _decided(kept, simulated, effect, options)
    return pd.DataFrame(
        [
            {
                "name": arm.name,
                "units": arm.units,
                "level": arm.level,
                **rows[arm.name],
                "detectable": float("nan") if reason else _detectable(arm, design, spread, options),
                "reason": reason,
            }
            for arm, reason in zip(design.arms, reasons, strict=True)
        ]
    )


def simulate(
    design: PlannedDesign, spread: Spread, studies: int, rng: np.random.Generator
) -> tuple[list[Floats], Floats]:
    """Draw the unit means of every arm of many studies; all true means are 0.

    Returns:
        For each arm the means of its units, [studies, units]; and of the random cells, [studies, cells].
    """
    most = max(arm.draws for arm in design.arms)
    draws = {
        place: spread.draw * rng.normal(size=(studies, most))
        for place in dict.fromkeys(arm.place for arm in design.arms)
    }
    arms = []
    for arm in design.arms:
        shape = (studies, arm.draws, arm.searches)
        deviation = np.hypot(spread.search, spread.training / np.sqrt(arm.trainings))
        values = draws[arm.place][:, : arm.draws, None] + deviation * rng.normal(size=shape)
        if spread.collapse_rate:
            is_collapsed = rng.random(shape) < spread.collapse_rate
            values -= spread.collapse_depth * (is_collapsed - spread.collapse_rate)
        arms.append(values.mean(2) if arm.draws > 1 else values[:, 0])
    between = spread.search if spread.random is None else spread.random
    deviation = np.hypot(between, spread.training / np.sqrt(design.random_trainings))
    return arms, deviation * rng.normal(size=(studies, design.random_cells))


def of_units(values: Floats) -> Estimate:
    """The mean of independent units with its error, for many studies: [studies, units] -> [studies]."""
    n = values.shape[1]
    return Estimate(values.mean(1), values.std(1, ddof=1) / np.sqrt(n), np.full(len(values), n - 1.0))


def _decided(
    design: PlannedDesign, simulated: tuple[list[Floats], Floats], effect: float, options: AnalysisOptions
) -> dict[str, dict[str, float]]:
    """Power of the arms that can be decided, by name."""
    arms, random = simulated
    times = options.looks.times if options.looks else (1.0,)
    p_values = []
    for time in times:
        pool = of_units(_until(random, time))
        gaps = [of_units(_until(arm, time)) - pool for arm in arms]
        p_values.append(np.stack([(gap + effect).p_value() for gap in gaps], axis=1))
    right = np.stack([np.sign(gap.mean + effect) == np.sign(effect) for gap in gaps], axis=1)
    has_tail = np.stack([are_heavy(arm) for arm in arms], axis=1) | are_heavy(random)[:, None]
    counts = right & ~has_tail
    refused = np.isfinite(holm_at_looks(np.stack(p_values), times, options.alpha)) & counts
    single = (p_values[-1] < options.alpha) & counts
    equivalent = holm_at_looks(_equivalence(gaps, random, options)[None], (1.0,), options.alpha)
    return {
        arm.name: {
            "power": float(refused[:, i].mean()),
            "power_single": float(single[:, i].mean()),
            "equivalent": float(np.isfinite(equivalent[:, i]).mean()),
        }
        for i, arm in enumerate(design.arms)
    }


def _until(values: Floats, time: float) -> Floats:
    """The units that there are at a look, [studies, units at the look]."""
    return values[:, : max(2, ceil(time * values.shape[1] - 1e-9))]


def _equivalence(gaps: list[Estimate], random: Floats, options: AnalysisOptions) -> Floats:
    """p-values of the equivalence tests at a true difference of 0, [studies, arms]."""
    n = random.shape[1]
    if options.margin.unit == "%":
        margin = Estimate(MEAN * options.margin.value / 100, 0.0, np.inf)
    elif n < 3:
        return np.ones((len(random), len(gaps)))
    else:
        sd = random.std(1, ddof=1)
        margin = Estimate(sd, sd / np.sqrt(2 * (n - 1)), n - 1.0) * options.margin.value
    return np.stack([p_equivalent(gap + margin, gap - margin) for gap in gaps], axis=1)


def _reason(arm: PlannedArm, design: PlannedDesign) -> str:
    """Why a comparison can never be decided; empty if it can."""
    if arm.units < 2:
        return "one search says nothing about another; plan two draws or two searches"
    return "" if design.random_cells > 1 else "one random cell is no pool; plan two random cells or more"


def _detectable(arm: PlannedArm, design: PlannedDesign, spread: Spread, options: AnalysisOptions) -> float:
    """Difference that the first step of Holm's method finds with probability 0.8, at the expected errors."""
    search = spread.search**2 + spread.training**2 / arm.trainings
    unit = spread.draw**2 + search / arm.searches if arm.draws > 1 else search
    between = spread.search if spread.random is None else spread.random
    cell = between**2 + spread.training**2 / design.random_trainings
    gap = Estimate(0.0, np.sqrt(unit / arm.units), arm.units - 1) - Estimate(
        0.0, np.sqrt(cell / design.random_cells), design.random_cells - 1
    )
    return float(detectable(gap.se, gap.df, options.alpha / len(design.arms), power=POWER))

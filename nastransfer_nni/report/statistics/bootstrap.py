"""A hierarchical bootstrap over proxy draws, searches and trainings, calibrated so that its intervals cover.

A plain percentile bootstrap of eight runs is too narrow: resampling underestimates the variance by
(n - 1) / n, and the tails are those of a normal distribution rather than of Student's t. With nested levels
the error has the other sign. This bootstrap therefore takes only the shape of the distribution from the
resampled means of an arm. Their spread is set to the standard error computed from the means of the arm's
independent units (proxy draws, if there are several), and the spread of each replicate is multiplied by
sqrt(n / chi2), where chi2 is a chi-squared variable with n degrees of freedom and n is the number of units.

For normal data the replicates of an arm then follow Student's t, and the difference of two arms follows the
Behrens-Fisher distribution. With n - 1 degrees of freedom that distribution covers too often; n degrees,
between n - 1 and the n + 1 of the probability-matching prior (Ghosh & Kim, Biometrika 88, 2001), came closest
to the nominal coverage in simulation (docs/statistics.md).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

LEVELS = ("proxy draw", "search", "training")
MIN_RUNS = 8
"""Trained networks that an arm needs before anything is concluded; coverage is measured from here on."""
MIN_UNITS = 3
"""Independent units, and searches, that an arm needs: two proxy draws say next to nothing about a third."""

CHUNK = 2_000_000
"""Resampled values that are kept in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One side of a comparison: the runs of a strategy on a proxy, or a pool of random cells.

    Attributes:
        n: number of trained networks.
        searches: number of independent searches (cells) among them.
        units: number of independent units: members of the outermost level that has more than one.
        level: name of that level, one of `LEVELS`.
        mean: mean over proxy draws of the means over searches of the means over trainings.
        se: standard error of the mean, computed from the means of the units; NaN for one unit.
        shapes: resampled means, centred and scaled to unit variance, [replicates]; empty for one unit.
        spreads: standard errors drawn from their uncertainty, [replicates]; empty for one unit.
    """

    n: int
    searches: int
    units: int
    level: str
    mean: float
    se: float
    shapes: Floats
    spreads: Floats

    @property
    def is_sufficient(self) -> bool:
        """Whether there are enough runs to conclude anything."""
        return self.n >= MIN_RUNS and self.units >= MIN_UNITS and self.searches >= MIN_UNITS

    @property
    def replicates(self) -> Floats:
        """Bootstrap replicates of the mean, [replicates]; their quantiles are the limits of an interval."""
        return np.asarray(self.mean + self.shapes * self.spreads)

    def probability_below(self, limits: Floats) -> float:
        """Probability that the mean is below a limit that is drawn from `limits`, [replicates].

        This is the share of replicates below their limits, except that the distribution of the spread is
        integrated and not sampled. That resolves probabilities too small to be counted among the replicates:
        `mean + shape * se * sqrt(n / chi2) < limit`, with n units, is solved for chi2, and the probability of
        the solution is a value of the chi-squared distribution function.
        """
        gap = limits - self.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = self.shapes * self.se / gap
        chi2_below = special.gammainc(self.units / 2, self.units * needed**2 / 2)
        if_above = np.where(self.shapes > 0, 1 - chi2_below, 1.0)  # the limit is above the mean
        if_below = np.where(self.shapes < 0, chi2_below, 0.0)
        if_equal = (1 - np.sign(self.shapes)) / 2
        return float(np.where(gap == 0, if_equal, np.where(gap > 0, if_above, if_below)).mean())


def arm(rows: pd.DataFrame, column: str, replicates: int, seed: int, is_random: bool = False) -> Arm:
    """Bootstrap the mean of `column` over `rows`: one strategy on one proxy, or a pool of random cells.

    Strategies that were run on the same draws of a proxy resample the same draws in each replicate, so that
    the effect of a draw on all of them cancels when they are compared.

    Args:
        rows: rows of the results table that share a target and a training protocol.
        column: column to average; it must have no missing values.
        replicates: number of bootstrap replicates.
        seed: random seed of the bootstrap.
        is_random: whether the rows are a pool of random cells, which do not depend on a proxy.
    """
    keys = _keys(rows, is_random)
    n, searches = len(rows), len(np.unique(keys[1]))
    level = next((i for i, key in enumerate(keys) if len(np.unique(key)) > 1), len(LEVELS) - 1)
    values, searches_per_unit, trainings = _nest(
        [*keys[level:], *keys[2:] * level], rows[column].to_numpy(float)
    )
    units = values.shape[0]
    unit_means = _nested_mean(values, searches_per_unit, trainings)
    mean, se = float(unit_means.mean()), float("nan")
    shapes = spreads = np.empty(0)
    if units > 1:
        se = float(unit_means.std(ddof=1) / np.sqrt(units))
        first = rows.iloc[0]
        names = [first[name] for name in ("target", "protocol", "protocol_hash")]
        strategy = [first["strategy"], first["strategy_options"]]
        place = [] if is_random else [first["source"], first["proxy"]]
        shared = sorted(set(rows["proxy_seed"])) if level == 0 else strategy
        shared_rng = _generator(seed, *names, *place, *shared)
        rng = _generator(seed, *names, *place, *strategy, "nested")
        means = _resampled(
            values, searches_per_unit, trainings, replicates=replicates, shared_rng=shared_rng, rng=rng
        )
        deviation = means.std()
        shapes = (means - means.mean()) / deviation if deviation > 0 else np.zeros(replicates)
        spreads = se * np.sqrt(units / rng.chisquare(units, replicates))
    return Arm(
        n=n,
        searches=searches,
        units=units,
        level=LEVELS[level],
        mean=mean,
        se=se,
        shapes=shapes,
        spreads=spreads,
    )


def _generator(seed: int, *names: object) -> np.random.Generator:
    """A random stream that depends on the names alone, so that no group changes the replicates of another."""
    return np.random.default_rng([seed, zlib.crc32("\0".join(map(str, names)).encode())])


def _keys(rows: pd.DataFrame, is_random: bool) -> list[NDArray[np.int_]]:
    """For each level, a number per row that identifies the member that the row belongs to, [rows].

    The seed and the cell identify a search; a row with neither counts as a search of its own.
    """
    draws = [""] * len(rows) if is_random else rows["proxy_seed"].tolist()
    seeds, cells = rows["search_seed"].tolist(), rows["genotype"].tolist()
    numbers = range(len(rows))
    searches = [
        (draw, seed, cell, -1 if seed or cell else number)
        for draw, seed, cell, number in zip(draws, seeds, cells, numbers, strict=True)
    ]
    return [_codes(draws), _codes(searches), np.arange(len(rows))]


def _codes(keys: list[Any]) -> NDArray[np.int_]:
    """Number the distinct keys in ascending order; return the number of each key, [keys]."""
    code = {key: number for number, key in enumerate(sorted(set(keys)))}
    return np.array([code[key] for key in keys])


def _nest(keys: list[NDArray[np.int_]], numbers: Floats) -> tuple[Floats, NDArray[np.int_], NDArray[np.int_]]:
    """Arrange the numbers by level.

    Args:
        keys: for each level, outermost first, the member that each number belongs to, [rows].
        numbers: values of the rows, [rows].

    Returns:
        The numbers as [units, searches, trainings], padded with zeros; the number of searches per unit,
        [units]; the number of trainings per search, [units, searches].
    """
    order = np.lexsort(keys[::-1])
    unit, search, numbers = keys[0][order], keys[1][order], numbers[order]
    starts = np.flatnonzero(np.r_[True, search[1:] != search[:-1]])
    per_search = np.diff(np.r_[starts, len(search)])
    search_unit = unit[starts]
    searches = np.bincount(search_unit)
    index = np.arange(len(starts)) - (np.cumsum(searches) - searches)[search_unit]
    training = np.arange(len(search)) - np.repeat(starts, per_search)
    values = np.zeros((len(searches), searches.max(), per_search.max()))
    values[unit, np.repeat(index, per_search), training] = numbers
    trainings = np.zeros(values.shape[:2], int)
    trainings[search_unit, index] = per_search
    return values, searches, trainings


def _nested_mean(values: Floats, searches: NDArray[np.int_], trainings: NDArray[np.int_]) -> Floats:
    """Means over searches of the means over trainings: [units, searches, trainings] -> [units].

    The values are padded with zeros beyond the counts, as `_nest` returns them.
    """
    search_means = values.sum(-1) / np.maximum(trainings, 1)
    return np.asarray(search_means.sum(-1) / searches)


def _resampled(
    values: Floats,
    searches: NDArray[np.int_],
    trainings: NDArray[np.int_],
    *,
    replicates: int,
    shared_rng: np.random.Generator,
    rng: np.random.Generator,
) -> Floats:
    """Means after resampling units, searches within each unit and trainings within each search, [replicates].

    Args:
        values: accuracies, [units, searches, trainings], padded with zeros.
        searches: number of searches per unit, [units].
        trainings: number of trainings per search, [units, searches].
        replicates: number of means to return.
        shared_rng: random stream that picks the units.
        rng: random stream that picks searches and trainings.
    """
    units, most_searches, most_trainings = values.shape
    step = max(1, CHUNK // values.size)
    means = np.empty(replicates)
    leaves = values.ravel()
    is_ragged = bool((searches < most_searches).any() or (trainings < most_trainings).any())
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        unit = (shared_rng.random((size, units)) * units).astype(np.intp)[..., None]
        searches_in: Any = searches[unit] if is_ragged else np.intp(most_searches)
        search = unit * most_searches + _pick(rng, searches_in, (size, units, most_searches))
        search = search[..., None]
        trainings_in: Any = trainings.ravel()[search] if is_ragged else np.intp(most_trainings)
        training = _pick(rng, trainings_in, (size, units, most_searches, most_trainings))
        picked = leaves.take(search * most_trainings + training)
        if is_ragged:
            picked *= np.arange(most_trainings) < trainings_in
            search_means = picked.sum(-1) / trainings_in[..., 0] * (np.arange(most_searches) < searches_in)
            means[start : start + size] = (search_means.sum(-1) / searches_in[..., 0]).mean(1)
        else:
            means[start : start + size] = picked.reshape(size, -1).mean(1)
    return means


def _pick(rng: np.random.Generator, counts: NDArray[np.intp] | np.intp, shape: tuple[int, ...]) -> Any:
    """Random indices of the given shape, each below its count; 0 where the last level has one member."""
    return 0 if shape[-1] == 1 else (rng.random(shape) * counts).astype(np.intp)

"""The hierarchical bootstrap: proxy draw > search > training, calibrated so that its intervals cover.

A plain percentile bootstrap of eight runs is too narrow: resampling underestimates the variance by
(n - 1) / n, a normal quantile stands in for Student's, and with nested levels the error has the other sign.
So the resampled means of an arm keep their shape only; their spread is set to the standard error from the
means of the arm's independent units (proxy draws, where there are several), and every sample is divided by
the root of an independent chi-squared variable over its degrees of freedom. For normal data an arm's
samples are then Student's t and the difference of two arms follows Behrens and Fisher's distribution. That
distribution with n - 1 degrees of freedom covers too often; n degrees, between those and the n + 1 of the
probability-matching prior (Ghosh & Kim 2001, Biometrika 88), came closest to nominal in simulation
(docs/statistics.md).
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
"""Networks an arm needs for a finding: from here on the intervals' coverage is measured."""
MIN_UNITS = 3
"""Independent units and searches an arm needs for one: two proxy draws say next to nothing of a third."""

CHUNK = 2_000_000
"""Resampled values held at a time."""


@dataclass(frozen=True)
class Arm:
    """One arm of a comparison: what its runs say about its mean.

    Attributes:
        n: networks trained.
        searches: independent searches (cells) among them.
        units: independent units, the members of the outermost level that has more than one.
        level: that level's name.
        mean: mean over proxy draws of the mean over searches of the mean over trainings.
        se: standard error of the mean, from the units' means; NaN for one unit.
        shapes: [samples] resampled means, centred and scaled to unit variance; empty for one unit.
        spreads: [samples] standard errors drawn from their uncertainty; empty for one unit.
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
        """Whether the runs are enough for a finding."""
        return self.n >= MIN_RUNS and self.units >= MIN_UNITS and self.searches >= MIN_UNITS

    @property
    def draws(self) -> Floats:
        """[samples] the mean as far as the runs tell it; its quantiles are interval limits."""
        return np.asarray(self.mean + self.shapes * self.spreads)

    def probability_below(self, limits: Floats) -> float:
        """Probability that the mean is below a limit drawn from `limits` [samples].

        The uncertainty of the spread is integrated rather than sampled, which resolves small
        probabilities that counting samples cannot.
        """
        gap = limits - self.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = (
                self.shapes * self.se / gap
            )  # mean + shape * se * sqrt(n / chi2) < limit, solved for chi2
        cut = special.gammainc(self.units / 2, self.units * needed**2 / 2)
        above = np.where(
            gap > 0, np.where(self.shapes > 0, 1 - cut, 1.0), np.where(self.shapes < 0, cut, 0.0)
        )
        at = (1 - np.sign(self.shapes)) / 2
        return float(np.where(gap == 0, at, above).mean())


def arm(rows: pd.DataFrame, column: str, samples: int, seed: int, is_random: bool = False) -> Arm:
    """The arm made of `rows`: one strategy on one proxy, or a pool of random cells.

    Arms of one source and proxy with the same proxy draws resample the same draws in every sample, so that
    what a draw does to all strategies cancels in their comparison.

    Args:
        rows: rows of the results table that belong to one target and protocol.
        column: the number to average, without gaps.
        samples: bootstrap samples.
        seed: of the resampling.
        is_random: a random pool's cells do not depend on a proxy.
    """
    keys = _keys(rows, is_random)
    n, searches = len(rows), len(np.unique(keys[1]))
    level = next((i for i, key in enumerate(keys) if len(np.unique(key)) > 1), len(LEVELS) - 1)
    values, searches_per_unit, trainings = _nest(
        [*keys[level:], *keys[2:] * level], rows[column].to_numpy(float)
    )
    units = values.shape[0]
    unit_means = _nested_mean(values, searches_per_unit, trainings)
    mean = float(unit_means.mean())
    if units == 1:
        nothing = np.empty(0)
        return Arm(n, searches, 1, LEVELS[level], mean, float("nan"), nothing, nothing)
    se = float(unit_means.std(ddof=1) / np.sqrt(units))
    first = rows.iloc[0]
    names = [first[name] for name in ("target", "protocol", "protocol_hash")]
    own = [first["strategy"], first["strategy_options"]]
    where = [] if is_random else [first["source"], first["proxy"]]
    draws = sorted(set(rows["proxy_seed"])) if level == 0 else own
    shared_rng = _generator(seed, *names, *where, *draws)
    rng = _generator(seed, *names, *where, *own, "nested")
    means = _resampled(values, searches_per_unit, trainings, samples, shared_rng, rng)
    spread = means.std()
    shapes = (means - means.mean()) / spread if spread > 0 else np.zeros(samples)
    spreads = se * np.sqrt(units / rng.chisquare(units, samples))
    return Arm(n, searches, units, LEVELS[level], mean, se, shapes, spreads)


def _generator(seed: int, *names: object) -> np.random.Generator:
    """A stream of its own for each name: what other groups hold does not change a group's samples."""
    return np.random.default_rng([seed, zlib.crc32("\0".join(map(str, names)).encode())])


def _keys(rows: pd.DataFrame, is_random: bool) -> list[NDArray[np.int_]]:
    """For each level a number per row that tells its members apart.

    A search is told by its seed and cell; a row that has neither is a search of its own.
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
    """Numbers for keys, in the keys' order."""
    code = {key: number for number, key in enumerate(sorted(set(keys)))}
    return np.array([code[key] for key in keys])


def _nest(keys: list[NDArray[np.int_]], numbers: Floats) -> tuple[Floats, NDArray[np.int_], NDArray[np.int_]]:
    """Numbers as [units, searches, trainings], padded with zeros, and the counts of the two inner levels.

    Args:
        keys: for each level, outermost first, the member that a number belongs to.
        numbers: [rows].
    """
    order = np.lexsort(keys[::-1])
    unit, search, numbers = keys[0][order], keys[1][order], numbers[order]
    starts = np.flatnonzero(np.r_[True, search[1:] != search[:-1]])
    per_search = np.diff(np.r_[starts, len(search)])
    unit_of_search = unit[starts]
    searches = np.bincount(unit_of_search)
    index = np.arange(len(starts)) - (np.cumsum(searches) - searches)[unit_of_search]
    training = np.arange(len(search)) - np.repeat(starts, per_search)
    values = np.zeros((len(searches), searches.max(), per_search.max()))
    values[unit, np.repeat(index, per_search), training] = numbers
    trainings = np.zeros(values.shape[:2], int)
    trainings[unit_of_search, index] = per_search
    return values, searches, trainings


def _nested_mean(values: Floats, searches: NDArray[np.int_], trainings: NDArray[np.int_]) -> Floats:
    """Means [...] of padded values [..., searches, trainings]; the padding is zero."""
    of_search = values.sum(-1) / np.maximum(trainings, 1)
    return np.asarray(of_search.sum(-1) / searches)


def _resampled(
    values: Floats,
    searches: NDArray[np.int_],
    trainings: NDArray[np.int_],
    samples: int,
    shared_rng: np.random.Generator,
    rng: np.random.Generator,
) -> Floats:
    """[samples] means of resampled units, of resampled searches in each, of resampled trainings in those."""
    units, most_searches, most_trainings = values.shape
    step = max(1, CHUNK // values.size)
    means = np.empty(samples)
    leaves = values.ravel()
    is_ragged = bool((searches < most_searches).any() or (trainings < most_trainings).any())
    for start in range(0, samples, step):
        size = min(step, samples - start)
        unit = (shared_rng.random((size, units)) * units).astype(np.intp)[..., None]
        searches_in: Any = searches[unit] if is_ragged else np.intp(most_searches)
        search = unit * most_searches + _pick(rng, searches_in, (size, units, most_searches))
        search = search[..., None]
        trainings_in: Any = trainings.ravel()[search] if is_ragged else np.intp(most_trainings)
        training = _pick(rng, trainings_in, (size, units, most_searches, most_trainings))
        picked = leaves.take(search * most_trainings + training)
        if is_ragged:
            picked *= np.arange(most_trainings) < trainings_in
            of_search = picked.sum(-1) / trainings_in[..., 0] * (np.arange(most_searches) < searches_in)
            means[start : start + size] = (of_search.sum(-1) / searches_in[..., 0]).mean(1)
        else:
            means[start : start + size] = picked.reshape(size, -1).mean(1)
    return means


def _pick(rng: np.random.Generator, counts: NDArray[np.intp] | np.intp, shape: tuple[int, ...]) -> Any:
    """Indices of the given shape, each below its count."""
    return 0 if shape[-1] == 1 else (rng.random(shape) * counts).astype(np.intp)

"""What counts as one observation: proxy draws, searches, trainings, and what several of them share.

The estimand is the accuracy on the target of a new search of a strategy on a new draw of a proxy, trained
once. A level (proxy draw, search, training) is a cluster only where something random is shared in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from nastransfer_nni.report.statistics.estimate import Estimate, Floats

Integers = NDArray[np.int_]
DRAW, SEARCH, TRAINING = "proxy draw", "search", "training"
"""The levels, outermost first."""
MIN_NOISE_DF = 4
"""Degrees of freedom below which the noise of a training is not estimated from repeated trainings."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One side of a comparison: the runs of a strategy on a proxy, or a pool of random cells.

    Attributes:
        n: separately trained networks.
        searches: independent searches (cells) that they come from.
        cells: distinct cells among them.
        draws: distinct proxy draws.
        level: outermost level with more than one member: `DRAW`, `SEARCH` or `TRAINING`. Its members are the
            units.
        values: mean of each unit, [units].
        names: fingerprint or seed of each unit that is a proxy draw; empty for other units.
        mean: mean over proxy draws of the means over searches of the means over trainings.
        se: standard error of the mean; NaN if there is none.
        df: degrees of freedom of the standard error; NaN if there is none.
        reason: why nothing can be concluded from the arm; empty if something can.
    """

    n: int
    searches: int
    cells: int
    draws: int
    level: str
    values: Floats = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    mean: float
    se: float
    df: float
    reason: str

    @property
    def units(self) -> int:
        """Number of independent units."""
        return len(self.values)

    @property
    def estimate(self) -> Estimate:
        """The mean with its Student-type error."""
        return Estimate(self.mean, self.se, self.df)

    @property
    def is_testable(self) -> bool:
        """Whether anything can be concluded."""
        return not self.reason


@dataclass(frozen=True)
class Noise:
    """Variance between trainings of one cell under one protocol, and its degrees of freedom."""

    variance: float
    df: int


def training_noise(rows: pd.DataFrame) -> Noise | None:
    """The noise of a training: variance between trainings of equal cells with separate seeds, pooled.

    Args:
        rows: rows of one target and protocol; all strategies count.

    Returns:
        The pooled variance, or None with fewer than `MIN_NOISE_DF` degrees of freedom.
    """
    known = rows[(rows["genotype"] != "") & (rows["train_seed"] != "")]
    cells = known.groupby(["genotype", "train_seed"])["top1"].mean().groupby(level=0).agg(["var", "count"])
    cells = cells[cells["count"] > 1]
    df = int((cells["count"] - 1).sum())
    if df < MIN_NOISE_DF:
        return None
    return Noise(float((cells["var"] * (cells["count"] - 1)).sum() / df), df)


def arm(
    rows: pd.DataFrame, column: str = "top1", *, noise: Noise | None = None, is_random: bool = False
) -> Arm:
    """The mean of `column` over one strategy on one proxy, or over a pool of random cells, with its error.

    The units are the distinct proxy draws if there are several, else the searches; their means vary with the
    variance s^2. Where no two units share a training, the squared standard error is `s^2 / n`, with n - 1
    degrees of freedom.

    Rows equal in cell and training seed are one training. Where units share trainings, which have the weights
    w in the mean and a in the means of the units, the squared standard error is

        max(0, s^2 - noise (sum a^2 - n sum w^2) / (n - 1)) / n + noise sum w^2,

    with Satterthwaite's degrees of freedom: the noise of a shared training enters once. Without an estimate
    of the noise, units that share a training form one cluster, and the squared standard error is the
    cluster-robust one, corrected and with the degrees of freedom of Bell and McCaffrey [1].

    Args:
        rows: rows of one target and protocol.
        column: column to average; it must have no missing values.
        noise: noise of a training in `column`, if it is known.
        is_random: whether the rows are random cells, which do not depend on a proxy.

    Returns:
        The arm. With one unit, with one training that all units share, and with several trainings of one
        search, `reason` says why nothing can be concluded.

    References:
        [1] Bell & McCaffrey. Bias reduction in standard errors for linear regression with multi-stage
            samples. Survey Methodology 28, 2002.
    """
    keys = _keys(rows, column, is_random)
    level, units = keys.units
    weights = 1 / np.bincount(keys.search)[keys.search]  # of a training in the mean of its search
    if level == DRAW:
        weights /= np.bincount(keys.draw[keys.first_of_search])[keys.draw]
    elif level == TRAINING:
        weights = np.ones(len(weights))
    values = np.bincount(units, weights * keys.value).astype(float)
    se, df, reason = _error(values, units, keys.training, weights, noise)
    n = len(np.unique(keys.training))
    if level == TRAINING and not reason:
        reason = f"{n} trainings of one search say nothing about other searches"
    return Arm(
        n=n,
        searches=len(keys.first_of_search),
        cells=len(set(keys.cell)),
        draws=len(keys.draws),
        level=level,
        values=values,
        names=keys.draws if level == DRAW else (),
        mean=float(values.mean()),
        se=se,
        df=df,
        reason=reason,
    )


def clusters(rows: pd.DataFrame, *, is_random: bool = False) -> list[Floats]:
    """The top-1 in each cluster of an arm: units that share a training are in one cluster."""
    keys = _keys(rows, "top1", is_random)
    _, units = keys.units
    is_shared = len(np.unique(keys.training)) < len(units)
    labels = _connected(_shares(units, keys.training, np.ones(len(units))))[units] if is_shared else units
    order = np.argsort(labels, kind="stable")
    return np.split(keys.value[order], np.cumsum(np.bincount(labels))[:-1])


def networks(rows: pd.DataFrame, *, is_random: bool = False) -> pd.DataFrame:
    """Every separately trained network of an arm once.

    Returns:
        Columns: `top1` in percent; `searches`, number of searches that share the network; `genotype`, which
        may be empty.
    """
    keys = _keys(rows, "top1", is_random)
    frame = pd.DataFrame(
        {"training": keys.training, "top1": keys.value, "search": keys.search, "cell": keys.cell}
    )
    found = frame.groupby("training").agg(
        top1=("top1", "mean"), searches=("search", "nunique"), genotype=("cell", "first")
    )
    is_known = found["genotype"].isin(set(rows["genotype"]))
    return found.assign(genotype=found["genotype"].where(is_known, "")).reset_index(drop=True)


@dataclass(frozen=True, kw_only=True)
class _Keys:
    """The trainings of an arm, each once per search that it belongs to.

    Attributes:
        draws: name of each proxy draw.
        draw, search, training: numbers that identify those of each training, [trainings].
        cell: text that identifies the cell, [trainings].
        value: accuracy, [trainings].
    """

    draws: tuple[str, ...]
    draw: Integers
    search: Integers
    training: Integers
    cell: list[str]
    value: Floats

    @property
    def first_of_search(self) -> Integers:
        """Index of the first training of each search."""
        return np.unique(self.search, return_index=True)[1]

    @property
    def units(self) -> tuple[str, Integers]:
        """Name of the outermost level with more than one member, and the member of each training."""
        for name, key in ((DRAW, self.draw), (SEARCH, self.search)):
            if key.max() > 0:
                return name, key
        return TRAINING, self.training


def _keys(rows: pd.DataFrame, column: str, is_random: bool) -> _Keys:
    """What identifies the proxy draw, search, training and cell of each row.

    Draws with equal fingerprints are one. The seed and the cell identify a search, and a row with neither is
    a search of its own. A training without a seed is known again by its cell and its accuracy; without a
    cell it is one of its own. A cell that is not known is that of its search.
    """
    seeds, cells, trained = (rows[name].tolist() for name in ("search_seed", "genotype", "train_seed"))
    marks = rows["proxy_fingerprint"].tolist() if "proxy_fingerprint" in rows else [""] * len(rows)
    names = ["" if is_random else mark or seed for mark, seed in zip(marks, rows["proxy_seed"], strict=True)]
    values, number = rows[column].tolist(), range(len(rows))
    searches = _codes(
        (name, seed, cell, -1 if seed or cell else row)
        for name, seed, cell, row in zip(names, seeds, cells, number, strict=True)
    )
    trainings = _codes(
        (cell, seed, "" if seed else value) if cell else ("", row, "")
        for cell, seed, value, row in zip(cells, trained, values, number, strict=True)
    )
    first = np.sort(np.unique(searches * (trainings.max() + 1) + trainings, return_index=True)[1])
    return _Keys(
        draws=tuple(dict.fromkeys(names)),
        draw=_codes(names)[first],
        search=searches[first],
        training=trainings[first],
        cell=[cells[row] or str(searches[row]) for row in first],
        value=np.array(values, float)[first],
    )


def _codes(keys: Iterable[Any]) -> Integers:
    """Number the distinct keys in the order of their first occurrence; the number of each key, [keys]."""
    code: dict[Any, int] = {}
    return np.array([code.setdefault(key, len(code)) for key in keys])


def _shares(units: Integers, trainings: Integers, weights: Floats) -> Any:
    """Weights of the trainings in the units, sparse [units, trainings]."""
    return sparse.coo_array((weights, (units, trainings))).tocsr()


def _connected(shares: Any) -> Integers:
    """The cluster of each unit, [units]: units that share a training are in one."""
    return np.asarray(connected_components(shares @ shares.T, directed=False)[1])


def _error(
    values: Floats, units: Integers, trainings: Integers, weights: Floats, noise: Noise | None
) -> tuple[float, float, str]:
    """Standard error of the mean of the units, its degrees of freedom, and why there is none.

    Args:
        values: means of the units, [units].
        units: unit of each training of a search, [trainings].
        trainings: number of that training, [trainings].
        weights: weight of that training in its unit, [trainings].
        noise: noise of a training; None if it is not known.
    """
    count, distinct = len(values), len(np.unique(trainings))
    nan = float("nan")
    if count < 2:
        return nan, nan, "one network"
    if distinct == 1:
        return nan, nan, f"all {count} searches share one training, which is one measurement"
    spread = float(values.var(ddof=1))
    if distinct == len(trainings) or len(np.unique(units * len(trainings) + trainings)) == distinct:
        return float(np.sqrt(spread / count)), count - 1.0, ""
    shares = _shares(units, trainings, weights)
    return _with_noise(spread, shares, noise) if noise else _clustered(values, shares)


def _with_noise(spread: float, shares: Any, noise: Noise) -> tuple[float, float, str]:
    """The error where units share trainings of known noise."""
    n = shares.shape[0]
    weights = np.asarray(shares.sum(axis=0)).ravel() / n
    enters = float(weights @ weights)
    within = float(shares.multiply(shares).sum()) - n * enters  # times the noise, part of (n - 1) s^2
    between = max(0.0, spread - noise.variance * within / (n - 1))
    variance = between / n + noise.variance * enters
    # The variance of s^2 is 2 tr(MSMS) / (n - 1)^2, with the covariance S of the units and the centring M.
    gram = shares.T @ shares
    squares = float(gram.multiply(gram).sum()) - 2 * n * float(weights @ (gram @ weights)) + (n * enters) ** 2
    trace = between**2 * (n - 1) + 2 * between * noise.variance * within + noise.variance**2 * squares
    of_spread = 2 * trace / ((n - 1) * n) ** 2 if between else 0.0
    slope = enters - within / ((n - 1) * n) if between else enters
    error = of_spread + 2 * (slope * noise.variance) ** 2 / noise.df
    return float(np.sqrt(variance)), 2 * variance**2 / error if error else float("nan"), ""


def _clustered(values: Floats, shares: Any) -> tuple[float, float, str]:
    """The error where units that share a training form a cluster."""
    labels = _connected(shares)
    if labels.max() == 0:
        return float("nan"), float("nan"), "all units share trainings, and no training was repeated"
    sizes = np.bincount(labels)
    w = sizes / sizes.sum()
    residuals = np.bincount(labels, values) / sizes - values.mean()
    u, enters, cubes = w**2, float(w @ w), float(w @ w**2)
    trace = enters - 2 * cubes + enters**2
    variance = enters * float(u @ residuals**2) / trace
    # The squared residuals are v'Bv with B = diag(u) - uw' - wu' + (w'w) ww'; the trace of BB follows.
    diagonal = float(u @ u) + 2 * float(u @ (enters * u - 2 * u * w))
    rest = 2 * float(u @ u) * enters + 2 * cubes**2 - 4 * enters**2 * cubes + enters**4
    return float(np.sqrt(variance)), trace**2 / (diagonal + rest), ""

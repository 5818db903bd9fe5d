"""What counts as one observation: proxy draws, searches, trainings, and what several of them share.

The estimand is the accuracy on the target of a new search of a strategy on a new draw of a proxy, trained
once. A level (proxy draw, search, training) is a cluster only where something random is shared in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from nastransfer_nni.report.statistics.estimate import Estimate, Floats

DRAW, SEARCH, TRAINING = LEVELS = ("proxy draw", "search", "training")
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
        level: outermost level with more than one member, one of `LEVELS`: its members are the units.
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
    frame = keys.drop_duplicates(["search", "training"])
    counts = frame[["draw", "search", "training"]].nunique().tolist()
    level = next((i for i, count in enumerate(counts) if count > 1), len(LEVELS) - 1)
    units, names = pd.factorize(frame[("draw", "search", "training")[level]])
    weights = 1 / frame.groupby("search")["training"].transform("count")  # in the mean of the search
    if LEVELS[level] == DRAW:
        weights /= frame.groupby("draw")["search"].transform("nunique")
    elif LEVELS[level] == TRAINING:
        weights[:] = 1.0
    values = np.bincount(units, weights * frame["value"]).astype(float)
    shares = sparse.coo_array((weights, (units, pd.factorize(frame["training"])[0]))).tocsr()
    se, df, reason = _error(values, shares, noise)
    if LEVELS[level] == TRAINING and not reason:
        reason = f"{counts[2]} trainings of one search say nothing about other searches"
    return Arm(
        n=counts[2],
        searches=counts[1],
        cells=keys["cell"].nunique(),
        draws=counts[0],
        level=LEVELS[level],
        values=values,
        names=tuple(names) if LEVELS[level] == DRAW else (),
        mean=float(values.mean()),
        se=se,
        df=df,
        reason=reason,
    )


def clusters(rows: pd.DataFrame, column: str = "top1", *, is_random: bool = False) -> list[Floats]:
    """The values of `column` in each cluster of an arm: units that share a training are in one cluster."""
    frame = _keys(rows, column, is_random).drop_duplicates(["search", "training"])
    level = next((name for name in ("draw", "search") if frame[name].nunique() > 1), "training")
    units, trainings = (pd.factorize(frame[name])[0] for name in (level, "training"))
    shares = sparse.coo_array((np.ones(len(frame)), (units, trainings))).tocsr()
    labels = connected_components(shares @ shares.T, directed=False)[1][units]
    return [np.asarray(group) for _, group in frame["value"].groupby(labels, sort=False)]


def networks(rows: pd.DataFrame, *, is_random: bool = False) -> pd.DataFrame:
    """Every separately trained network of an arm once.

    Returns:
        Columns: `top1` in percent; `searches`, number of searches that share the network; `genotype`, which
        may be empty.
    """
    keys = _keys(rows, "top1", is_random).assign(genotype=rows["genotype"])
    grouped = keys.groupby("training", sort=False)
    return grouped.agg(
        top1=("value", "mean"), searches=("search", "nunique"), genotype=("genotype", "first")
    ).reset_index(drop=True)


def _keys(rows: pd.DataFrame, column: str, is_random: bool) -> pd.DataFrame:
    """For each row what identifies its proxy draw, search, training and cell, and its value.

    Draws with equal fingerprints are one. The seed and the cell identify a search, and a row with neither is
    a search of its own. A training without a seed is known again by its cell and its accuracy; without a
    cell it is one of its own. A cell that is not known is that of its search.
    """
    seeds, cells, trained = (rows[name].tolist() for name in ("search_seed", "genotype", "train_seed"))
    marks = rows["proxy_fingerprint"].tolist() if "proxy_fingerprint" in rows else [""] * len(rows)
    draws = ["" if is_random else mark or seed for mark, seed in zip(marks, rows["proxy_seed"], strict=True)]
    values, number = rows[column].tolist(), range(len(rows))
    searches = [
        (draw, seed, cell, -1 if seed or cell else row)
        for draw, seed, cell, row in zip(draws, seeds, cells, number, strict=True)
    ]
    trainings = [
        (cell, seed, "" if seed else value) if cell else ("", row, "")
        for cell, seed, value, row in zip(cells, trained, values, number, strict=True)
    ]
    searched = _codes(searches)
    known = [cell or str(search) for cell, search in zip(cells, searched, strict=True)]
    columns = {"draw": draws, "search": searched, "training": _codes(trainings), "cell": known}
    return pd.DataFrame({**columns, "value": values}, index=rows.index)


def _codes(keys: list[Any]) -> NDArray[np.int_]:
    """Number the distinct keys in the order of their first occurrence; the number of each key, [keys]."""
    code: dict[Any, int] = {}
    return np.array([code.setdefault(key, len(code)) for key in keys])


def _error(values: Floats, shares: Any, noise: Noise | None) -> tuple[float, float, str]:
    """Standard error of the mean of the units, its degrees of freedom, and why there is none.

    Args:
        values: means of the units, [units].
        shares: weights of the trainings in the units, sparse [units, trainings].
        noise: noise of a training; None if it is not known.
    """
    units, trainings = shares.shape
    nan = float("nan")
    if units < 2:
        return nan, nan, "one network"
    if trainings == 1:
        return nan, nan, f"all {units} searches share one training, which is one measurement"
    spread = float(values.var(ddof=1))
    if np.bincount(shares.indices, minlength=trainings).max() == 1:
        return float(np.sqrt(spread / units)), units - 1.0, ""
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
    count, labels = connected_components(shares @ shares.T, directed=False)
    if count == 1:
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

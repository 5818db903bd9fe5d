"""Variances of a pilot: between proxy draws, searches and trainings, and how reliable one training is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from nastransfer_nni.report.statistics.power import Spread
from nastransfer_nni.report.statistics.table import is_baseline
from search_spaces.errors import UserError

NAN = float("nan")
ARM = ["target", "protocol", "protocol_hash", "strategy", "strategy_options", "source", "proxy"]


@dataclass(frozen=True)
class MeanSquares:
    """A one-way analysis of variance, pooled over separate parents.

    Attributes:
        between, within: mean squares between the members of a parent and within members; NaN where there is
            no degree of freedom.
        df_between, df_within: their degrees of freedom.
        size: values per member: with n of them in a member and N in a parent, the sum of
            `N - sum n^2 / N` over the parents, divided by `df_between`.
        members: number of members.
    """

    between: float
    within: float
    df_between: int
    df_within: int
    size: float
    members: int


def mean_squares(values: pd.Series[float], parents: pd.Series[Any], members: pd.Series[Any]) -> MeanSquares:
    """The mean squares between and within the members of each parent.

    Args:
        values: the values.
        parents: what each value's member belongs to, such as a strategy on a proxy draw.
        members: the member of each value, such as a search; the same name in two parents is two members.
    """
    groups = values.groupby([parents.rename("parent"), members.rename("member")])
    cells = pd.DataFrame(
        {"n": groups.count(), "mean": groups.mean(), "ss": groups.var(ddof=0) * groups.count()}
    )
    cells["sum"] = cells["n"] * cells["mean"]
    by_parent = cells.groupby("parent")
    total = by_parent["n"].transform("sum")
    gap = cells["mean"] - by_parent["sum"].transform("sum") / total
    df_between, df_within = len(cells) - by_parent.ngroups, int((cells["n"] - 1).sum())
    size = float(cells["n"].sum() - (cells["n"] ** 2 / total).sum())
    return MeanSquares(
        between=float((cells["n"] * gap**2).sum()) / df_between if df_between else NAN,
        within=float(cells["ss"].sum()) / df_within if df_within else NAN,
        df_between=df_between,
        df_within=df_within,
        size=size / df_between if df_between else NAN,
        members=len(cells),
    )


def intraclass(squares: MeanSquares, confidence: float = 0.95) -> tuple[float, float, float]:
    """Intraclass correlation of one value of a member, ICC(1), with its interval.

    ICC(1) = (MSB - MSW) / (MSB + (k - 1) MSW), with k values per member; its limits are those of
    F = MSB / MSW, divided and multiplied by quantiles of the F distribution [1]. They are exact for normal
    values and members of equal sizes.

    Returns:
        The correlation with its lower and upper limit; NaN where nothing was repeated.

    References:
        [1] Shrout & Fleiss. Intraclass correlations: uses in assessing rater reliability. Psychol. Bull. 86,
            1979.
    """
    if not squares.within > 0 or np.isnan(squares.between):
        return NAN, NAN, NAN
    level, f = 0.5 + confidence / 2, squares.between / squares.within
    df = squares.df_between, squares.df_within
    limits = (f, f / stats.f.ppf(level, *df), f * stats.f.ppf(level, *df[::-1]))
    found, low, high = (float((each - 1) / (each + squares.size - 1)) for each in limits)
    return found, low, high


def variances(table: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Standard deviations between trainings, searches, proxy draws and random cells in a results table.

    They are pooled over the table's strategies, proxies, targets and protocols. The variance between the
    members of a level is `(MSB - MSW) / k`, or MSB where nothing was repeated within the members and the
    level below cannot be told from it. Its interval is that of chi-squared for MSB, less MSW.

    Args:
        table: results table, as `reading.check` returns it.
        confidence: coverage of the intervals.

    Returns:
        One row per level: `level` (`training`, `search`, `draw` or `random`); `deviation` in points of top-1
        with its interval `low` to `high`; `members` and `degrees` of freedom; `reliability` with its interval
        `reliability_low` to `reliability_high`: ICC(1) of one training for the levels `search` and `random`,
        of one search for the level `draw`. Figures are NaN where nothing was repeated.
    """
    arms = pd.Series(["\0".join(key) for key in table[ARM].itertuples(index=False)], index=table.index)
    marks = table["proxy_fingerprint"] if "proxy_fingerprint" in table else table["proxy_seed"]
    draws = arms + "\0" + marks.where(marks != "", table["proxy_seed"])
    unknown = pd.Series([f"\1{number}" for number in range(len(table))], index=table.index)
    is_known = (table["search_seed"] != "") | (table["genotype"] != "")
    searches = (table["search_seed"] + "\0" + table["genotype"]).where(is_known, unknown)
    is_random = is_baseline(table)
    top1 = table["top1"]
    every = mean_squares(top1, arms.where(is_random, draws), searches)
    rows = [_row("training", every.within, every.df_within, NAN, every.df_within + every.members, confidence)]
    for level, parents, chosen in (("search", draws, ~is_random), ("random", arms, is_random)):
        squares = mean_squares(top1[chosen], parents[chosen], searches[chosen])
        rows.append(_between(level, squares, confidence))
    names = ["arm", "draw", "search"]
    keyed = pd.DataFrame({"arm": arms, "draw": draws, "search": searches, "top1": top1})[~is_random]
    means = keyed.groupby(names, sort=False)["top1"].mean().reset_index()
    rows.append(_between("draw", mean_squares(means["top1"], means["arm"], means["draw"]), confidence))
    return pd.DataFrame(rows)


def spread_of(frame: pd.DataFrame) -> Spread:
    """The standard deviations of a pilot as `power` takes them; what was not repeated counts as 0.

    Args:
        frame: standard deviations, as `variances` returns them.

    Raises:
        UserError: neither searches nor random cells were repeated.
    """
    found = frame.set_index("level")["deviation"].fillna(0.0).to_dict()
    if not found["search"] and not found["random"]:
        raise UserError("the runs have no two searches of one strategy, and no two random cells")
    return Spread(
        search=found["search"] or found["random"],
        training=found["training"],
        draw=found["draw"],
        random=found["random"] or None,
    )


def _between(level: str, squares: MeanSquares, confidence: float) -> dict[str, Any]:
    """The row of a level above another."""
    below = 0.0 if np.isnan(squares.within) else squares.within
    size = squares.size if below else 1.0
    row = _row(level, squares.between, squares.df_between, below, squares.members, confidence, size)
    reliability = dict(zip(("", "_low", "_high"), intraclass(squares, confidence), strict=True))
    return row | {f"reliability{name}": value for name, value in reliability.items()}


def _row(
    level: str,
    square: float,
    df: int,
    below: float,
    members: int,
    confidence: float,
    size: float = 1.0,
) -> dict[str, Any]:
    """A level with its standard deviation and the interval of that."""
    tail = (1 - confidence) / 2
    quantiles = stats.chi2.ppf([1 - tail, tail], df) / df if df else [NAN, NAN]
    less = 0.0 if np.isnan(below) else below
    found, low, high = (
        float(np.sqrt(max(0.0, (each - less) / size))) if each == each else NAN
        for each in (square, square / quantiles[0], square / quantiles[1])
    )
    figures = {"deviation": found, "low": low, "high": high}
    none = {"reliability": NAN, "reliability_low": NAN, "reliability_high": NAN}
    return {"level": level, **figures, "members": members, "degrees": df, **none}

"""Strategies and proxies compared with each other: pairs, and two-way answers with their interaction."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, groupby
from typing import Any

import numpy as np
import pandas as pd

from nastransfer_nni.report.statistics.comparison import Comparison, by_place, difference, shared_draws
from nastransfer_nni.report.statistics.estimate import Estimate, total
from nastransfer_nni.report.statistics.holm import holm_by_group
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.units import Arm

Grid = dict[str, dict[str, Arm]]
"""The arms of a setting by place (source and proxy) and strategy."""


def pairwise(comparisons: list[Comparison], options: AnalysisOptions) -> pd.DataFrame:
    """Every two strategies on the same source and proxy, compared with each other.

    Returns:
        One row per pair; its columns:
            setting, source, proxy, a, b: what is compared.
            difference, ci_low, ci_high: mean top-1 of a minus that of b in points, with its interval: the
                paired t's where both share proxy draws (`comparison.difference`), else Welch's.
            df, is_paired: degrees of freedom, and whether draws are shared.
            p_value, p_equivalent: two-sided test of no difference, and two one-sided tests of a difference
                within the margin; NaN where it is not known.
            p_holm, p_equivalent_holm: these after Holm's correction over all pairs of the setting.
            units: number of units of a and b.
            verdict: the name of the better strategy, `equivalent`, `undecided`, or `cannot be tested`.
    """
    rows: list[dict[str, Any]] = []
    for _, _, members in by_place(comparisons):
        for a, b in combinations(members, 2):
            if a.searched is None or b.searched is None:
                continue
            first, second = a.searched, b.searched
            gap = difference(first, second, shares_draws=True)
            is_known = first.is_testable and second.is_testable and gap.se > 0
            low, high = gap.interval(options.confidence)
            rows.append(
                {
                    "setting": str(a.setting),
                    "source": a.source,
                    "proxy": a.proxy,
                    "a": a.strategy,
                    "b": b.strategy,
                    "difference": gap.mean,
                    "ci_low": low,
                    "ci_high": high,
                    "df": gap.df,
                    "is_paired": bool(shared_draws(first, second)),
                    "p_value": float(gap.p_value()) if is_known else float("nan"),
                    "p_equivalent": a.margin.p_within(gap) if is_known else float("nan"),
                    "units": (first.units, second.units),
                }
            )
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    frame = _corrected(frame, "setting")
    return frame.assign(verdict=[_pair_verdict(row, options) for row in frame.to_dict("records")])


def two_way(comparisons: list[Comparison], options: AnalysisOptions) -> pd.DataFrame:
    """Main effects of proxy and strategy on the mean top-1, and their interaction, as contrasts.

    Only strategies that were run on every place of the setting count, and each of them counts alike. With the
    mean m of a strategy s on a place a, over S strategies and P places:

        proxy a - b:         sum_s (m_sa - m_sb) / S
        strategy s - t:      sum_a (m_sa - m_ta) / P
        interaction s, a, b: (m_sa - m_sb) - sum_{t != s} (m_ta - m_tb) / (S - 1)

    What strategies share on one place, the draws of its proxy, is kept: a weighted sum of strategies on one
    place is formed draw by draw and varies with one degree of freedom fewer than there are draws. Places are
    independent, and so are arms without shared draws.

    Returns:
        One row per contrast; its columns:
            setting, effect: `proxy`, `strategy` or `interaction`.
            a, b: the two places or the two strategies; strategy: that of an interaction, else empty.
            estimate, ci_low, ci_high, df: the contrast in points with its interval and degrees of freedom.
            p_value, p_equivalent: tests of no effect, and of an effect within the margin.
            p_holm, p_equivalent_holm: these after Holm's correction within the effect.
            verdict: `differs`, `equivalent`, `undecided` or `cannot be tested`.
        It is empty for a setting without two places that share a strategy.
    """
    rows: list[dict[str, Any]] = []
    for setting, group in groupby(comparisons, key=lambda each: each.setting):
        members = list(group)
        grid = common_grid(members)
        if len(grid) < 2:
            continue
        margin = members[0].margin
        for effect, a, b, strategy, weights in _contrasts(grid):
            is_known = all(arm.is_testable for arms in grid.values() for arm in arms.values())
            gap = contrast(grid, weights)
            low, high = gap.interval(options.confidence)
            is_known = is_known and gap.se > 0
            rows.append(
                {
                    "setting": str(setting),
                    "effect": effect,
                    "a": a,
                    "b": b,
                    "strategy": strategy,
                    "estimate": gap.mean,
                    "ci_low": low,
                    "ci_high": high,
                    "df": gap.df,
                    "p_value": float(gap.p_value()) if is_known else float("nan"),
                    "p_equivalent": margin.p_within(gap) if is_known else float("nan"),
                }
            )
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    frame = _corrected(frame, ["setting", "effect"])
    return frame.assign(verdict=[_effect_verdict(row, options) for row in frame.to_dict("records")])


def common_grid(members: list[Comparison]) -> Grid:
    """The arms of the strategies that were run on every place of a setting; empty if there are none."""
    grid: Grid = {}
    for member in members:
        if member.searched:
            grid.setdefault(member.place, {})[member.strategy] = member.searched
    common = set.intersection(*(set(arms) for arms in grid.values())) if grid else set()
    if not common:
        return {}
    return {
        place: {name: arm for name, arm in arms.items() if name in common} for place, arms in grid.items()
    }


def contrast(grid: Grid, weights: dict[str, dict[str, float]]) -> Estimate:
    """A weighted sum of the means of the arms of a grid.

    Args:
        grid: the arms.
        weights: weights of the arms by place and strategy; arms without one have the weight 0.
    """
    parts = []
    for place, own in weights.items():
        by_draws: dict[tuple[str, ...], list[tuple[Arm, float]]] = {}
        for strategy, weight in own.items():
            arm = grid[place][strategy]
            by_draws.setdefault(tuple(sorted(arm.names)) or (strategy,), []).append((arm, weight))
        for names, weighted in by_draws.items():
            if len(weighted) == 1:
                parts.append(weighted[0][0].estimate * weighted[0][1])
                continue
            sums = sum(
                weight * arm.values[[arm.names.index(name) for name in names]] for arm, weight in weighted
            )
            values = np.asarray(sums)
            n = len(values)
            parts.append(Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(n)), n - 1.0))
    return total(parts)


def _contrasts(grid: Grid) -> Iterator[tuple[str, str, str, str, dict[str, dict[str, float]]]]:
    """Effect, the two places or strategies, strategy and weights of each contrast."""
    places, strategies = list(grid), list(next(iter(grid.values())))
    for a, b in combinations(places, 2):
        share = 1 / len(strategies)
        yield "proxy", a, b, "", {a: dict.fromkeys(strategies, share), b: dict.fromkeys(strategies, -share)}
    for s, t in combinations(strategies, 2):
        share = 1 / len(places)
        yield "strategy", s, t, "", {place: {s: share, t: -share} for place in places}
    if len(strategies) < 2:
        return
    for a, b in combinations(places, 2):
        for s in strategies if len(strategies) > 2 else strategies[:1]:  # of two, one mirrors the other
            rest = -1 / (len(strategies) - 1)
            own = {t: 1.0 if t == s else rest for t in strategies}
            yield "interaction", a, b, s, {a: own, b: {t: -weight for t, weight in own.items()}}


def _corrected(frame: pd.DataFrame, by: list[str] | str) -> pd.DataFrame:
    return frame.assign(
        p_holm=holm_by_group(frame, "p_value", by),
        p_equivalent_holm=holm_by_group(frame, "p_equivalent", by),
    )


def _pair_verdict(row: dict[Any, Any], options: AnalysisOptions) -> str:
    if row["p_holm"] < options.alpha:
        return str(row["a"] if row["difference"] > 0 else row["b"])
    return _effect_verdict(row, options)


def _effect_verdict(row: dict[Any, Any], options: AnalysisOptions) -> str:
    if np.isnan(row["p_value"]):
        return "cannot be tested"
    if row["p_holm"] < options.alpha:
        return "differs"
    return "equivalent" if row["p_equivalent_holm"] < options.alpha else "undecided"

"""Rankings of strategies: the probability of each rank, how ranks move between proxies, critical differences.

Whether a ranking changes is asked of the runs, never of a handful of means: Kendall's tau of 1 over four
strategies has p = 0.083, so no test on four means can find anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from nastransfer_nni.analysis.bootstrap import MIN_RUNS, Floats
from nastransfer_nni.analysis.improvement import Comparison, Options
from nastransfer_nni.analysis.table import Setting

MIN_STRATEGIES = 3
"""Strategies that a correlation of two rankings needs."""


@dataclass(frozen=True)
class Ranking:
    """The strategies of one source and proxy in one setting.

    Attributes:
        setting: target and protocol.
        where: source and proxy.
        measure: what is ranked: relative improvement, or top1 where there are no random runs.
        strategies: best mean first.
        scores: [strategies] the measure's means.
        probabilities: [strategies, ranks] of each rank.
        sufficient: whether every strategy has the runs that a finding needs.
    """

    setting: Setting
    where: str
    measure: str
    strategies: list[str]
    scores: Floats
    probabilities: Floats
    sufficient: bool


def rankings(comparisons: list[Comparison]) -> list[Ranking]:
    """The ranking on each source and proxy where at least two strategies can be ranked."""
    found = []
    for setting, where, members in _blocks(comparisons):
        has_random = any(len(member.draws) for member in members)
        members = [member for member in members if len(member.draws if has_random else _means(member))]
        if len(members) < 2:
            continue
        scores = np.array(
            [m.relative_improvement if has_random else m.searched.mean for m in members if m.searched]
        )
        draws = np.stack([member.draws if has_random else _means(member) for member in members], axis=1)
        order = np.argsort(-scores, kind="stable")
        ranks = stats.rankdata(-draws[:, order], axis=1, method="ordinal")
        probabilities = np.stack([(ranks == rank).mean(0) for rank in range(1, len(members) + 1)], axis=1)
        found.append(
            Ranking(
                setting,
                where,
                "relative improvement" if has_random else "top1",
                [members[i].strategy for i in order],
                scores[order],
                probabilities,
                all(_is_sufficient(member) for member in members),
            )
        )
    return found


def movements(comparisons: list[Comparison], options: Options) -> pd.DataFrame:
    """How the ranking by top1 moves between each two proxies of a setting.

    One row a pair of proxies with at least three strategies in common: Kendall's tau-b and Spearman's rho
    with their intervals, the probability that the best strategy is the same, and the strategies that swap:
    pairs whose difference has one sign on one proxy and the other on the other, each beyond chance
    (intersection-union test, Holm over all pairs of the setting).
    """
    rows: list[dict[str, Any]] = []
    by_setting = groupby(_blocks(comparisons), key=lambda block: block[0])
    for setting, blocks in by_setting:
        tests: list[tuple[float, int, str]] = []
        first = len(rows)
        for (_, where_a, a), (_, where_b, b) in combinations(list(blocks), 2):
            pairs = _common(a, b)
            if len(pairs) < MIN_STRATEGIES:
                continue
            rows.append(
                {
                    "setting": str(setting),
                    "proxy_a": where_a,
                    "proxy_b": where_b,
                    **_agreement(pairs, options),
                }
            )
            tests += [(p, len(rows) - 1, text) for p, text in _swaps(pairs)]
        for row in rows[first:]:
            row["swaps"] = []
        if tests:
            corrected = multipletests([p for p, _, _ in tests], method="holm")[1]
            for (_, index, text), p_holm in zip(tests, corrected, strict=True):
                if p_holm < options.alpha:
                    rows[index]["swaps"].append(text)
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class CriticalDifference:
    """Friedman's test over matched blocks, and Nemenyi's critical difference of mean ranks (Demšar 2006).

    Attributes:
        setting: target and protocol.
        strategies: best mean rank first.
        mean_ranks: [strategies].
        blocks: proxy draws on which all strategies were run.
        p_value: of Friedman's test in the form of Iman and Davenport.
        difference: mean ranks closer than this are not told apart.
    """

    setting: Setting
    strategies: list[str]
    mean_ranks: Floats
    blocks: int
    p_value: float
    difference: float

    @property
    def cliques(self) -> list[tuple[int, int]]:
        """First and last index of each longest run of strategies that are not told apart."""
        ends = np.searchsorted(self.mean_ranks, self.mean_ranks + self.difference, side="right") - 1
        return [
            (start, int(end))
            for start, end in enumerate(ends)
            if end > start and (start == 0 or ends[start - 1] < end)
        ]


def critical_differences(comparisons: list[Comparison], options: Options) -> list[CriticalDifference]:
    """Critical differences for the settings with at least three strategies and eight matched blocks.

    A block is one draw of one proxy, on which every strategy was run: the paired design of a study.
    """
    found = []
    for setting, members in groupby(comparisons, key=lambda member: member.setting):
        rows = pd.concat([member.rows.assign(label=member.strategy) for member in members])
        if rows.empty:
            continue
        blocks = rows.pivot_table(
            index=["source", "proxy", "proxy_seed"],
            columns="label",
            values="top1",
            aggfunc="mean",
            sort=False,
        ).dropna()
        count, k = blocks.shape
        if k < MIN_STRATEGIES or count < MIN_RUNS or (blocks.nunique(axis=1) == 1).all():
            continue
        ranks = stats.rankdata(-blocks.to_numpy(), axis=1).mean(0)
        order = np.argsort(ranks, kind="stable")
        chi2 = stats.friedmanchisquare(*blocks.to_numpy().T).statistic
        rest = count * (k - 1) - chi2
        f = (count - 1) * chi2 / rest if rest > 0 else np.inf
        found.append(
            CriticalDifference(
                setting,
                [str(blocks.columns[i]) for i in order],
                ranks[order],
                count,
                float(stats.f.sf(f, k - 1, (k - 1) * (count - 1))),
                float(
                    stats.studentized_range.ppf(options.confidence, k, np.inf)
                    * np.sqrt(k * (k + 1) / (12 * count))
                ),
            )
        )
    return found


def _blocks(comparisons: list[Comparison]) -> Iterator[tuple[Setting, str, list[Comparison]]]:
    places: dict[tuple[Setting, str], list[Comparison]] = {}
    for comparison in comparisons:
        places.setdefault((comparison.setting, comparison.where), []).append(comparison)
    order = list(dict.fromkeys(setting for setting, _ in places))
    for (setting, where), members in sorted(places.items(), key=lambda item: order.index(item[0][0])):
        yield setting, where, members


def _means(member: Comparison) -> Floats:
    return member.searched.draws if member.searched and member.searched.units > 1 else np.empty(0)


def _is_sufficient(member: Comparison) -> bool:
    arm = member.searched
    return arm is not None and arm.is_sufficient


def _common(a: list[Comparison], b: list[Comparison]) -> list[tuple[Comparison, Comparison]]:
    other = {member.strategy: member for member in b if len(_means(member))}
    return [
        (member, other[member.strategy]) for member in a if len(_means(member)) and member.strategy in other
    ]


def _agreement(pairs: list[tuple[Comparison, Comparison]], options: Options) -> dict[str, object]:
    points = np.array([[a.searched.mean, b.searched.mean] for a, b in pairs if a.searched and b.searched])
    draws_a, draws_b = (np.stack([_means(pair[side]) for pair in pairs], axis=1) for side in (0, 1))
    upper = np.triu_indices(len(pairs), 1)
    signs = [np.sign(d[:, upper[0]] - d[:, upper[1]]) for d in (draws_a, draws_b)]
    taus = (signs[0] * signs[1]).mean(1)
    ranks = [stats.rankdata(d, axis=1) for d in (draws_a, draws_b)]
    rhos = _row_correlation(*ranks)
    return {
        "strategies": len(pairs),
        "tau": float(stats.kendalltau(*points.T).statistic),
        "tau_low": float(np.quantile(taus, options.tails[0])),
        "tau_high": float(np.quantile(taus, options.tails[1])),
        "rho": float(stats.spearmanr(*points.T).statistic),
        "rho_low": float(np.quantile(rhos, options.tails[0])),
        "rho_high": float(np.quantile(rhos, options.tails[1])),
        "same_best": float((draws_a.argmax(1) == draws_b.argmax(1)).mean()),
        "sufficient": all(_is_sufficient(member) for pair in pairs for member in pair),
    }


def _row_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> Floats:
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num((a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1)))


def _swaps(pairs: list[tuple[Comparison, Comparison]]) -> Iterator[tuple[float, str]]:
    """For each two strategies with the runs for it: the p-value of their swapping places, and its words."""
    for (a, other_a), (b, other_b) in combinations(pairs, 2):
        if not all(_is_sufficient(member) for member in (a, b, other_a, other_b)):
            continue
        assert a.searched and b.searched and other_a.searched and other_b.searched
        first = a.searched.probability_below(b.searched.draws)
        second = other_a.searched.probability_below(other_b.searched.draws)
        is_swap = (first - 0.5) * (second - 0.5) < 0
        p = max(2 * min(first, 1 - first), 2 * min(second, 1 - second)) if is_swap else 1.0
        better, worse = (a, b) if first < 0.5 else (b, a)
        yield p, f"{better.strategy} above {worse.strategy} on {a.where}, below on {other_a.where}"

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

from nastransfer_nni.report.statistics.bootstrap import MIN_RUNS, Floats
from nastransfer_nni.report.statistics.improvement import Comparison, Options
from nastransfer_nni.report.statistics.table import Setting

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
    for setting, blocks in groupby(_blocks(comparisons), key=lambda block: block[0]):
        places = {where: {m.strategy: m for m in members if len(_means(m))} for _, where, members in blocks}
        standings: dict[tuple[str, ...], _Standing] = {}
        tests: list[tuple[float, list[str], str]] = []
        for where_a, where_b in combinations(places, 2):
            names = sorted(places[where_a].keys() & places[where_b].keys())
            if len(names) < MIN_STRATEGIES:
                continue
            for where in (where_a, where_b):
                if (where, *names) not in standings:
                    standings[where, *names] = _stand([places[where][name] for name in names])
            a, b = standings[where_a, *names], standings[where_b, *names]
            swaps: list[str] = []
            place = {"setting": str(setting), "proxy_a": where_a, "proxy_b": where_b}
            rows.append(place | _agreement(a, b, options) | {"swaps": swaps})
            tests += [
                (p, swaps, f"{pair} on {where_a}, below on {where_b}") for p, pair in _swaps(a, b, names)
            ]
        if tests:
            corrected = multipletests([p for p, _, _ in tests], method="holm")[1]
            for (_, swaps, text), p_holm in zip(tests, corrected, strict=True):
                if p_holm < options.alpha:
                    swaps.append(text)
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


@dataclass(frozen=True)
class _Standing:
    """How the strategies of one proxy stand to each other, sample by sample.

    Attributes:
        means: [strategies].
        signs: [pairs, samples] whether the first of two strategies is above the second.
        ranks: [strategies, samples] centred and of unit length.
        best: [samples] the best strategy.
        below: [pairs] probability that the first of two strategies is below the second.
        sufficient: whether every strategy has the runs that a finding needs.
    """

    means: Floats
    signs: NDArray[np.int8]
    ranks: NDArray[np.float32]
    best: NDArray[np.intp]
    below: Floats
    sufficient: bool


def _stand(members: list[Comparison]) -> _Standing:
    arms = [member.searched for member in members if member.searched]
    draws = np.stack([arm.draws for arm in arms])
    first, second = np.triu_indices(len(arms), 1)
    ranks = stats.rankdata(draws, axis=0).astype(np.float32)
    ranks -= ranks.mean(0)
    lengths = np.sqrt((ranks**2).sum(0))
    return _Standing(
        np.array([arm.mean for arm in arms]),
        np.sign(draws[first] - draws[second]).astype(np.int8),
        np.divide(ranks, lengths, out=np.zeros_like(ranks), where=lengths > 0),
        draws.argmax(0),
        np.array([arms[i].probability_below(draws[j]) for i, j in zip(first, second, strict=True)]),
        all(arm.is_sufficient for arm in arms),
    )


def _agreement(a: _Standing, b: _Standing, options: Options) -> dict[str, Any]:
    taus = (a.signs * b.signs).sum(0, dtype=np.int16) / len(a.signs)
    rhos = (a.ranks * b.ranks).sum(0)
    (tau_low, tau_high), (rho_low, rho_high) = (np.quantile(draws, options.tails) for draws in (taus, rhos))
    return {
        "strategies": len(a.means),
        "tau": float(stats.kendalltau(a.means, b.means).statistic),
        "tau_low": float(tau_low),
        "tau_high": float(tau_high),
        "rho": float(stats.spearmanr(a.means, b.means).statistic),
        "rho_low": float(rho_low),
        "rho_high": float(rho_high),
        "same_best": float((a.best == b.best).mean()),
        "sufficient": a.sufficient and b.sufficient,
    }


def _swaps(a: _Standing, b: _Standing, names: list[str]) -> Iterator[tuple[float, str]]:
    """For each two strategies the p-value of their swapping places, and who is above whom on the first proxy.

    Nothing where a strategy has too few runs.
    """
    if not (a.sufficient and b.sufficient):
        return
    for (first, second), here, there in zip(combinations(names, 2), a.below, b.below, strict=True):
        is_swap = (here - 0.5) * (there - 0.5) < 0
        p = max(2 * min(here, 1 - here), 2 * min(there, 1 - there)) if is_swap else 1.0
        better, worse = (first, second) if here < 0.5 else (second, first)
        yield float(p), f"{better} above {worse}"

"""Rankings of strategies: probabilities of ranks, agreement between proxies, critical differences.

Whether a ranking changes is decided from the runs and never from the few means: Kendall's tau of 1 over four
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
from nastransfer_nni.report.statistics.improvement import Comparison
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.table import Setting

MIN_STRATEGIES = 3
"""Number of strategies from which on two rankings are correlated."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The ranking of the strategies on one source and proxy, in one setting.

    Attributes:
        setting: target and training protocol.
        place: source and proxy in one name.
        measure: what is ranked: relative improvement, or top1 without random runs.
        strategies: names, best mean first.
        scores: means of the measure in percent, [strategies].
        probabilities: probability that a strategy has a rank, [strategies, ranks].
        sufficient: whether every strategy has enough runs to conclude anything.
    """

    setting: Setting
    place: str
    measure: str
    strategies: list[str]
    scores: Floats
    probabilities: Floats
    sufficient: bool


def rankings(comparisons: list[Comparison]) -> list[Ranking]:
    """Rank the strategies on each source and proxy that has at least two strategies with replicates."""
    found = []
    for setting, place, members in _by_place(comparisons):
        has_random = any(len(member.replicates) for member in members)
        if has_random:
            ranked = [(m, m.relative_improvement, m.replicates) for m in members]
        else:
            ranked = [(m, m.searched.mean, _top1_replicates(m)) for m in members if m.searched]
        ranked = [(m, score, replicates) for m, score, replicates in ranked if len(replicates)]
        if len(ranked) < 2:
            continue
        scores = np.array([score for _, score, _ in ranked])
        order = np.argsort(-scores, kind="stable")
        replicates = np.stack([replicates for _, _, replicates in ranked], axis=1)
        ranks = stats.rankdata(-replicates[:, order], axis=1, method="ordinal")
        found.append(
            Ranking(
                setting=setting,
                place=place,
                measure="relative improvement" if has_random else "top1",
                strategies=[ranked[i][0].strategy for i in order],
                scores=scores[order],
                probabilities=np.stack(
                    [(ranks == rank).mean(0) for rank in range(1, len(ranked) + 1)], axis=1
                ),
                sufficient=all(m.searched is not None and m.searched.is_sufficient for m, _, _ in ranked),
            )
        )
    return found


def movements(comparisons: list[Comparison], options: AnalysisOptions) -> pd.DataFrame:
    """Agreement of the rankings by top-1 on two proxies, one row per pair of proxies of a setting.

    Pairs of proxies with fewer than `MIN_STRATEGIES` strategies in common are left out.

    Returns:
        Columns:
            setting, proxy_a, proxy_b: the setting and the two proxies, each with its source.
            strategies: number of strategies that have runs on both.
            tau, tau_low, tau_high: Kendall's tau-b of the mean top-1, with its bootstrap interval.
            rho, rho_low, rho_high: Spearman's rho, likewise.
            same_best: probability that the same strategy is best on both proxies.
            sufficient: whether every strategy has enough runs on both to conclude anything.
            swaps: sentences that name two strategies whose order differs. Their difference must have one sign
                on one proxy and the other sign on the other, and both must be significant: the larger p-value
                counts (intersection-union test [1]), after Holm's correction over all pairs of strategies and
                proxies of the setting.

    References:
        [1] Berger. Multiparameter hypothesis testing and acceptance sampling. Technometrics 24, 1982.
    """
    rows: list[dict[str, Any]] = []
    for setting, blocks in groupby(_by_place(comparisons), key=lambda block: block[0]):
        places = {
            place: {m.strategy: m for m in members if len(_top1_replicates(m))}
            for _, place, members in blocks
        }
        cache: dict[tuple[str, ...], _RankReplicates] = {}
        tests: list[tuple[float, list[str], str]] = []
        for place_a, place_b in combinations(places, 2):
            names = sorted(places[place_a].keys() & places[place_b].keys())
            if len(names) < MIN_STRATEGIES:
                continue
            for place in (place_a, place_b):
                if (place, *names) not in cache:
                    cache[place, *names] = _rank_replicates([places[place][name] for name in names])
            a, b = cache[place_a, *names], cache[place_b, *names]
            swaps: list[str] = []
            rows.append(
                {
                    "setting": str(setting),
                    "proxy_a": place_a,
                    "proxy_b": place_b,
                    **_agreement(a, b, options),
                    "swaps": swaps,
                }
            )
            tests += [
                (p, swaps, f"{pair} on {place_a}, below on {place_b}") for p, pair in _swap_tests(a, b, names)
            ]
        if tests:
            corrected = multipletests([p for p, _, _ in tests], method="holm")[1]
            for (_, swaps, text), p_holm in zip(tests, corrected, strict=True):
                if p_holm < options.alpha:
                    swaps.append(text)
    return pd.DataFrame(rows)


@dataclass(frozen=True, kw_only=True)
class CriticalDifference:
    """Friedman's test over matched blocks, and Nemenyi's critical difference of mean ranks [1].

    Attributes:
        setting: target and training protocol.
        strategies: names, best mean rank first.
        mean_ranks: mean ranks over the blocks, [strategies].
        blocks: number of proxy draws on which all strategies were run.
        p_value: p-value of Friedman's test with the correction of Iman and Davenport.
        difference: mean ranks that are closer than this do not differ significantly.

    References:
        [1] Demšar. Statistical comparisons of classifiers over multiple data sets. JMLR 7, 2006.
    """

    setting: Setting
    strategies: list[str]
    mean_ranks: Floats
    blocks: int
    p_value: float
    difference: float

    @property
    def cliques(self) -> list[tuple[int, int]]:
        """First and last index of each maximal group of strategies that do not differ significantly."""
        ends = np.searchsorted(self.mean_ranks, self.mean_ranks + self.difference, side="right") - 1
        return [
            (start, int(end))
            for start, end in enumerate(ends)
            if end > start and (start == 0 or ends[start - 1] < end)
        ]


def critical_differences(comparisons: list[Comparison], options: AnalysisOptions) -> list[CriticalDifference]:
    """Critical differences for the settings with at least three strategies and eight matched blocks.

    A block is one draw of one proxy on which every strategy was run: the paired design of a study.
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
                setting=setting,
                strategies=[str(blocks.columns[i]) for i in order],
                mean_ranks=ranks[order],
                blocks=count,
                p_value=float(stats.f.sf(f, k - 1, (k - 1) * (count - 1))),
                difference=float(
                    stats.studentized_range.ppf(options.confidence, k, np.inf)
                    * np.sqrt(k * (k + 1) / (12 * count))
                ),
            )
        )
    return found


def _by_place(comparisons: list[Comparison]) -> Iterator[tuple[Setting, str, list[Comparison]]]:
    """The comparisons on each source and proxy, grouped by setting."""
    places: dict[tuple[Setting, str], list[Comparison]] = {}
    for comparison in comparisons:
        places.setdefault((comparison.setting, comparison.place), []).append(comparison)
    order = list(dict.fromkeys(setting for setting, _ in places))
    for (setting, place), members in sorted(places.items(), key=lambda item: order.index(item[0][0])):
        yield setting, place, members


def _top1_replicates(member: Comparison) -> Floats:
    """Replicates of the mean top-1, [replicates]; empty if the arm has one unit or none."""
    return member.searched.replicates if member.searched and member.searched.units > 1 else np.empty(0)


@dataclass(frozen=True, kw_only=True)
class _RankReplicates:
    """How the strategies on one proxy compare by top-1, in each bootstrap replicate.

    Attributes:
        means: mean top-1, [strategies].
        signs: sign of the difference between the first and the second strategy of each pair,
            [pairs, replicates].
        ranks: ranks of the strategies, centred and scaled to unit length, [strategies, replicates].
        best: index of the best strategy, [replicates].
        below: probability that the first strategy of a pair is below the second, [pairs].
        sufficient: whether every strategy has enough runs to conclude anything.
    """

    means: Floats
    signs: NDArray[np.int8]
    ranks: NDArray[np.float32]
    best: NDArray[np.intp]
    below: Floats
    sufficient: bool


def _rank_replicates(members: list[Comparison]) -> _RankReplicates:
    arms = [member.searched for member in members if member.searched]
    replicates = np.stack([arm.replicates for arm in arms])
    first, second = np.triu_indices(len(arms), 1)
    ranks = stats.rankdata(replicates, axis=0).astype(np.float32)
    ranks -= ranks.mean(0)
    lengths = np.sqrt((ranks**2).sum(0))
    return _RankReplicates(
        means=np.array([arm.mean for arm in arms]),
        signs=np.sign(replicates[first] - replicates[second]).astype(np.int8),
        ranks=np.divide(ranks, lengths, out=np.zeros_like(ranks), where=lengths > 0),
        best=replicates.argmax(0),
        below=np.array(
            [arms[i].probability_below(replicates[j]) for i, j in zip(first, second, strict=True)]
        ),
        sufficient=all(arm.is_sufficient for arm in arms),
    )


def _agreement(a: _RankReplicates, b: _RankReplicates, options: AnalysisOptions) -> dict[str, Any]:
    """Agreement of the same strategies' rankings on two proxies, as columns of `movements`."""
    taus = (a.signs * b.signs).sum(0, dtype=np.int16) / len(a.signs)
    rhos = (a.ranks * b.ranks).sum(0)
    tau_low, tau_high = np.quantile(taus, options.tails)
    rho_low, rho_high = np.quantile(rhos, options.tails)
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


def _swap_tests(a: _RankReplicates, b: _RankReplicates, names: list[str]) -> Iterator[tuple[float, str]]:
    """For each pair of strategies, the p-value of a swap and which strategy is above on the first proxy.

    There are none if a strategy has too few runs.
    """
    if not (a.sufficient and b.sufficient):
        return
    for (first, second), below_a, below_b in zip(combinations(names, 2), a.below, b.below, strict=True):
        is_swap = (below_a - 0.5) * (below_b - 0.5) < 0
        p = max(2 * min(below_a, 1 - below_a), 2 * min(below_b, 1 - below_b)) if is_swap else 1.0
        better, worse = (first, second) if below_a < 0.5 else (second, first)
        yield float(p), f"{better} above {worse}"

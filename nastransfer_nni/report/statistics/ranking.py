"""Rankings of strategies: probabilities of ranks, agreement between proxies, critical differences.

Whether a ranking changes is decided from the runs and never from the few means: Kendall's tau of 1 over four
strategies has p = 0.083, so no test on four means can find anything. And two rankings by few noisy means
differ even where the true rankings are equal: tau is read beside its ceiling, what the noise leaves of 1.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from nastransfer_nni.report.statistics.comparison import Comparison, by_place, difference
from nastransfer_nni.report.statistics.estimate import Floats
from nastransfer_nni.report.statistics.holm import holm
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.replicates import arm_replicates, split_half_taus, tau_rows
from nastransfer_nni.report.statistics.table import Setting
from nastransfer_nni.report.statistics.units import Arm

MIN_STRATEGIES = 3
"""Number of strategies from which on two rankings are correlated."""
MIN_RANKED = 5
"""Number of strategies from which on two rankings are said to differ; below, only swaps are."""
MIN_BLOCKS = 8
"""Matched proxy draws from which on mean ranks are compared."""
CEILING_LEVEL = 0.05
"""Quantile of tau between two replications of one ranking below which two rankings differ."""


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
        sufficient: whether every strategy can be tested.
    """

    setting: Setting
    place: str
    measure: str
    strategies: list[str]
    scores: Floats
    probabilities: Floats
    sufficient: bool


def rankings(comparisons: list[Comparison], options: AnalysisOptions) -> list[Ranking]:
    """Rank the strategies on each source and proxy that has at least two strategies with an error.

    The probability of a rank is the share of replicates in which the strategy has it. Replicates are drawn
    from the t distributions of the means; arms that share proxy draws are drawn together.
    """
    found = []
    for setting, place, members in by_place(comparisons):
        ranked = [member for member in members if member.searched and member.searched.se >= 0]
        if len(ranked) < 2:
            continue
        arms = _arms(ranked)
        has_random = all(member.random for member in ranked)
        scores = np.array(
            [
                member.relative_improvement if has_random else arm.mean
                for member, arm in zip(ranked, arms, strict=True)
            ]
        )
        pools = np.array([member.random.mean if has_random and member.random else 1.0 for member in ranked])
        replicates = arm_replicates(arms, options.replicates, _generator(options, setting, place)) / pools
        order = np.argsort(-scores, kind="stable")
        ranks = stats.rankdata(-replicates[:, order], axis=1, method="ordinal")
        found.append(
            Ranking(
                setting=setting,
                place=place,
                measure="relative improvement" if has_random else "top1",
                strategies=[ranked[i].strategy for i in order],
                scores=scores[order],
                probabilities=np.stack(
                    [(ranks == rank).mean(0) for rank in range(1, len(ranked) + 1)], axis=1
                ),
                sufficient=all(arm.is_testable for arm in arms),
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
            tau, tau_low, tau_high: Kendall's tau-b of the mean top-1, with the interval of its replicates.
            rho, rho_low, rho_high: Spearman's rho, likewise.
            same_best: probability that the same strategy is best on both proxies.
            reliability: share of the variance of the strategies' means that is not noise.
            ceiling, ceiling_low: mean and 5% quantile of tau between two replications of the design that
                share one vector of true means: the observed means of both proxies, shrunk towards their mean
                by the root of the reliability, so that they vary as the true means do.
            p_ceiling, p_ceiling_holm: share of those replications with a tau that is no larger than the
                observed one, and Holm's correction of it over the pairs of proxies of the setting.
            differs: whether the rankings differ beyond noise (`p_ceiling_holm` below 0.05); None under
                `MIN_RANKED` strategies.
            split_half_a, split_half_b: mean tau between the rankings by one half and the other of the units
                of each strategy, on either proxy: a check of the ceiling and no more; NaN with under four.
            sufficient: whether every strategy can be tested on both.
            swaps: sentences that name two strategies whose order differs. Their difference must have one sign
                on one proxy and the other sign on the other, and both must be significant: the larger p-value
                counts (intersection-union test [1]), after Holm's correction over all pairs of strategies and
                proxies of the setting.

    References:
        [1] Berger. Multiparameter hypothesis testing and acceptance sampling. Technometrics 24, 1982.
    """
    rows: list[dict[str, Any]] = []
    for setting, blocks in groupby(by_place(comparisons), key=lambda block: block[0]):
        places = {
            place: {m.strategy: m.searched for m in members if m.searched and m.searched.se >= 0}
            for _, place, members in blocks
        }
        own: list[dict[str, Any]] = []
        drawn: dict[tuple[str, ...], _Drawn] = {}
        tests: list[tuple[float, list[str], str]] = []
        for a, b in combinations(places, 2):
            names = sorted(places[a].keys() & places[b].keys())
            if len(names) < MIN_STRATEGIES:
                continue
            arms = [[places[place][name] for name in names] for place in (a, b)]
            for place, own_arms in zip((a, b), arms, strict=True):
                if (place, *names) not in drawn:
                    rng = _generator(options, setting, place, *names)
                    drawn[place, *names] = _draw(own_arms, options, rng)
            swaps: list[str] = []
            row = _agreement(drawn[a, *names], drawn[b, *names], options)
            own.append({"setting": str(setting), "proxy_a": a, "proxy_b": b, **row, "swaps": swaps})
            if row["sufficient"]:
                tests += [
                    (p, swaps, f"{pair} on {a}, below on {b}")
                    for p, pair in _swap_tests(arms[0], arms[1], names)
                ]
        _correct(own, tests, options)
        rows += own
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
        if k < MIN_STRATEGIES or count < MIN_BLOCKS or (blocks.nunique(axis=1) == 1).all():
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


def _generator(options: AnalysisOptions, *names: object) -> np.random.Generator:
    """A random stream that depends on the names alone, so that no part changes the replicates of another."""
    return np.random.default_rng([options.seed, zlib.crc32("\0".join(map(str, names)).encode())])


def _arms(members: list[Comparison]) -> list[Arm]:
    return [member.searched for member in members if member.searched]


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """The strategies on one proxy with replicates of their means.

    Attributes:
        arms: the arms of the strategies.
        means: their means, [strategies].
        replicates: replicates of the means, [replicates, strategies].
        ranks: ranks in each replicate, centred and scaled to unit length, [replicates, strategies].
        errors: errors of a replication of the design, [replicates, strategies].
        split_half: mean tau between the rankings by one half of the units and by the other.
    """

    arms: list[Arm]
    means: Floats
    replicates: Floats
    ranks: Floats
    errors: Floats
    split_half: float


def _draw(arms: list[Arm], options: AnalysisOptions, rng: np.random.Generator) -> _Drawn:
    means = np.array([arm.mean for arm in arms])
    replicates = arm_replicates(arms, options.replicates, rng)
    ranks = stats.rankdata(replicates, axis=1) - (len(arms) + 1) / 2
    return _Drawn(
        arms=arms,
        means=means,
        replicates=replicates,
        ranks=ranks / np.maximum(np.sqrt((ranks**2).sum(1, keepdims=True)), 1e-12),
        errors=arm_replicates(arms, options.replicates, rng, is_normal=True) - means,
        split_half=split_half_taus(arms, rng),
    )


def _agreement(a: _Drawn, b: _Drawn, options: AnalysisOptions) -> dict[str, Any]:
    """Agreement of the same strategies' rankings on two proxies, as columns of `movements`."""
    tau_low, tau_high = np.quantile(tau_rows(a.replicates, b.replicates), options.tails)
    rho_low, rho_high = np.quantile((a.ranks * b.ranks).sum(1), options.tails)
    tau = float(stats.kendalltau(a.means, b.means).statistic)
    middle = (a.means + b.means) / 2
    noise = np.mean([(x.se**2 + y.se**2) / 4 for x, y in zip(a.arms, b.arms, strict=True)])
    variance = middle.var(ddof=1)
    reliability = float(np.clip(1 - noise / variance, 0, 1)) if variance else 0.0
    true = middle.mean() + np.sqrt(reliability) * (middle - middle.mean())
    same = tau_rows(true + a.errors, true + b.errors)
    return {
        "strategies": len(middle),
        "tau": tau,
        "tau_low": float(tau_low),
        "tau_high": float(tau_high),
        "rho": float(stats.spearmanr(a.means, b.means).statistic),
        "rho_low": float(rho_low),
        "rho_high": float(rho_high),
        "same_best": float((a.replicates.argmax(1) == b.replicates.argmax(1)).mean()),
        "reliability": reliability,
        "ceiling": float(same.mean()),
        "ceiling_low": float(np.quantile(same, CEILING_LEVEL)),
        "p_ceiling": float(((same <= tau + 1e-9).sum() + 1) / (len(same) + 1)),
        "split_half_a": a.split_half,
        "split_half_b": b.split_half,
        "sufficient": all(arm.is_testable for arm in (*a.arms, *b.arms)),
    }


def _correct(
    rows: list[dict[str, Any]], tests: list[tuple[float, list[str], str]], options: AnalysisOptions
) -> None:
    """Correct the p-values of one setting by Holm's method, and name the swaps that remain significant."""
    known = [row for row in rows if row["sufficient"]]
    corrected = holm([row["p_ceiling"] for row in known]) if known else np.empty(0)
    for row in rows:
        row |= {"p_ceiling_holm": float("nan"), "differs": None}
    for row, p in zip(known, corrected, strict=True):
        row["p_ceiling_holm"] = float(p)
        if row["strategies"] >= MIN_RANKED:
            row["differs"] = bool(p < CEILING_LEVEL)
    if tests:
        corrected = holm([p for p, _, _ in tests])
        for (_, swaps, text), p_holm in zip(tests, corrected, strict=True):
            if p_holm < options.alpha:
                swaps.append(text)


def _swap_tests(a: list[Arm], b: list[Arm], names: list[str]) -> Iterator[tuple[float, str]]:
    """For each pair of strategies, the p-value of a swap and which strategy is above on the first proxy."""
    for first, second in combinations(range(len(names)), 2):
        gaps = [difference(arms[first], arms[second], shares_draws=True) for arms in (a, b)]
        is_swap = gaps[0].mean * gaps[1].mean < 0
        p = max(float(gap.p_value()) for gap in gaps) if is_swap else 1.0
        better, worse = (first, second) if gaps[0].mean > 0 else (second, first)
        yield p, f"{names[better]} above {names[worse]}"

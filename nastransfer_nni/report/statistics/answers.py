"""The three questions of a transfer study, each answered in a sentence made from the numbers.

The questions are those that NASTransfer (Panda et al., AAAI 2021) answers: the proxy hardly moves the mean
accuracy but changes the ranking; strategies that look alike on the source differ on the target; random
sampling is a strong baseline that the right strategy on the right proxy still beats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from nastransfer_nni.report.statistics.bootstrap import MIN_RUNS, Arm, arm
from nastransfer_nni.report.statistics.improvement import Comparison, Verdict
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.table import place_name

PROXY = "Does the proxy matter to the target: to mean accuracy, to the ranking of strategies?"
ALIKE = "Do strategies that look alike on the source differ on the target?"
RANDOM = "Is random sampling a strong baseline, and what beats it?"
INCONCLUSIVE = Verdict.INCONCLUSIVE.value
STABLE_TAU = 0.6
"""The ranking is called stable if tau's interval stays above this: four in five pairs of strategies agree."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to one question in one setting.

    Attributes:
        question: one of the questions of this module.
        setting: target and training protocol.
        verdict: yes, no, partly or inconclusive; for the first question one of them per half of it.
        sentence: the numbers that the verdict rests on.
    """

    question: str
    setting: str
    verdict: str
    sentence: str


def answer(
    comparisons: list[Comparison],
    improvement: pd.DataFrame,
    movements: pd.DataFrame,
    options: AnalysisOptions,
) -> list[Answer]:
    """Answer every question in every setting.

    Args:
        comparisons: all comparisons, grouped by setting.
        improvement: their table, as `relative_improvement` returns it.
        movements: agreement of the rankings, as `ranking.movements` returns it.
        options: how the table is analysed.

    Returns:
        The answers, ordered by question, then by setting.
    """
    answers = []
    for setting, members in groupby(comparisons, key=lambda member: member.setting):
        name, group = str(setting), list(members)
        rows = improvement[improvement["setting"] == name]
        moved = movements[movements["setting"] == name] if len(movements) else movements
        for question, (verdict, sentence) in (
            (PROXY, _proxy(group, moved, options)),
            (ALIKE, _alike(group, options)),
            (RANDOM, _random(rows, options)),
        ):
            answers.append(Answer(question=question, setting=name, verdict=verdict, sentence=sentence))
    order = (PROXY, ALIKE, RANDOM)
    return sorted(answers, key=lambda each: order.index(each.question))


def by_question(answers: Sequence[Answer]) -> list[tuple[str, list[Answer]]]:
    """Each question with its answers, in the order of the questions."""
    return [(question, list(group)) for question, group in groupby(answers, key=lambda each: each.question)]


def _proxy(members: list[Comparison], moved: pd.DataFrame, options: AnalysisOptions) -> tuple[str, str]:
    """Verdict and sentence on the proxy's effect on mean accuracy and on the ranking."""
    if len({member.place for member in members}) < 2:
        return INCONCLUSIVE, "The table has one proxy, so there is nothing to compare it with."
    mean_verdict, mean_sentence = _proxy_means(members, options)
    ranking_verdict, ranking_sentence = _proxy_rankings(moved)
    if mean_verdict == ranking_verdict == INCONCLUSIVE:
        verdict = INCONCLUSIVE
    else:
        verdict = f"mean: {mean_verdict}; ranking: {ranking_verdict}"
    return verdict, f"{mean_sentence}; {ranking_sentence}."


def _proxy_means(members: list[Comparison], options: AnalysisOptions) -> tuple[str, str]:
    """Whether the mean accuracy over the strategies that all proxies share differs between two proxies.

    The intervals of all pairs of proxies hold simultaneously: each has the level alpha divided by the number
    of pairs (Bonferroni's correction), since Holm's has no simultaneous intervals.
    """
    by_place: dict[str, dict[str, Arm]] = {}
    for member in members:
        if member.searched and member.searched.is_sufficient:
            by_place.setdefault(member.place, {})[member.strategy] = member.searched
    places = list(by_place)
    common = sorted(set.intersection(*(set(arms) for arms in by_place.values()))) if by_place else []
    if len(places) < 2 or not common:
        return INCONCLUSIVE, f"No strategy has {MIN_RUNS} runs on each of two proxies to compare their means"
    replicates = {
        place: np.mean([arms[name].replicates for name in common], axis=0) for place, arms in by_place.items()
    }
    means = {place: float(np.mean([arms[name].mean for name in common])) for place, arms in by_place.items()}
    pairs = list(combinations(places, 2))
    tails = np.array([0.5, 0.5]) + np.array([-0.5, 0.5]) * (1 - options.alpha / len(pairs))
    intervals = {(a, b): np.quantile(100 * (replicates[a] / replicates[b] - 1), tails) for a, b in pairs}
    differences = {(a, b): 100 * (means[a] / means[b] - 1) for a, b in pairs}
    a, b = max(pairs, key=lambda pair: abs(differences[pair]))
    low, high = intervals[a, b]
    largest = (
        f"the largest difference, over {_count(len(common), 'strategy', 'strategies')}, is "
        f"{_signed(differences[a, b])}, of {a} against {b} "
        f"({_interval(low, high)}, corrected for {_count(len(pairs), 'pair')} of proxies)"
    )
    if all(-options.margin < low and high < options.margin for low, high in intervals.values()):
        return "no", f"All proxies are equivalent within {options.margin:g}%; {largest}"
    different = [pair for pair, (low, high) in intervals.items() if low > 0 or high < 0]
    if different:
        count = f"{len(different)} of {_count(len(pairs), 'pair')}"
        return "yes", f"{count} of proxies differ significantly; {largest}"
    return INCONCLUSIVE, (
        f"No two proxies differ significantly, but they are not shown to be equivalent within "
        f"{options.margin:g}% either; {largest}"
    )


def _proxy_rankings(moved: pd.DataFrame) -> tuple[str, str]:
    """Whether the ranking of the strategies differs between two proxies."""
    if moved.empty:
        return (
            INCONCLUSIVE,
            "fewer than three strategies were run on each of two proxies to compare rankings",
        )
    moved = moved[moved["sufficient"]]
    if moved.empty:
        return INCONCLUSIVE, f"rankings need {MIN_RUNS} runs of every strategy on each of two proxies"
    swaps = [swap for row in moved["swaps"] for swap in row]
    lowest = moved.sort_values("tau").iloc[0]
    agreement = (
        f"the lowest Kendall's tau-b between proxies is {lowest['tau']:.2f} "
        f"({_interval(lowest['tau_low'], lowest['tau_high'])}), "
        f"for {lowest['proxy_a']} and {lowest['proxy_b']}"
    )
    if swaps:
        return "yes", f"{_count(len(swaps), 'significant swap')}, such as {swaps[0]}, and {agreement}"
    if (moved["tau_low"] >= STABLE_TAU).all():
        return "no", f"no two strategies swap significantly, and {agreement}"
    return INCONCLUSIVE, (
        "no two strategies swap significantly, but the runs do not show that the ranking is stable: "
        f"{agreement}"
    )


def _alike(members: list[Comparison], options: AnalysisOptions) -> tuple[str, str]:
    """Whether two strategies that are equivalent on the source differ significantly on the target."""
    if not any(member.rows["source_top1"].notna().any() for member in members):
        return INCONCLUSIVE, "The table has no accuracies on the source (source_top1)."
    known = [
        member
        for member in members
        if member.searched and member.searched.is_sufficient and member.rows["source_top1"].notna().all()
    ]
    alike = 0
    tests: list[tuple[float, float, Comparison, Comparison]] = []
    for _, block in groupby(sorted(known, key=lambda member: member.place), key=lambda member: member.place):
        arms = [(each, arm(each.rows, "source_top1", options.replicates, options.seed)) for each in block]
        for (a, source_a), (b, source_b) in combinations(arms, 2):
            low, high = np.quantile(100 * (source_a.replicates / source_b.replicates - 1), options.tails)
            if -options.margin < low and high < options.margin:
                alike += 1
                assert a.searched and b.searched
                below = a.searched.probability_below(b.searched.replicates)
                difference = a.searched.mean - b.searched.mean
                better, worse = (a, b) if difference > 0 else (b, a)
                tests.append((2 * min(below, 1 - below), abs(difference), better, worse))
    if not tests:
        return INCONCLUSIVE, (
            f"No two strategies with {MIN_RUNS} runs are shown to be alike on the source within "
            f"{options.margin:g}%."
        )
    corrected = multipletests([p for p, *_ in tests], method="holm")[1]
    different = [test for test, p in zip(tests, corrected, strict=True) if p < options.alpha]
    pairs = f"{_count(alike, 'pair')} of strategies alike on the source (within {options.margin:g}%)"
    if not different:
        return (
            INCONCLUSIVE,
            f"Of {pairs}, none differs significantly on the target, which is no proof that none does.",
        )
    _, difference, better, worse = max(different, key=lambda test: test[1])
    place = f" on {better.place}" if better.place else ""
    verb = "differs" if len(different) == 1 else "differ"
    return "yes", (
        f"Of {pairs}, {len(different)} {verb} significantly on the target; the largest difference is "
        f"{difference:.2f} points of top-1, of {better.strategy} over {worse.strategy}{place}."
    )


def _random(rows: pd.DataFrame, options: AnalysisOptions) -> tuple[str, str]:
    """Whether searched cells are better than random ones, from the table of relative improvements."""
    compared = rows[rows["sufficient"]]
    if compared.empty:
        if not (rows["n_random"] > 0).any():
            return INCONCLUSIVE, "The table has no random cells to compare with."
        return INCONCLUSIVE, f"No comparison has {MIN_RUNS} runs in both arms."
    counts = {verdict: int((compared["verdict"] == verdict).sum()) for verdict in Verdict}
    others = ", ".join(
        f"{counts[verdict]} {verdict.text(options.margin)}"
        for verdict in (Verdict.WORSE, Verdict.EQUIVALENT, Verdict.INCONCLUSIVE)
        if counts[verdict]
    )
    others = f" ({others})" if others else ""
    better = counts[Verdict.BETTER]
    if not better:
        verdict = INCONCLUSIVE if counts[Verdict.INCONCLUSIVE] else "yes"
        return verdict, f"None of {_count(len(compared), 'comparison')} with random cells is better{others}."
    best = compared[compared["verdict"] == Verdict.BETTER].sort_values("relative_improvement").iloc[-1]
    verdict = "partly" if better < len(compared) else "no"
    return verdict, (
        f"{better} of {_count(len(compared), 'comparison')} beat random cells{others}; the largest "
        f"improvement is that of {_pair(best)}: {_signed(best['relative_improvement'])} "
        f"({_interval(best['ci_low'], best['ci_high'])}, corrected p {_p(best['p_holm'])})."
    )


def _pair(row: Any) -> str:
    place = place_name(row["source"], row["proxy"])
    return f"{row['strategy']} on {place}" if place else str(row["strategy"])


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _signed(percent: float) -> str:
    return f"{percent:+.2f}%"


def _interval(low: float, high: float) -> str:
    return f"{low:.2f} to {high:.2f}"


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"

"""The three questions of a transfer study, each answered in a sentence made from the numbers.

The questions are the findings of NASTransfer (Panda et al., AAAI 2021): the proxy barely moves the mean but
changes the ranking; strategies that look alike on the source differ on the target; random sampling is a
strong baseline that the right pair still beats.
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
from nastransfer_nni.report.statistics.improvement import Comparison, Options

PROXY = "Does the proxy matter to the target: to mean accuracy, to the ranking of strategies?"
ALIKE = "Do strategies that look alike on the source differ on the target?"
RANDOM = "Is random sampling a strong baseline, and what beats it?"
CANNOT_TELL = "cannot tell"
STABLE_TAU = 0.6
"""A ranking holds when the interval of tau stays above this: four pairs of strategies in five agree."""


@dataclass(frozen=True)
class Answer:
    """One question in one setting.

    Attributes:
        question: one of this module's questions.
        setting: target and protocol.
        verdict: yes, no, partly or cannot tell.
        sentence: why, with its numbers.
    """

    question: str
    setting: str
    verdict: str
    sentence: str


def answer(
    comparisons: list[Comparison], improvement: pd.DataFrame, movements: pd.DataFrame, options: Options
) -> list[Answer]:
    """Every question in every setting, question by question."""
    found = []
    for setting, members in groupby(comparisons, key=lambda member: member.setting):
        name, group = str(setting), list(members)
        rows = improvement[improvement["setting"] == name]
        moved = movements[movements["setting"] == name] if len(movements) else movements
        found += [
            Answer(PROXY, name, *_proxy(group, moved, options)),
            Answer(ALIKE, name, *_alike(group, options)),
            Answer(RANDOM, name, *_random(rows, options)),
        ]
    order = (PROXY, ALIKE, RANDOM)
    return sorted(found, key=lambda each: order.index(each.question))


def _proxy(members: list[Comparison], moved: pd.DataFrame, options: Options) -> tuple[str, str]:
    if len({member.where for member in members}) < 2:
        return CANNOT_TELL, "The table has one proxy, so there is nothing to compare it with."
    (mean, of_mean), (ranking, of_ranking) = _mean(members, options), _ranking(moved)
    verdict = CANNOT_TELL if mean == ranking == CANNOT_TELL else f"mean: {mean}; ranking: {ranking}"
    return verdict, f"{of_mean}; {of_ranking}."


def _mean(members: list[Comparison], options: Options) -> tuple[str, str]:
    by_place: dict[str, dict[str, Arm]] = {}
    for member in members:
        if member.searched and member.searched.is_sufficient:
            by_place.setdefault(member.where, {})[member.strategy] = member.searched
    places = list(by_place)
    common = set.intersection(*(set(arms) for arms in by_place.values())) if by_place else set()
    if len(places) < 2 or not common:
        return CANNOT_TELL, f"No strategy has {MIN_RUNS} runs on each of two proxies to compare their means"
    draws = {
        place: np.mean([by_place[place][name].draws for name in sorted(common)], axis=0) for place in places
    }
    means = {place: float(np.mean([by_place[place][name].mean for name in common])) for place in places}
    pairs = list(combinations(places, 2))
    tails = np.array([0.5, 0.5]) + np.array([-0.5, 0.5]) * (1 - options.alpha / len(pairs))
    spans = {(a, b): np.quantile(100 * (draws[a] / draws[b] - 1), tails) for a, b in pairs}
    gaps = {(a, b): 100 * (means[a] / means[b] - 1) for a, b in pairs}
    a, b = max(pairs, key=lambda pair: abs(gaps[pair]))
    low, high = spans[a, b]
    told = (
        f"over {_count(len(common), 'strategy', 'strategies')}, {a} is {_signed(gaps[a, b])} against {b} "
        f"({_span(low, high)}, corrected for {_count(len(pairs), 'pair')} of proxies)"
    )
    if all(-options.margin < low and high < options.margin for low, high in spans.values()):
        return "no", f"All proxies are equivalent within {options.margin:g}%: {told} at the most"
    differing = [pair for pair, (low, high) in spans.items() if low > 0 or high < 0]
    if differing:
        return "yes", (
            f"{len(differing)} of {_count(len(pairs), 'pair')} of proxies differ, the most: {told}"
        )
    return CANNOT_TELL, (
        f"No two proxies differ beyond chance, but they are not shown to be equivalent within "
        f"{options.margin:g}% either: {told}"
    )


def _ranking(moved: pd.DataFrame) -> tuple[str, str]:
    if moved.empty:
        return CANNOT_TELL, "fewer than three strategies were run on each of two proxies to compare rankings"
    if not moved["sufficient"].all():
        moved = moved[moved["sufficient"]]
        if moved.empty:
            return CANNOT_TELL, f"rankings need {MIN_RUNS} runs of every strategy on each of two proxies"
    swaps = [swap for row in moved["swaps"] for swap in row]
    lowest = moved.sort_values("tau").iloc[0]
    told = (
        f"Kendall's tau-b between proxies is {lowest['tau']:.2f} "
        f"({_span(lowest['tau_low'], lowest['tau_high'])}) at the lowest, "
        f"for {lowest['proxy_a']} and {lowest['proxy_b']}"
    )
    if swaps:
        return "yes", f"{_count(len(swaps), 'swap')} beyond chance, such as {swaps[0]}, and {told}"
    if (moved["tau_low"] >= STABLE_TAU).all():
        return "no", f"no two strategies swap places beyond chance, and {told}"
    return CANNOT_TELL, (
        "no two strategies swap places beyond chance, but the runs do not show that the ranking holds: "
        f"{told}"
    )


def _alike(members: list[Comparison], options: Options) -> tuple[str, str]:
    known = [
        member
        for member in members
        if member.searched and member.searched.is_sufficient and member.rows["source_top1"].notna().all()
    ]
    if not any(member.rows["source_top1"].notna().any() for member in members):
        return CANNOT_TELL, "The table has no accuracies on the source (source_top1)."
    alike = 0
    tests: list[tuple[float, float, str, Comparison, Comparison]] = []
    for _, block in groupby(sorted(known, key=lambda member: member.where), key=lambda member: member.where):
        arms = [(each, arm(each.rows, "source_top1", options.samples, options.seed)) for each in block]
        for (a, source_a), (b, source_b) in combinations(arms, 2):
            low, high = np.quantile(100 * (source_a.draws / source_b.draws - 1), options.tails)
            if -options.margin < low and high < options.margin:
                alike += 1
                assert a.searched and b.searched
                below = a.searched.probability_below(b.searched.draws)
                gap = a.searched.mean - b.searched.mean
                tests.append((2 * min(below, 1 - below), abs(gap), a.where, *((a, b) if gap > 0 else (b, a))))
    if not tests:
        return CANNOT_TELL, (
            f"No two strategies with {MIN_RUNS} runs are shown to be alike on the source within "
            f"{options.margin:g}%."
        )
    corrected = multipletests([p for p, *_ in tests], method="holm")[1]
    differing = [test for test, p in zip(tests, corrected, strict=True) if p < options.alpha]
    told = f"{_count(alike, 'pair')} of strategies alike on the source (within {options.margin:g}%)"
    if not differing:
        return (
            CANNOT_TELL,
            f"Of {told}, none differs on the target beyond chance, which is no proof that none does.",
        )
    _, gap, where, better, worse = max(differing, key=lambda test: test[1])
    place = f" on {where}" if where else ""
    return "yes", (
        f"Of {told}, {len(differing)} {'differs' if len(differing) == 1 else 'differ'} on the target, "
        f"{better.strategy} and {worse.strategy}{place} the most: by {gap:.2f} points of top-1."
    )


def _random(rows: pd.DataFrame, options: Options) -> tuple[str, str]:
    compared = rows[rows["sufficient"]]
    if compared.empty:
        if not (rows["n_random"] > 0).any():
            return CANNOT_TELL, "The table has no random cells to compare with."
        return CANNOT_TELL, f"No comparison has {MIN_RUNS} runs in both arms."
    counts = {name: int((compared["verdict"] == name).sum()) for name in ("better", "worse", "equivalent")}
    undecided = len(compared) - sum(counts.values())
    rest = ", ".join(
        text
        for count, text in (
            (counts["worse"], f"{counts['worse']} worse"),
            (counts["equivalent"], f"{counts['equivalent']} equivalent within {options.margin:g}%"),
            (undecided, f"{undecided} undecided"),
        )
        if count
    )
    rest = f" ({rest})" if rest else ""
    if not counts["better"]:
        verdict = CANNOT_TELL if undecided else "yes"
        return verdict, f"None of {_count(len(compared), 'comparison')} with random cells is better{rest}."
    best = compared[compared["verdict"] == "better"].sort_values("relative_improvement").iloc[-1]
    verdict = "partly" if counts["better"] < len(compared) else "no"
    return verdict, (
        f"{counts['better']} of {_count(len(compared), 'comparison')} beat random cells{rest}, "
        f"{_pair(best)} by the most: {_signed(best['relative_improvement'])} "
        f"({_span(best['ci_low'], best['ci_high'])}, corrected p {_p(best['p_holm'])})."
    )


def _pair(row: Any) -> str:
    place = " / ".join(filter(None, (row["source"], row["proxy"])))
    return f"{row['strategy']} on {place}" if place else str(row["strategy"])


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _signed(percent: float) -> str:
    return f"{percent:+.2f}%"


def _span(low: float, high: float) -> str:
    return f"{low:.2f} to {high:.2f}"


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


def questions(answers: Sequence[Answer]) -> list[tuple[str, list[Answer]]]:
    """The answers by question, in the order of the questions."""
    return [(question, list(group)) for question, group in groupby(answers, key=lambda each: each.question)]

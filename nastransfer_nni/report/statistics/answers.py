"""The three questions of a transfer study, each answered in a sentence made from the numbers.

The questions are those that NASTransfer (Panda et al., AAAI 2021) answers: the proxy hardly moves the mean
accuracy but changes the ranking; strategies that look alike on the source differ on the target; random
sampling is a strong baseline that the right strategy on the right proxy still beats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, groupby
from typing import Any

import pandas as pd

from nastransfer_nni.report.statistics.comparison import Comparison, difference
from nastransfer_nni.report.statistics.estimate import Estimate
from nastransfer_nni.report.statistics.holm import holm
from nastransfer_nni.report.statistics.improvement import Verdict
from nastransfer_nni.report.statistics.margin import known_margin
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.ranking import MIN_RANKED
from nastransfer_nni.report.statistics.table import BASELINE, place_name
from nastransfer_nni.report.statistics.units import Arm, arm

PROXY = "Does the proxy matter to the target: to mean accuracy, to the ranking of strategies?"
ALIKE = "Do strategies that look alike on the source differ on the target?"
RANDOM = "Is random sampling a strong baseline, and what beats it?"
UNDECIDED = Verdict.UNDECIDED.value
NOT_ASKED = "not asked"
"""Verdict where a table has nothing to answer a question with."""
STABLE_TAU = 0.6
"""The ranking is called stable if tau's interval stays above this: four in five pairs of strategies agree."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to one question in one setting.

    Attributes:
        question: one of the questions of this module.
        setting: target and training protocol.
        verdict: yes, no, partly or undecided; for the first question one of them per half of it.
        sentence: the numbers that the verdict rests on.
        numbers: figures for a paragraph on it, by name.
    """

    question: str
    setting: str
    verdict: str
    sentence: str
    numbers: dict[str, Any] = field(default_factory=dict)


Found = tuple[str, str, dict[str, Any]]
"""Verdict, sentence and numbers."""


def answer(
    comparisons: list[Comparison],
    improvement: pd.DataFrame,
    effects: pd.DataFrame,
    movements: pd.DataFrame,
    pairs: pd.DataFrame,
    options: AnalysisOptions,
) -> list[Answer]:
    """Answer every question in every setting.

    Args:
        comparisons: all comparisons, grouped by setting.
        improvement: their table, as `relative_improvement` returns it.
        effects: main effects and interaction, as `pairs.two_way` returns them.
        movements: agreement of the rankings, as `ranking.movements` returns it.
        pairs: every two strategies on one proxy, as `pairs.pairwise` returns them.
        options: how the table is analysed.

    Returns:
        The answers, ordered by question, then by setting. Their `numbers`:
            first question: `places`, `strategies` (counts), `contrasts` (rows of `effects` of the effect
                `proxy`), `interaction` (those of the effect `interaction`), `movements` (rows).
            second question: `pairs` alike on the source, `different` ones of them on the target, `largest`
                difference in points.
            third question: `counts` of the verdicts by their wording, `best` row of the improvement or None.
    """
    answers = []
    for setting, members in groupby(comparisons, key=lambda member: member.setting):
        name, group = str(setting), list(members)
        rows, own, moved, paired = (
            frame[frame["setting"] == name] if len(frame) else frame
            for frame in (improvement, effects, movements, pairs)
        )
        for question, (verdict, sentence, numbers) in (
            (PROXY, _proxy(group, own, moved, options)),
            (ALIKE, _alike(group, options)),
            (RANDOM, _random(rows, paired, options)),
        ):
            answers.append(
                Answer(question=question, setting=name, verdict=verdict, sentence=sentence, numbers=numbers)
            )
    order = (PROXY, ALIKE, RANDOM)
    return sorted(answers, key=lambda each: order.index(each.question))


def by_question(answers: Sequence[Answer]) -> list[tuple[str, list[Answer]]]:
    """Each question with its answers, in the order of the questions."""
    return [(question, list(group)) for question, group in groupby(answers, key=lambda each: each.question)]


def _proxy(
    members: list[Comparison], effects: pd.DataFrame, moved: pd.DataFrame, options: AnalysisOptions
) -> Found:
    """The proxy's effect on mean accuracy, its interaction with the strategy, and on the ranking."""
    if len({member.place for member in members}) < 2:
        return NOT_ASKED, "The table has one proxy, so there is nothing to compare it with.", {}
    mean_verdict, mean_sentence = _effect(effects, "proxy", options)
    ranking_verdict, ranking_sentence = _proxy_rankings(effects, moved, options)
    if mean_verdict == ranking_verdict == UNDECIDED:
        verdict = UNDECIDED
    else:
        verdict = f"mean: {mean_verdict}; ranking: {ranking_verdict}"
    numbers = {
        "places": len({member.place for member in members}),
        "strategies": len({member.strategy for member in members}),
        "contrasts": _of(effects, "proxy").to_dict("records"),
        "interaction": _of(effects, "interaction").to_dict("records"),
        "movements": moved.to_dict("records"),
    }
    return verdict, f"{mean_sentence}; {ranking_sentence}.", numbers


def _of(effects: pd.DataFrame, effect: str) -> pd.DataFrame:
    return effects[effects["effect"] == effect] if len(effects) else effects


def _effect(effects: pd.DataFrame, effect: str, options: AnalysisOptions) -> tuple[str, str]:
    """Verdict and sentence on the main effect of the proxy."""
    rows = _of(effects, effect)
    known = rows[rows["p_value"].notna()] if len(rows) else rows
    if known.empty:
        return UNDECIDED, "No strategy can be compared on all proxies"
    row = known.iloc[int(known["estimate"].abs().argmax())]
    largest = (
        f"the largest difference is {row['estimate']:+.2f} points, of {row['a']} against {row['b']} "
        f"({_interval(row['ci_low'], row['ci_high'])}, corrected p {_p(row['p_holm'])})"
    )
    different = int((known["p_holm"] < options.alpha).sum())
    pairs = _count(len(known), "pair")
    if len(known) == len(rows) and (known["p_equivalent_holm"] < options.alpha).all():
        return "no", f"All proxies are equivalent within {options.margin}; {largest}"
    if different:
        return "yes", f"{different} of {pairs} of proxies differ significantly; {largest}"
    return UNDECIDED, (
        f"No two proxies differ significantly, but they are not shown to be equivalent within "
        f"{options.margin} either; {largest}"
    )


def _proxy_rankings(effects: pd.DataFrame, moved: pd.DataFrame, options: AnalysisOptions) -> tuple[str, str]:
    """Whether strategies gain differently from the proxies, and whether their ranking differs."""
    interaction = _of(effects, "interaction")
    changed = interaction[interaction["verdict"] == "differs"] if len(interaction) else interaction
    parts = []
    if len(changed):
        row = changed.iloc[int(changed["estimate"].abs().argmax())]
        parts.append(
            f"{row['strategy']} differs from the other strategies by {abs(row['estimate']):.2f} points more "
            f"on one of {row['a']} and {row['b']} than on the other (corrected p {_p(row['p_holm'])})"
        )
    is_alike = len(interaction) > 0 and bool((interaction["verdict"] == "equivalent").all())
    if is_alike:
        parts.append(
            "the differences between strategies are the same on all proxies within "
            f"{options.margin}, up to {interaction['estimate'].abs().max():.2f} points as observed"
        )
    known = moved[moved["sufficient"]] if len(moved) else moved
    if known.empty:
        if not is_alike:
            parts.append("rankings need three strategies or more that can be tested on each of two proxies")
        return ("yes" if len(changed) else "no" if is_alike else UNDECIDED), ", and ".join(parts)
    swaps = [swap for row in known["swaps"] for swap in row]
    lowest = known.iloc[int(known["tau"].argmin())]
    agreement = (
        f"the lowest Kendall's tau between proxies is {lowest['tau']:z.2f}, for {lowest['proxy_a']} and "
        f"{lowest['proxy_b']}, where noise alone leaves {lowest['ceiling']:z.2f} on average and "
        f"{lowest['ceiling_low']:z.2f} at the 5% quantile"
    )
    if swaps:
        parts.append(f"{_count(len(swaps), 'significant swap')}, such as {swaps[0]}, and {agreement}")
    else:
        parts.append(f"no two strategies swap significantly, and {agreement}")
    differs = any(each is True for each in known["differs"])
    if differs:
        parts.append("which the noise does not explain")
    elif not swaps and (known["strategies"] < MIN_RANKED).all():
        parts.append(f"under {MIN_RANKED} strategies no more is said of rankings")
    if swaps or differs or len(changed):
        return "yes", ", and ".join(parts)
    is_stable = (known["tau_low"] >= STABLE_TAU).all() and (known["strategies"] >= MIN_RANKED).all()
    return ("no" if is_stable or is_alike else UNDECIDED), ", and ".join(parts)


def _alike(members: list[Comparison], options: AnalysisOptions) -> Found:
    """Whether strategies that are alike on the source differ on the target, or are alike there too."""
    if not any(member.rows["source_top1"].notna().any() for member in members):
        return NOT_ASKED, "The table has no accuracies on the source (source_top1).", {}
    pairs = list(_pairs_alike_on_source(members, options))
    tests = [pair[:4] for pair in pairs]
    numbers: dict[str, Any] = {"pairs": len(tests), "different": 0, "largest": float("nan")}
    within = f"within {options.margin}"
    if not tests:
        return UNDECIDED, f"No two strategies are shown to be alike on the source {within}.", numbers
    corrected = holm([p for p, *_ in tests])
    different = [test for test, p in zip(tests, corrected, strict=True) if p < options.alpha]
    counted = f"{_count(len(tests), 'pair')} of strategies alike on the source ({within})"
    if not different and bool((holm([pair[4] for pair in pairs]) < options.alpha).all()):
        largest = max(gap for _, gap, *_ in tests)
        sentence = (
            f"{'All' if len(tests) > 1 else 'The'} {counted} {'are' if len(tests) > 1 else 'is'} as alike on "
            f"the target; the largest difference there is {largest:.2f} points of top-1."
        )
        return "no", sentence, numbers | {"largest": largest}
    if not different:
        sentence = (
            f"Of {counted}, none differs significantly on the target, which is no proof that none does."
        )
        return UNDECIDED, sentence, numbers
    _, largest, better, worse = max(different, key=lambda test: test[1])
    place = f" on {better.place}" if better.place else ""
    verb = "differs" if len(different) == 1 else "differ"
    sentence = (
        f"Of {counted}, {len(different)} {verb} significantly on the target; the largest difference is "
        f"{largest:.2f} points of top-1, of {better.strategy} over {worse.strategy}{place}."
    )
    return "yes", sentence, numbers | {"different": len(different), "largest": largest}


def _pairs_alike_on_source(
    members: list[Comparison], options: AnalysisOptions
) -> Iterator[tuple[float, float, Comparison, Comparison, float]]:
    """The pairs of strategies on one proxy whose mean accuracies on the source are equivalent.

    Yields:
        The p-value of a difference on the target and its size in points, the better and the worse strategy
        there, and the p-value of equivalence there.
    """
    known = [
        member
        for member in members
        if member.searched and member.searched.is_testable and member.rows["source_top1"].notna().all()
    ]
    for _, block in groupby(sorted(known, key=lambda member: member.place), key=lambda member: member.place):
        arms = [(each, arm(each.rows, "source_top1")) for each in block]
        tested = [each for each in arms if each[1].is_testable]
        margins = {
            pool: known_margin(options.margin, each.pool_on_source, "source_top1")
            for pool, each in {tuple(each.pool_on_source.index): each for each, _ in tested}.items()
        }
        for (a, source_a), (b, source_b) in combinations(tested, 2):
            gap = partial(_gap, source_a, source_b)
            if margins[tuple(a.pool_on_source.index)].p_equivalent(gap) < options.alpha:
                assert a.searched
                assert b.searched
                on_target = difference(a.searched, b.searched, shares_draws=True)
                better, worse = (a, b) if on_target.mean > 0 else (b, a)
                p_equivalent = a.margin.p_equivalent(partial(_gap, a.searched, b.searched))
                yield float(on_target.p_value()), abs(float(on_target.mean)), better, worse, p_equivalent


def _gap(a: Arm, b: Arm, ratio: float) -> Estimate:
    return difference(a, b, shares_draws=True, ratio=ratio)


def _random(rows: pd.DataFrame, pairs: pd.DataFrame, options: AnalysisOptions) -> Found:
    """Whether searched cells are better than random ones, from the table of relative improvements."""
    compared = rows[rows["sufficient"]]
    baseline = "random cells" if options.baseline in ("", BASELINE) else options.baseline
    if compared.empty:
        if not (rows["n_random"] > 0).any():
            return UNDECIDED, f"The table has no {baseline} to compare with{_differing(pairs)}.", {}
        return UNDECIDED, f"No comparison can be tested: {rows['reason'].iloc[0]}.", {}
    counts = {verdict: int((compared["verdict"] == verdict).sum()) for verdict in Verdict}
    others = ", ".join(
        f"{count} {verdict.text(options.margin)}"
        for verdict, count in counts.items()
        if count and verdict is not Verdict.BETTER
    )
    others = f" ({others})" if others else ""
    better = counts[Verdict.BETTER]
    numbers: dict[str, Any] = {
        "counts": {verdict.text(options.margin): count for verdict, count in counts.items()},
        "best": None,
    }
    if not better:
        is_open = counts[Verdict.UNDECIDED] or counts[Verdict.TAIL] or counts[Verdict.NOT_YET]
        sentence = f"None of {_count(len(compared), 'comparison')} with {baseline} is better{others}."
        return (UNDECIDED if is_open else "yes"), sentence, numbers
    best = compared[compared["verdict"] == Verdict.BETTER].sort_values("relative_improvement").iloc[-1]
    verdict = "partly" if better < len(compared) else "no"
    sentence = (
        f"{better} of {_count(len(compared), 'comparison')} beat {baseline}{others}; the largest "
        f"improvement is that of {_pair(best)}: {best['relative_improvement']:+.2f}% "
        f"({_interval(best['ci_low'], best['ci_high'])}, corrected p {_p(best['p_holm'])})."
    )
    return verdict, sentence, numbers | {"best": best.to_dict()}


def _differing(pairs: pd.DataFrame) -> str:
    """How many strategies differ from each other, as the end of a sentence; empty without pairs."""
    known = pairs[pairs["p_holm"].notna()] if len(pairs) else pairs
    if known.empty:
        return ""
    row = known.iloc[int(known["difference"].abs().argmax())]
    better, worse = (row["a"], row["b"]) if row["difference"] > 0 else (row["b"], row["a"])
    place = place_name(row["source"], row["proxy"])
    found = int((~known["verdict"].isin(["undecided", "equivalent"])).sum())
    return (
        f"; {found} of {_count(len(known), 'pair')} of strategies differ significantly, and the largest "
        f"difference is {abs(row['difference']):.2f} points of top-1, of {better} over {worse}"
        f"{f' on {place}' if place else ''} (corrected p {_p(row['p_holm'])})"
    )


def _pair(row: Any) -> str:
    place = place_name(row["source"], row["proxy"])
    return f"{row['strategy']} on {place}" if place else str(row["strategy"])


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _interval(low: float, high: float) -> str:
    return f"{low:.2f} to {high:.2f}"


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"

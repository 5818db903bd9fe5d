"""A paragraph on each question that can stand in a paper, with the methods that it rests on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nastransfer_nni.report.names import Names
from nastransfer_nni.report.statistics.answers import ALIKE, PROXY, RANDOM, Answer
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.ranking import MIN_RANKED
from nastransfer_nni.report.statistics.table import BASELINE
from nastransfer_nni.report.tables import pairs
from nastransfer_nni.report.tables.text import p_value


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """What a paper can say about one question.

    Attributes:
        text: design, numbers of searches, trainings and distinct cells, effect with interval, test,
            correction, margin, and what the study cannot say.
        methods: keys of the methods that it uses, as `methods.METHODS` has them.
    """

    text: str
    methods: tuple[str, ...]


def paragraph(findings: Findings, answer: Answer, names: Names) -> Paragraph:
    """The paragraph on an answer."""
    rows = findings.improvement[findings.improvement["setting"] == answer.setting]
    write = {PROXY: _proxy, ALIKE: _alike, RANDOM: _random}[answer.question]
    sentences, methods = write(findings, answer, rows, names)
    text = " ".join(filter(None, [_design(findings, rows), *sentences]))
    return Paragraph(text=names.text(text), methods=tuple(dict.fromkeys(methods)))


Written = tuple[list[str], list[str]]
"""Sentences and methods."""


def _design(findings: Findings, rows: pd.DataFrame) -> str:
    """The design, with its three numbers for both arms."""
    searched = rows[rows["n"] > 0]
    if searched.empty:
        return ""
    places = searched[["source", "proxy"]].drop_duplicates()
    has_places = bool((places != "").any().any())
    on = f" on {_count(len(places), 'proxy', 'proxies')}" if has_places else ""
    text = (
        f"We evaluated {_count(searched['strategy'].nunique(), 'strategy', 'strategies')}{on} on "
        f"{searched['setting'].iloc[0]}. {'Each arm' if len(searched) > 1 else 'It'} has "
        f"{_numbers(searched, 'searches', 'n', 'cells')}"
    )
    with_pool = searched[searched["n_random"] > 0]
    if len(with_pool):
        baseline = (
            "the random baseline" if findings.options.baseline == BASELINE else findings.options.baseline
        )
        text += f"; {baseline} has {_numbers(with_pool, 'searches_random', 'n_random', 'cells_random')}"
    return f"{text}."


def _numbers(rows: pd.DataFrame, searches: str, trainings: str, cells: str) -> str:
    return (
        f"{_range(rows[searches])} independent searches, {_range(rows[trainings])} separately trained "
        f"networks and {_range(rows[cells])} distinct cells"
    )


def _random(findings: Findings, answer: Answer, rows: pd.DataFrame, names: Names) -> Written:
    compared = rows[rows["sufficient"]]
    if compared.empty:
        return _pairs(findings, answer)
    options = findings.options
    best = compared.iloc[int(compared["relative_improvement"].argmax())].to_dict()
    methods = ["random", "welch", "fieller", "holm"]
    over = "random cells" if options.baseline == BASELINE else options.baseline
    sentences = [
        f"The effect is the relative improvement of mean top-1 over {over}; the largest is "
        f"{best['relative_improvement']:+.2f}% for {names.of(best)} ({options.confidence:.0%} interval "
        f"{best['ci_low']:.2f} to {best['ci_high']:.2f}; t test with {best['df']:.1f} degrees of freedom, "
        f"p {_p(best['p_value'])}, and p {_p(best['p_holm'])} after Holm's correction over "
        f"{_count(len(compared), 'comparison')}).",
        answer.sentence,
        _margin(compared, str(options.margin)),
        _detectable(compared),
    ]
    if not _reason_against_equivalence(compared):
        methods.append("tost")
    if pd.notna(best["probability"]):
        methods.append("brunner_munzel" if best["probability_test"] == "Brunner-Munzel" else "permutation")
        rank = "primary" if options.primary == "probability" else "secondary"
        sentences.append(
            f"As the {rank} estimate, one of its networks beats one of {over} with probability "
            f"{best['probability']:.2f} ({best['probability_low']:.2f} to {best['probability_high']:.2f}; "
            f"{best['probability_test']} test, p {_p(best['probability_p_holm'])} after Holm's correction)."
        )
    if options.looks is not None:
        methods += ["looks", "looks_holm"]
        sentences.append(
            "The looks were planned, and the level was spent over them by the function of Lan and DeMets "
            "of the O'Brien-Fleming type."
        )
    return [*sentences, _cannot(compared)], methods


def _pairs(findings: Findings, answer: Answer) -> Written:
    """The paragraph where strategies are compared with each other, or cannot be compared."""
    frame = pairs.compute(findings)
    known = frame[(frame["setting"] == answer.setting) & frame["p_value"].notna()] if len(frame) else frame
    if known.empty:
        return [answer.sentence], []
    best = known.iloc[int(known["difference"].abs().argmax())]
    return [
        "There are no random cells, so that the strategies were compared with each other. The largest "
        f"difference in mean top-1 is {best['difference']:+.2f} points, of {best['a']} against {best['b']} "
        f"({findings.options.confidence:.0%} interval {best['ci_low']:.2f} to {best['ci_high']:.2f}; "
        f"{'paired ' if best['is_paired'] else ''}t test, p {_p(best['p_value'])}, and {_p(best['p_holm'])} "
        f"after Holm's correction over {_count(len(known), 'pair')}).",
        "Without random cells it remains open whether any of them gains anything by its search.",
    ], ["welch", "holm"]


def _proxy(findings: Findings, answer: Answer, rows: pd.DataFrame, names: Names) -> Written:
    effects, moved = findings.two_way, findings.movements
    own = effects[effects["setting"] == answer.setting] if len(effects) else effects
    known = own[(own["effect"] == "proxy") & own["p_value"].notna()] if len(own) else own
    if known.empty:
        return [answer.sentence], []
    crossed = own[(own["effect"] == "interaction") & own["p_value"].notna()]
    sentences = [
        "The proxies were compared by the mean top-1 over the strategies that were run on all of them, as "
        "contrasts of the arms' means whose errors are taken draw by draw where draws are shared; Holm's "
        f"correction is over {_count(len(known), 'pair')} of proxies.",
        answer.sentence,
        _margin(rows, str(findings.options.margin)),
    ]
    if len(crossed):
        changed = int((crossed["verdict"] == "differs").sum())
        sentences.append(
            f"Of {_count(len(crossed), 'interaction contrast')} of strategy and proxy, {changed} "
            f"differ{'s' * (changed == 1)} from 0 after Holm's correction."
        )
    ranked = moved[moved["setting"] == answer.setting] if len(moved) else moved
    methods = ["nastransfer", "welch", "holm", "tost"]
    if len(ranked):
        methods += ["kendall", "swap"]
        sentences.append(
            "Kendall's tau between two proxies stands beside its mean and 5% quantile over simulated pairs "
            "of replications that share one true ranking."
        )
        if (ranked["strategies"] < MIN_RANKED).all():
            sentences.append(
                f"With fewer than {MIN_RANKED} strategies only single swaps can be told from noise."
            )
    return [*sentences, "A pair that is undecided is not shown to be alike."], methods


def _alike(findings: Findings, answer: Answer, rows: pd.DataFrame, names: Names) -> Written:
    numbers = answer.numbers
    if not numbers:
        return [answer.sentence], []
    sentences = [
        "Two strategies are alike on the source if two one-sided tests show their mean accuracies there to "
        f"differ by less than {findings.options.margin}; whether they differ on the target is then tested "
        "with Holm's correction over these pairs.",
        answer.sentence,
        "Pairs that were not shown to be alike on the source are no part of the answer.",
    ]
    methods = ["nastransfer", "tost", "welch", "holm"]
    for each in findings.correlations:
        if str(each.setting) == answer.setting:
            tau, low, high = each.coefficients["Kendall's tau-b"]
            limits = f" ({low:.2f} to {high:.2f})" if pd.notna(low) else ""
            alone = "; ".join(
                f"{name.replace('_', '-')} alone {value:.2f}" for name, (value, *_) in each.alone.items()
            )
            sentences.append(
                f"Over {_count(len(each.cells), 'cell')} Kendall's tau between source and target is "
                f"{tau:.2f}{limits}{f', beside {alone}' if alone else ''}."
            )
            methods += ["kendall", "bonett_wright"]
    return sentences, methods


def _margin(rows: pd.DataFrame, margin: str) -> str:
    """What the margin amounts to, or why equivalence cannot be tested."""
    if why := _reason_against_equivalence(rows):
        return f"Equivalence within {margin} cannot be tested: {why}."
    points = rows["margin_points"].dropna()
    if points.empty:
        return ""
    return (
        f"Equivalence was tested by two one-sided tests against a margin of {margin}, which here is "
        f"{_range(points, '{:.2f}')} points of top-1."
    )


def _reason_against_equivalence(rows: pd.DataFrame) -> str:
    return next((text for text in rows["equivalence"] if text), "")


def _detectable(rows: pd.DataFrame) -> str:
    known = rows["detectable"].dropna()
    if known.empty:
        return ""
    return (
        "With a probability of 80%, the comparisons would have found differences of "
        f"{_range(known, '{:.2f}')}% "
        "or more."
    )


def _cannot(rows: pd.DataFrame) -> str:
    """What the comparisons cannot say."""
    parts = ["An undecided comparison is no evidence that there is no difference"]
    if ((rows["level"] == "search") & (rows["proxy"] != "")).any():
        parts.append("a strategy with one draw of a proxy was tested for that draw only")
    if (rows["tail"] != "").any():
        parts.append(
            "where an arm has a heavy tail, its mean depends on rare failures that more runs may change"
        )
    parts.append("nothing is said about other targets or training protocols")
    return f"{'; '.join(parts)}."


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _range(values: Iterable[Any], form: str = "{}") -> str:
    low, high = (form.format(pick(values)) for pick in (min, max))
    return low if low == high else f"{low} to {high}"


def _p(value: float) -> str:
    text = p_value(value)
    return text if text.startswith("<") else f"= {text}"

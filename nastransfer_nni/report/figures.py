"""The figures of a report: which there are, what they show in words, and their files."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from nastransfer_nni.base.format import duration
from nastransfer_nni.report import tips
from nastransfer_nni.report.names import Names
from nastransfer_nni.report.plots import intervals, rankings, scatter, style
from nastransfer_nni.report.plots.inline import inline_svg
from nastransfer_nni.report.statistics.answers import ALIKE, PROXY, RANDOM
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.improvement import Verdict
from nastransfer_nni.report.statistics.table import BASELINE, place_name
from nastransfer_nni.report.statistics.units import networks
from nastransfer_nni.report.tables.pairs import compute
from nastransfer_nni.report.tables.text import p_value

MAX_TOLD = 12
"""Numbers that the text of a figure has for readers who cannot see it."""


@dataclass(frozen=True, kw_only=True)
class ReportFigure:
    """A figure of the report.

    Attributes:
        name: name of its files in the folder `figures`, without extension.
        question: the question that it belongs to; empty for none.
        caption: one or two sentences on what it shows.
        alt: the same with its numbers, for readers who cannot see it.
        figure: the figure.
    """

    name: str
    question: str
    caption: str
    alt: str
    figure: Figure

    @cached_property
    def svg(self) -> str:
        """The figure as SVG."""
        return style.svg(self.figure)

    @property
    def png(self) -> bytes:
        """The figure as PNG."""
        return style.png(self.figure)

    @property
    def inline(self) -> str:
        """The SVG as part of the page: it fills its column and has the colour of the page's text."""
        return inline_svg(self.svg, self.alt, self.figure.tips if isinstance(self.figure, style.Plot) else ())


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure before it is written: `told` are the numbers that its text adds to the caption."""

    name: str
    question: str
    caption: str
    told: Collection[str]
    figure: Figure


def figures(findings: Findings, setting: str, names: Names, prefix: str = "") -> list[ReportFigure]:
    """Draw the figures of one setting; the first of a question is the picture of its answer.

    Args:
        findings: the statistics.
        setting: target with its protocol, one of `findings.settings`.
        names: short names.
        prefix: start of the files' names.
    """
    makers = (
        _improvement,
        _pairs,
        _networks,
        _proxies,
        _rankings,
        _critical_differences,
        _correlations,
        _cost,
    )
    return [
        ReportFigure(
            name=f"{prefix}{drawn.name}",
            question=drawn.question,
            caption=drawn.caption,
            alt=" ".join([drawn.caption, *([f"{'; '.join(drawn.told)}."] if drawn.told else [])]),
            figure=drawn.figure,
        )
        for maker in makers
        for drawn in maker(findings, setting, names)
    ]


def _improvement(findings: Findings, setting: str, names: Names) -> Iterator[Drawn]:
    rows = findings.improvement[findings.improvement["setting"] == setting]
    known = rows[rows["relative_improvement"].notna()]
    if known.empty:
        return
    few = f", the {intervals.MAX_ROWS} largest of {len(known)}" if len(known) > intervals.MAX_ROWS else ""
    margins = known["margin_percent"].dropna()
    band = (
        f" The band is the margin of {findings.options.margin}, {margins.max():.2f}%." if len(margins) else ""
    )
    baseline = names.text(findings.options.baseline)
    over = "random cells" if baseline == BASELINE else baseline
    numbers = {
        (setting, place_name(row["source"], row["proxy"]), row["strategy"]): (
            f"{row['relative_improvement']:+.2f}%{_limits(row['ci_low'], row['ci_high'])} over {over}, "
            f"{row['verdict'].text(findings.options.margin)}"
        )
        for row in known.to_dict("records")
    }
    shown = names.frame(known.assign(tip=tips.of_arms(findings, names, numbers)))
    told = [
        f"{names.of(row)} {row['relative_improvement']:+.2f}%"
        f"{_limits(row['ci_low'], row['ci_high'])}, {row['verdict'].text(findings.options.margin)}"
        for row in known.sort_values("relative_improvement", ascending=False)
        .head(MAX_TOLD)
        .to_dict("records")
    ]
    yield Drawn(
        name="improvement",
        question=RANDOM,
        caption=f"Relative improvement over {over}{few}.{band}",
        told=told,
        figure=style.styled(intervals.improvement_figure, shown, findings.options),
    )


def _pairs(findings: Findings, setting: str, names: Names) -> Iterator[Drawn]:
    """The pairs of strategies, where there is nothing else that they are compared with."""
    pairs = compute(findings)
    if pairs.empty:
        return
    rows = pairs[pairs["setting"] == setting].rename(columns={"difference": "estimate"})
    rows = rows.assign(place=[place_name(*pair) for pair in zip(rows["source"], rows["proxy"], strict=True)])
    rows = rows.assign(tip=_pair_tips(rows, names))
    if len(rows):
        yield Drawn(
            name="pairs",
            question=RANDOM,
            caption=f"Differences between pairs of strategies{_largest(rows)}.",
            told=_told_pairs(rows, names),
            figure=style.styled(intervals.difference_figure, names.frame(rows), findings.options, 0.0),
        )


def _proxies(findings: Findings, setting: str, names: Names) -> Iterator[Drawn]:
    effects = findings.two_way
    if effects.empty:
        return
    rows = effects[(effects["setting"] == setting) & (effects["effect"] == "proxy")].assign(place="")
    rows = rows.assign(tip=_pair_tips(rows, names))
    margins = findings.improvement.loc[findings.improvement["setting"] == setting, "margin_points"].dropna()
    margin = float(margins.iloc[0]) if len(margins) else 0.0
    if len(rows):
        band = f" The band is the margin, {margin:.2f} points." if margin else ""
        yield Drawn(
            name="proxies",
            question=PROXY,
            caption=f"Differences between proxies in the mean over strategies{_largest(rows)}.{band}",
            told=_told_pairs(rows, names),
            figure=style.styled(intervals.difference_figure, names.frame(rows), findings.options, margin),
        )


def _networks(findings: Findings, setting: str, names: Names) -> Iterator[Drawn]:
    """Every network of the comparisons whose finding depends on the tail, and of their baselines."""
    verdicts = findings.improvement["verdict"]
    members = [
        member
        for member, verdict in zip(findings.comparisons, verdicts, strict=True)
        if str(member.setting) == setting and verdict is Verdict.TAIL
    ][: intervals.MAX_ROWS]
    if not members:
        return
    baseline = findings.options.baseline or BASELINE
    arms = [
        (names.who(member.strategy, member.place), networks(member.rows)["top1"].to_numpy())
        for member in members
    ]
    pools = {tuple(member.pool.index): member.pool for member in members}
    rows = [*(member.rows for member in members), *pools.values()]
    arms += [
        (names.text(baseline), networks(pool, is_random=True)["top1"].to_numpy()) for pool in pools.values()
    ]
    told_by = [
        tips.of_networks(name, own, sorted(top1)) for (name, top1), own in zip(arms, rows, strict=True)
    ]
    yield Drawn(
        name="networks",
        question=RANDOM,
        caption="Every network of the comparisons whose finding depends on the tail, as a dot.",
        told=[f"{name}: {top1.min():.2f} to {top1.max():.2f}%" for name, top1 in arms[:MAX_TOLD]],
        figure=style.styled(scatter.networks_figure, arms, told_by),
    )


def _rankings(findings: Findings, setting: str, names: Names) -> Iterator[Drawn]:
    found = [
        replace(
            each,
            place=names.text(each.place),
            strategies=[names.strategies.get(name, name) for name in each.strategies],
        )
        for each in findings.rankings
        if str(each.setting) == setting
    ]
    shown = (
        f", for the first {rankings.MAX_PANELS} of {len(found)} proxies"
        if len(found) > rankings.MAX_PANELS
        else ""
    )
    most = max((len(each.strategies) for each in found), default=0)
    few = f", the best {rankings.MAX_STRATEGIES} of {most}" if most > rankings.MAX_STRATEGIES else ""
    if found:
        told = [
            f"{each.place + ': ' if each.place else ''}{each.strategies[0]} is first with "
            f"{100 * each.probabilities[0, 0]:.0f}%"
            for each in found[:MAX_TOLD]
        ]
        yield Drawn(
            name="ranks",
            question=PROXY if len(found) > 1 else "",
            caption=f"Probability of each rank by {found[0].measure}{shown}{few}.",
            told=told,
            figure=style.styled(rankings.ranking_figure, found),
        )
    if len(found) > 1:
        yield Drawn(
            name="movement",
            question=PROXY,
            caption=f"Expected rank on each proxy{shown}.",
            told=[f"first on {each.place}: {each.strategies[0]}" for each in found[:MAX_TOLD]],
            figure=style.styled(rankings.movement_figure, found),
        )


def _critical_differences(findings: Findings, setting: str, names: Names) -> Iterator[Drawn]:
    for result in findings.critical_differences:
        if str(result.setting) == setting:
            result = replace(
                result, strategies=[names.strategies.get(name, name) for name in result.strategies]
            )
            yield Drawn(
                name="critical_difference",
                question=PROXY,
                caption=(
                    f"Critical differences: mean ranks over {result.blocks} matched proxy draws. A bar joins "
                    "strategies that do not differ significantly (Friedman's test: p "
                    f"{p_value(result.p_value)})."
                ),
                told=[
                    f"{name} {rank:.2f}"
                    for name, rank in zip(result.strategies, result.mean_ranks, strict=True)
                ],
                figure=style.styled(rankings.critical_difference_figure, result, findings.options),
            )


def _correlations(findings: Findings, setting: str, names: Names) -> Iterator[Drawn]:
    found = [each for each in findings.correlations if str(each.setting) == setting]
    telling = sorted(enumerate(found, start=1), key=lambda each: -each[1].cells["strategy"].nunique())
    for number, result in telling:
        told_by = tips.of_cells(findings, result, names)
        cells = names.frame(result.cells)
        shown = replace(result, cells=cells.assign(tip=told_by) if told_by else cells)
        most = int(result.cells["strategy"].value_counts().max())
        few = f", {scatter.MAX_DOTS} random ones of {most}" if most > scatter.MAX_DOTS else ""
        told = [
            f"{name} {value:.2f}{_limits(low, high)}"
            for name, (value, low, high) in result.coefficients.items()
        ]
        yield Drawn(
            name=f"correlation_{number}",
            question=ALIKE,
            caption=f"Accuracy on the source against accuracy on the target, one dot per cell{few}.",
            told=told,
            figure=style.styled(scatter.correlation_figure, shown),
        )


def _cost(findings: Findings, setting: str, names: Names) -> Iterator[Drawn]:
    rows = findings.cost[findings.cost["setting"] == setting] if len(findings.cost) else findings.cost
    if len(rows):
        front = rows[rows["on_front"]].sort_values("search_seconds")
        numbers = {
            (setting, row["proxy"], row["strategy"]): (
                f"mean top-1 {row['top1']:.2f}%, mean search {duration(row['search_seconds'])}"
            )
            for row in rows.to_dict("records")
        }
        told_by = tips.of_arms(findings, names, numbers)
        yield Drawn(
            name="cost",
            question="",
            caption="Search cost against accuracy on the target. Filled dots are on the Pareto front.",
            told=[f"{names.of(row)} {row['top1']:.2f}%" for row in front.head(MAX_TOLD).to_dict("records")],
            figure=style.styled(scatter.cost_figure, names.frame(rows.assign(tip=told_by))),
        )


def _largest(rows: pd.DataFrame) -> str:
    count = int(rows["estimate"].notna().sum())
    return f", the {intervals.MAX_PAIRS} largest of {count}" if count > intervals.MAX_PAIRS else ""


def _told_pairs(rows: pd.DataFrame, names: Names) -> list[str]:
    largest = rows.loc[rows["estimate"].abs().sort_values(ascending=False).index].head(MAX_TOLD)
    return [
        f"{names.text(row['a'])} − {names.text(row['b'])}: {row['estimate']:+.2f} points"
        f"{_limits(row['ci_low'], row['ci_high'])}"
        for row in largest.to_dict("records")
    ]


def _pair_tips(rows: pd.DataFrame, names: Names) -> list[str]:
    return [
        f"{names.text(row['a'])} − {names.text(row['b'])}\n{row['estimate']:+.2f} points"
        f"{_limits(row['ci_low'], row['ci_high'])}, {names.text(str(row['verdict']))}"
        for row in rows.to_dict("records")
    ]


def _limits(low: float, high: float) -> str:
    return f" ({low:.2f} to {high:.2f})" if pd.notna(low) else ""

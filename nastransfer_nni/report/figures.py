"""The figures of a report: which there are, their captions, and their files."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from nastransfer_nni.architecture.drawing import draw_cell
from nastransfer_nni.report import plots
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.table import parse_options, place_name
from nastransfer_nni.report.tables.text import p_value
from search_spaces import Genotype
from search_spaces.errors import UserError

MAX_CELLS = 6
"""Strategies whose best cell is drawn."""


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report.

    Attributes:
        name: name of its files in the folder `figures`, without extension.
        caption: one or two sentences on what it shows.
        svg: the figure as SVG.
        png: the figure as PNG.
    """

    name: str
    caption: str
    svg: str
    png: bytes

    @property
    def inline(self) -> str:
        """The SVG as part of the page: it fills its column and has the colour of the page's text."""
        return inline_svg(self.svg, self.caption)


def inline_svg(svg: str, caption: str) -> str:
    """Turn an SVG file into an element of a page, without size, and with `caption` for screen readers."""
    text = svg[svg.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for attribute in ("height", "width"):
        text = re.sub(rf'(<svg[^>]*?) {attribute}="[^"]*"', r"\1", text)
    text = text.replace("<svg", f'<svg role="img" aria-label="{html.escape(caption)}"', 1)
    return text.replace(plots.INK, "currentColor")


def figures(findings: Findings, setting: str, prefix: str = "") -> list[ReportFigure]:
    """Draw the figures of one setting.

    Args:
        findings: the statistics.
        setting: target with its protocol, one of `findings.settings`.
        prefix: start of the files' names.
    """
    return [
        ReportFigure(f"{prefix}{name}", caption, plots.svg(figure), plots.png(figure))
        for name, caption, figure in _figures(findings, setting)
    ]


def best_cells(summary: pd.DataFrame, pools: Collection[str] = ()) -> list[tuple[str, str, str]]:
    """Draw the best cell of each strategy.

    Args:
        summary: rows of one setting, as `summarise` returns them.
        pools: names of the pools of random cells, whose cells come last.

    Returns:
        For each of the `MAX_CELLS` best strategies its name, and the normal and reduction cell as inline SVG.
    """
    drawn = []
    known = summary.assign(is_random=summary["strategy"].isin(list(pools)))
    known = known[known["genotype"] != ""].sort_values(
        ["is_random", "top1"], ascending=[True, False], kind="stable"
    )
    for row in known.drop_duplicates("strategy").head(MAX_CELLS).to_dict("records"):
        genotype = _read_genotype(row["genotype"])
        if genotype is not None:
            place = place_name(row["source"], row["proxy"])
            name = f"{row['strategy']} on {place}" if place else row["strategy"]
            normal, reduction = (
                inline_svg(plots.svg(draw_cell(genotype, kind)), f"{kind} cell of {name}")
                for kind in ("normal", "reduce")
            )
            drawn.append((name, normal, reduction))
    return drawn


def _figures(findings: Findings, setting: str) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and drawing of each figure of a setting."""
    options = findings.options
    improvement = findings.improvement[findings.improvement["setting"] == setting]
    if improvement["relative_improvement"].notna().any():
        shown = f", the {plots.MAX_ROWS} largest of {len(improvement)}"
        caption = (
            f"Relative improvement over random cells{shown if len(improvement) > plots.MAX_ROWS else ''}. "
            f"The band is the margin of {options.margin:g}%."
            f"{'' if improvement['sufficient'].all() else ' Hollow dots have too few runs.'}"
        )
        yield "improvement", caption, plots.styled(plots.improvement_figure, improvement, options)
    rankings = [each for each in findings.rankings if str(each.setting) == setting]
    count = f", for the first {plots.MAX_PANELS} of {len(rankings)} proxies"
    shown = count if len(rankings) > plots.MAX_PANELS else ""
    if rankings:
        caption = f"Probability of each rank by {rankings[0].measure}, from the bootstrap{shown}."
        yield "ranks", caption, plots.styled(plots.ranking_figure, rankings)
    if len(rankings) > 1:
        caption = f"Expected rank on each proxy{shown}."
        yield "movement", caption, plots.styled(plots.movement_figure, rankings)
    for result in findings.critical_differences:
        if str(result.setting) == setting:
            caption = (
                f"Critical differences: mean ranks over {result.blocks} matched proxy draws. A bar joins "
                f"strategies that do not differ significantly (Friedman's test: p {p_value(result.p_value)})."
            )
            figure = plots.styled(plots.critical_difference_figure, result, options)
            yield "critical_difference", caption, figure
    correlations = [each for each in findings.correlations if str(each.setting) == setting]
    for number, correlation in enumerate(correlations, start=1):
        caption = "Accuracy on the source against accuracy on the target, one dot per cell."
        yield f"correlation_{number}", caption, plots.styled(plots.correlation_figure, correlation)
    cost = findings.cost[findings.cost["setting"] == setting]
    if len(cost):
        caption = "Search cost against accuracy on the target. Filled dots are on the Pareto front."
        yield "cost", caption, plots.styled(plots.cost_figure, cost)


def _read_genotype(text: str) -> Genotype | None:
    """The genotype in the text; None for a cell of another search space, which has no drawing."""
    try:
        if "Genotype(" in text:
            return Genotype.from_text(text)
        value = parse_options(text)
        return Genotype.from_dict(value) if value is not None else None
    except (UserError, RecursionError):
        return None

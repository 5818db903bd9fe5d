"""Plots of intervals, one line each: improvements over random cells, differences between proxies or pairs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nastransfer_nni.report.plots.style import GREY, INK, LETTERS, single
from nastransfer_nni.report.statistics.improvement import Verdict
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.table import place_name

MAX_ROWS = 40
MAX_PAIRS = 12
ROW = 0.23
"""Height of a line in inches."""
FAR = 1e6
"""Where the end of an unbounded interval is drawn, outside of every figure."""


@dataclass(frozen=True)
class Mark:
    """How a finding is drawn: colours that colour-blind readers tell apart, and a shape of its own."""

    name: str
    color: str
    shape: str
    is_filled: bool = True


UNDECIDED = Mark("undecided", GREY, "o")
MARKS = {
    Verdict.BETTER: Mark("better", "#0072b2", "^"),
    Verdict.WORSE: Mark("worse", "#d55e00", "v"),
    Verdict.EQUIVALENT: Mark("equivalent", "#009e73", "s"),
    Verdict.TAIL: Mark("depends on the tail", "#cc79a7", "D"),
    Verdict.UNDECIDED: UNDECIDED,
    Verdict.NOT_YET: Mark("cannot decide yet", GREY, "o", is_filled=False),
    Verdict.UNTESTABLE: Mark("cannot be tested", GREY, "o", is_filled=False),
}
DIFFERS, EQUIVALENT = Mark("differs", "#0072b2", "D"), Mark("equivalent", "#009e73", "s")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the plot.

    Attributes:
        label: what it shows.
        group: heading that it stands under; may be empty.
        value: the estimate.
        low: lower limit of its interval; NaN for none.
        high: upper limit.
        mark: how it is drawn.
        tip: what its dot tells on the page.
    """

    label: str
    group: str
    value: float
    low: float
    high: float
    mark: Mark
    tip: str = ""


def improvement_figure(rows: pd.DataFrame, options: AnalysisOptions) -> Figure:
    """Plot relative improvements with their intervals, grouped by proxy; a band shows the margin.

    Args:
        rows: rows of one setting, as `relative_improvement` returns them.
        options: confidence.
    """
    rows = rows[rows["relative_improvement"].notna()]
    rows = rows.loc[rows["relative_improvement"].abs().nlargest(MAX_ROWS).index].sort_index(kind="stable")
    lines = [
        Line(
            label=str(row["strategy"]),
            group=place_name(str(row["source"]), str(row["proxy"])),
            value=row["relative_improvement"],
            low=row["ci_low"],
            high=row["ci_high"],
            mark=MARKS.get(row["verdict"], UNDECIDED),
            tip=str(row.get("tip", "")),
        )
        for row in rows.to_dict("records")
    ]
    margins = rows["margin_percent"].dropna()
    name = f"relative to {options.baseline or 'random'}, % ({options.confidence:.0%} intervals)"
    return intervals_figure(lines, name, float(margins.max()) if len(margins) else 0.0)


def difference_figure(rows: pd.DataFrame, options: AnalysisOptions, margin: float) -> Figure:
    """Plot differences between pairs of proxies, or of strategies, in points of top-1.

    Args:
        rows: rows of one setting with the columns `a`, `b`, `estimate`, `ci_low`, `ci_high`, `verdict`, and
            `place`, which may be empty.
        options: confidence.
        margin: margin of equivalence in points; 0 if it is not known.
    """
    rows = rows[rows["estimate"].notna()]
    rows = rows.loc[rows["estimate"].abs().nlargest(MAX_PAIRS).index].sort_index(kind="stable")
    lines = [
        Line(
            label=f"{row['a']} − {row['b']}",
            group=str(row["place"]),
            value=row["estimate"],
            low=row["ci_low"],
            high=row["ci_high"],
            mark=_mark(str(row["verdict"]), row["a"], row["b"]),
            tip=str(row.get("tip", "")),
        )
        for row in rows.to_dict("records")
    ]
    return intervals_figure(lines, f"points of top-1 ({options.confidence:.0%} intervals)", margin)


def _mark(verdict: str, *better: str) -> Mark:
    if verdict.startswith("equivalent"):
        return EQUIVALENT
    return DIFFERS if verdict == "differs" or verdict in better else UNDECIDED


def intervals_figure(lines: Sequence[Line], name: str, margin: float) -> Figure:
    """Plot estimates with their intervals under headings.

    Args:
        lines: the lines, in order; those of one heading are put together.
        name: label of the axis.
        margin: half the width of the band around 0.
    """
    placed: list[tuple[float, Line]] = []
    heads: list[tuple[float, str, str]] = []
    height = 0.0  # in inches, which is the unit of the y axis
    is_stacked = any(len(line.label) > LETTERS for line in lines)  # long labels stand above their lines
    for group in dict.fromkeys(line.group for line in lines):
        if group:
            text = textwrap.fill(group, 2 * LETTERS + 4)
            high = 0.16 * (text.count("\n") + 1)
            heads.append((height + 0.05 + high / 2, text, "bold"))
            height += 0.05 + high
        for line in (line for line in lines if line.group == group):
            if is_stacked:
                text = _above(line.label)
                above = 0.16 * (text.count("\n") + 1)
                heads.append((height + above / 2 + 0.02, text, "normal"))
                height += above
            placed.append((height + ROW / 2, line))
            height += ROW
    figure, axes = single(0.85 + height)
    for position, line in placed:
        mark, ends = line.mark, [position - ROW / 2, position + ROW / 2]
        axes.fill_betweenx(ends, -margin, margin, color=GREY, alpha=0.18, lw=0)
        axes.plot([0, 0], ends, color=INK, lw=0.8, solid_capstyle="butt")
        axes.plot(
            np.clip([line.low, line.high], -FAR, FAR),
            [position] * 2,
            color=mark.color,
            lw=1.8,
            solid_capstyle="round",
        )
        face = mark.color if mark.is_filled else "none"
        at = [line.value], [position]
        figure.dots(axes, at, mark.shape, [line.tip], ms=5.5, mec=mark.color, mfc=face)
    axes.spines["left"].set_visible(False)
    axes.set_yticks(
        [position for position, _ in placed], ["" if is_stacked else line.label for _, line in placed]
    )
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(height, 0)
    for position, head, weight in heads:
        axes.annotate(
            head,
            (0.015, position),
            xycoords=("figure fraction", "data"),
            weight=weight,
            va="center",
            ha="left",
        )
    _clip_wide_intervals(axes, lines)
    axes.set_xlabel(name)
    _marks(figure, [line.mark for line in lines])
    return figure


def _above(label: str) -> str:
    """A long label on lines of its own; a pair has one line for each of its two."""
    if len(label) <= 2 * LETTERS + 8:
        return label
    return "\n".join(
        textwrap.fill(part, 2 * LETTERS + 8) for part in label.replace(" − ", " −\n").split("\n")
    )


def _marks(figure: Figure, marks: Iterable[Mark]) -> None:
    """Add a legend of the marks below the axes."""
    axes = figure.axes[0]
    for mark in dict.fromkeys(marks):
        face = mark.color if mark.is_filled else "none"
        axes.plot([], [], mark.shape, ms=5.5, mec=mark.color, mfc=face, label=mark.name)
    figure.legend(
        loc="outside lower center", ncols=3, frameon=False, fontsize=8.5, handletextpad=0.1, columnspacing=1
    )


def _clip_wide_intervals(axes: Axes, lines: Sequence[Line]) -> None:
    """Limit the x axis so that one wide interval, cut off at the edge, does not flatten all others."""
    shown = np.array([[line.low, line.value, line.high] for line in lines], float)
    shown[np.isinf(shown)] = np.nan  # of arms that are too small for a bounded interval
    ends = np.nanmax(np.abs(shown), axis=1)
    reach = max(1.3 * np.quantile(ends, 0.9), 1.15 * np.abs(shown[:, 1]).max(), 1e-6)
    low, high = min(np.nanmin(shown), 0.0), max(np.nanmax(shown), 0.0)
    axes.set_xlim(max(low, -reach) - 0.04 * reach, min(high, reach) + 0.04 * reach)

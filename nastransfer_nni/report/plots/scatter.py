"""Plots of networks: source against target, cost against accuracy, and every network as a dot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from nastransfer_nni.report.plots.style import (
    GREY,
    INK,
    PALETTE,
    entry,
    folded,
    legend,
    legend_height,
    pitch,
    shape,
    single,
)
from nastransfer_nni.report.statistics.correlation import Correlation
from nastransfer_nni.report.statistics.table import BASELINE

MAX_DOTS = 1500
"""Cells of one strategy that a plot of source against target shows; the correlations are those of all."""


def correlation_figure(result: Correlation) -> Figure:
    """Plot source against target accuracy, one dot per cell; of more than `MAX_DOTS`, random ones."""
    names = list(dict.fromkeys(result.cells["strategy"]))
    figure, axes = single(2.8 + legend_height(names))
    for index, name in enumerate(names):
        cells = result.cells[result.cells["strategy"] == name]
        if len(cells) > MAX_DOTS:
            cells = cells.sample(MAX_DOTS, random_state=0)
        is_random = name == BASELINE
        color = GREY if is_random else PALETTE[index % len(PALETTE)]
        marker = "x" if is_random else shape(index)
        figure.dots(
            axes,
            (cells["source_top1"], cells["top1"]),
            marker,
            cells.get("tip", ()),
            ms=4.5 if len(cells) < MAX_DOTS / 10 else 2.5,
            color=color,
            alpha=0.8,
            label=entry(name),
            mew=1.2 if len(cells) < MAX_DOTS / 10 else 0.6,
        )
    axes.set_xlabel(f"top-1 on the source{' ' + result.source if result.source else ''}, %")
    axes.set_ylabel("top-1 on the target, %")
    legend(figure, names)
    return figure


def cost_figure(rows: pd.DataFrame) -> Figure:
    """Plot search cost against target accuracy, with the Pareto front and random cells as dashed lines.

    Args:
        rows: rows of one setting, as `cost_table` returns them.
    """
    searched = rows[rows["search_seconds"] > 0]
    names = list(searched["strategy"].unique())
    figure, axes = single(2.9 + legend_height([*names, BASELINE]))
    unit, size = _time_unit(searched["search_seconds"])
    searched = searched.assign(cost=searched["search_seconds"] / size)
    free = rows[rows["search_seconds"] == 0]
    for row in free.to_dict("records"):
        axes.axhline(row["top1"], color=GREY, lw=1.2, ls="--")
    if len(free):
        axes.plot([], [], "--", color=GREY, lw=1.2, label=BASELINE)
    front = searched[searched["on_front"]].sort_values("cost")
    axes.step(front["cost"], front["top1"], where="post", color=INK, lw=1, alpha=0.6)
    for index, (name, part) in enumerate(searched.groupby("strategy", sort=False)):
        color = PALETTE[index % len(PALETTE)]
        for is_front, points in part.groupby("on_front"):
            face = color if is_front else "none"
            at = points["cost"], points["top1"]
            figure.dots(axes, at, shape(index), points.get("tip", ()), ms=5.5, mec=color, mfc=face)
        axes.plot([], [], shape(index), ms=5.5, color=color, label=entry(str(name)))
    scale_cost(axes, searched["cost"].min(), searched["cost"].max())
    axes.set_xlabel(f"search cost, {unit}")
    axes.set_ylabel("mean top-1 on the target, %")
    legend(figure, names)
    return figure


def networks_figure(
    arms: Sequence[tuple[str, Sequence[float]]], tips: Sequence[Sequence[str]] = ()
) -> Figure:
    """Plot every network of some arms as a dot, with a line at the mean of each arm.

    Args:
        arms: name of each arm, and the top-1 of its networks in percent.
        tips: what the networks of each arm tell on the page, in the order of their top-1.
    """
    heights = [max(0.34, pitch([name])) for name, _ in arms]
    figure, axes = single(0.6 + sum(heights))
    middles = np.cumsum(heights) - np.array(heights) / 2
    for index, (middle, (name, top1)) in enumerate(zip(middles, arms, strict=True)):
        is_random = name == BASELINE
        color = GREY if is_random else PALETTE[index % len(PALETTE)]
        spread = 0.09 * (np.arange(len(top1)) % 3 - 1)  # so that equal networks stay apart
        figure.dots(
            axes,
            (np.sort(top1), middle + spread),
            "x" if is_random else "o",
            tips[index] if tips else (),
            ms=4,
            color=color,
            alpha=0.75,
            mew=1,
        )
        axes.plot([np.mean(top1)] * 2, [middle - 0.15, middle + 0.15], color=INK, lw=1.6)
    axes.set_yticks(middles, [folded(name) for name, _ in arms])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(sum(heights), 0)
    axes.set_xlabel("top-1 on the target, % (line: mean)")
    return figure


def _time_unit(seconds: pd.Series[float]) -> tuple[str, float]:
    """The unit in which the durations are best read, and its seconds: the largest that most reach."""
    typical = float(np.exp(np.log(seconds).mean()))
    units = (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
    return next(((name, size) for name, size in units if typical >= 2 * size), units[-1])


def scale_cost(axes: Axes, low: float, high: float) -> None:
    """Give the x axis a logarithmic scale where the values span it, and ticks that do not touch."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if high < 8 * low:
        edge = 0.1 * (high - low) or 0.1 * high
        axes.set_xlim(low - edge, high + edge)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
        return
    decades = np.log10(high / low)
    axes.set_xscale("log")
    axes.set_xlim(low / 10 ** (0.06 * decades), high * 10 ** (0.06 * decades))
    every = max(1.0, np.ceil(decades / 6))
    subs = (1, 2, 5) if decades < 1.6 else (1, 3) if decades < 3 else (1,)
    axes.xaxis.set_major_locator(LogLocator(base=10**every, subs=subs, numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())

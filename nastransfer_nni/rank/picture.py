"""The picture of a ranking: agreement with known accuracies against cost, with the Pareto front."""

from __future__ import annotations

import itertools

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nastransfer_nni.report.plots.scatter import scale_cost
from nastransfer_nni.report.plots.style import GREY, INK, PALETTE, SHAPES
from nastransfer_nni.report.statistics.correlation import Interval

KINDS = ("nothing", "images", "images and labels")
"""What evaluations see, in the order of colours and shapes."""
MIN_SECONDS = 1e-4
"""A cost below it is drawn as this much."""
DOT, LETTER, HEIGHT = 5.0, 6.2, 13.0
"""Half the width of a dot, the width of a letter and the height of a name, in pixels."""

Box = tuple[float, float, float, float]
"""Left, right, lower and upper end of a name or a dot, in pixels."""


def picture(table: pd.DataFrame, ceiling: Interval | None, unit: str) -> Figure:
    """Plot Kendall's tau against the cost of a cell; evaluations on the Pareto front are filled and joined.

    Args:
        table: one row per evaluation with `evaluation`, `sees`, `tau`, `tau_low`, `tau_high`, `seconds` and
            `on_front`; rows without a cost are left out.
        ceiling: what a perfect evaluation would reach, with its interval; None where it is not known.
        unit: unit of the cost, such as `CPU seconds`.
    """
    figure = Figure(figsize=(7.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    rows = table[table["seconds"].notna() & table["tau"].notna()]
    cost = rows["seconds"].clip(lower=MIN_SECONDS)
    axes.axhline(0, color=GREY, lw=0.8)
    if ceiling is not None:
        axes.axhline(ceiling[0], color=INK, lw=1, ls="--")
        axes.axhspan(*ceiling[1:], color=GREY, alpha=0.15, lw=0)
    for kind, color, marker in zip(KINDS, PALETTE, SHAPES, strict=False):
        for row in rows[rows["sees"] == kind].to_dict("records"):
            at = max(row["seconds"], MIN_SECONDS)
            axes.plot([at, at], [row["tau_low"], row["tau_high"]], color=color, lw=0.8, alpha=0.45)
            face = color if row["on_front"] else "white"
            axes.plot(at, row["tau"], marker, ms=6, mec=color, mfc=face)
    front = rows[rows["on_front"]].assign(cost=cost).sort_values("cost")
    axes.step(front["cost"], front["tau"], where="post", color=INK, lw=1, alpha=0.6)
    if len(rows):
        scale_cost(axes, cost.min(), cost.max())
    _name(axes, rows.assign(cost=cost))
    axes.set_xlabel(f"cost of a cell, {unit}")
    axes.set_ylabel("Kendall's tau with the known accuracies")
    handles = [
        Line2D([], [], color=color, marker=marker, ls="", label=f"sees {kind}")
        for kind, color, marker in zip(KINDS, PALETTE, SHAPES, strict=False)
        if (rows["sees"] == kind).any()
    ]
    if ceiling is not None:
        handles.append(Line2D([], [], color=INK, ls="--", lw=1, label="a perfect evaluation"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _name(axes: Axes, rows: pd.DataFrame) -> None:
    """Write the name of each evaluation beside its dot, where it touches no dot and no other name."""
    to_inches = axes.transData.transform
    edge = axes.get_window_extent().x0
    dots = [tuple(to_inches(pair)) for pair in zip(rows["cost"], rows["tau"], strict=True)]
    taken = [(x - DOT, x + DOT, y - DOT, y + DOT) for x, y in dots]
    for (x, y), name in sorted(zip(dots, rows["evaluation"], strict=True)):
        length = LETTER * len(name)
        for up, side in itertools.product((0, 1, -1, 2, -2, 3, -3, 4, 5, 6), (1, -1)):
            left = x + 1.5 * DOT if side > 0 else x - 1.5 * DOT - length
            middle = y + up * 0.7 * HEIGHT
            box = (left, left + length, middle - HEIGHT / 2, middle + HEIGHT / 2)
            if left > edge and not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        place = axes.transData.inverted().transform((left, middle))
        axes.text(float(place[0]), float(place[1]), name, fontsize=8, va="center")


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]

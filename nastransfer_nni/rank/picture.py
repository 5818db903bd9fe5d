"""The picture of a ranking: agreement with known accuracies against cost, with the Pareto front."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nastransfer_nni.report.plots.style import GREY, INK, PALETTE, SHAPES
from nastransfer_nni.report.statistics.correlation import Interval

KINDS = ("nothing", "images", "images and labels")
"""What evaluations see, in the order of colours and shapes."""
MIN_SECONDS = 1e-4
"""A cost below it is drawn as this much."""


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
    axes.set_xscale("log")
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
    """Write the name of each evaluation beside its dot, above or below where another name is near."""
    low, high = np.log10(rows["cost"].min()), np.log10(rows["cost"].max())
    width, height = max(high - low, 1.0), axes.get_ylim()[1] - axes.get_ylim()[0]
    taken: list[tuple[float, float]] = []
    for row in rows.sort_values(["tau", "cost"]).to_dict("records"):
        x, y = (np.log10(row["cost"]) - low) / width, row["tau"] / height
        while any(abs(x - other) < 0.2 and abs(y - level) < 0.042 for other, level in taken):
            y += 0.021
        taken.append((x, y))
        place = (row["cost"] * 10 ** (0.015 * width), y * height)
        axes.annotate(row["evaluation"], (row["cost"], row["tau"]), place, fontsize=8, va="center")

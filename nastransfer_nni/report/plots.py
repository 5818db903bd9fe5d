"""Plots of the statistics, narrow enough for the screen of a phone."""

from __future__ import annotations

import contextlib
import io
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from nastransfer_nni.report.statistics.correlation import Correlation
from nastransfer_nni.report.statistics.improvement import Verdict
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.ranking import CriticalDifference, Ranking
from nastransfer_nni.report.statistics.table import BASELINE, place_name

INK = "#24292f"
"""Colour of all text and axes; the page replaces it with its own text colour."""
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#7b61c4")
"""Okabe & Ito's palette for colour-blind readers, and two more colours."""
VERDICT_COLORS = {Verdict.BETTER: "#0072b2", Verdict.WORSE: "#d55e00", Verdict.EQUIVALENT: "#009e73"}
GREY = "#8c959f"
WIDTH = 4.6
"""Width of every plot in inches."""
MAX_ROWS = 40
MAX_PANELS = 8
MAX_LINES = 7
"""Lines of a strategy's name with its options."""

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nastransfer",
    "text.parse_math": False,  # names may contain dollar signs
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def improvement_figure(rows: pd.DataFrame, options: AnalysisOptions) -> Figure:
    """Plot relative improvements with their intervals, grouped by proxy; a band shows the margin.

    Args:
        rows: rows of one setting, as `relative_improvement` returns them.
        options: margin and confidence.
    """
    rows = rows[rows["relative_improvement"].notna()]
    rows = rows.loc[rows["relative_improvement"].abs().nlargest(MAX_ROWS).index].sort_index(kind="stable")
    placed: list[tuple[float, dict[Any, Any]]] = []
    heads: list[tuple[float, str]] = []
    height = 0.0  # in inches, which is the unit of the y axis
    for (source, proxy), group in rows.groupby(["source", "proxy"], sort=False):
        if place := place_name(str(source), str(proxy)):
            heads.append((height + _pitch([place]) / 2, place))
            height += _pitch([place])
        for row in group.to_dict("records"):
            pitch = _pitch([str(row["strategy"])])
            placed.append((height + pitch / 2, row))
            height += pitch
    labels = [str(row["strategy"]) for _, row in placed]
    figure, axes = _figure(0.9 + height)
    axes.axvspan(-options.margin, options.margin, color=GREY, alpha=0.15, lw=0)
    axes.axvline(0, color=INK, lw=0.8)
    for position, row in placed:
        color = VERDICT_COLORS.get(row["verdict"], GREY)
        face = "none" if row["verdict"] is Verdict.INSUFFICIENT else color
        axes.plot(
            [row["ci_low"], row["ci_high"]], [position] * 2, color=color, lw=1.8, solid_capstyle="round"
        )
        axes.plot([row["relative_improvement"]], [position], "o", ms=5, mec=color, mfc=face)
    for position, place in heads:
        axes.text(0.01, position, place, transform=axes.get_yaxis_transform(), weight="bold", va="center")
    axes.spines["left"].set_visible(False)
    axes.set_yticks([position for position, _ in placed], [_folded(label) for label in labels])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(height, 0)
    _clip_wide_intervals(axes, rows)
    axes.set_xlabel(f"relative improvement over random, % ({options.confidence:.0%} interval)")
    found = set(rows["verdict"])
    for verdict, color in {**VERDICT_COLORS, Verdict.INCONCLUSIVE: GREY, Verdict.INSUFFICIENT: GREY}.items():
        if verdict in found:
            face = "none" if verdict is Verdict.INSUFFICIENT else color
            name = "too few runs" if verdict is Verdict.INSUFFICIENT else verdict.name.lower()
            axes.plot([], [], "o", ms=5, mec=color, mfc=face, label=name)
    figure.legend(
        loc="outside lower center", ncols=4, frameon=False, fontsize=8.5, handletextpad=0.1, columnspacing=1
    )
    return figure


def ranking_figure(rankings: Sequence[Ranking]) -> Figure:
    """Plot the probabilities of ranks, one panel for each of the first `MAX_PANELS` proxies."""
    shown = rankings[:MAX_PANELS]
    sizes = [len(ranking.strategies) for ranking in shown]
    pitch = _pitch([name for ranking in shown for name in ranking.strategies])
    figure = Figure(figsize=(WIDTH, 0.45 + sum(pitch * size + 0.62 for size in sizes)), layout="constrained")
    panels = figure.subplots(len(shown), 1, height_ratios=sizes, squeeze=False)[:, 0]
    for axes, ranking in zip(panels, shown, strict=True):
        image = ranking.probabilities
        for (i, j), probability in np.ndenumerate(image):
            axes.fill_between(
                [j - 0.5, j + 0.5], i - 0.5, i + 0.5, color=PALETTE[0], alpha=0.85 * probability, lw=0
            )
            if probability >= 0.005:
                ink = "white" if probability > 0.6 else INK
                axes.text(j, i, f"{100 * probability:.0f}", ha="center", va="center", color=ink, fontsize=8.5)
        count = len(ranking.strategies)
        axes.set_yticks(range(count), [_folded(name) for name in ranking.strategies])
        axes.set_xticks(range(count), [str(rank) for rank in range(1, count + 1)])
        axes.set_xlim(-0.5, count - 0.5)
        axes.set_ylim(count - 0.5, -0.5)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if ranking.place:
            axes.set_title(ranking.place + ("" if ranking.sufficient else " (too few runs)"))
    panels[-1].set_xlabel("rank; probability in %")
    return figure


def movement_figure(rankings: Sequence[Ranking]) -> Figure:
    """Plot the expected rank of every strategy on each of the first `MAX_PANELS` proxies."""
    shown = rankings[:MAX_PANELS]
    names = list(dict.fromkeys(name for ranking in shown for name in ranking.strategies))
    lines = [_folded(name).count("\n") + 1 for name in names]
    height = max(0.3 * len(names), 0.16 * sum(lines))
    places = [_wrapped(ranking.place) for ranking in shown]
    longest = max(len(line) for place in places for line in place.splitlines())
    is_slanted = longest * len(places) > 42
    figure, axes = _figure((1.2 if not is_slanted else 0.9 + 0.06 * longest) + height)
    ends: list[tuple[float, int, str, str]] = []
    for index, name in enumerate(names):
        points = [
            (x, _expected_rank(ranking, name))
            for x, ranking in enumerate(shown)
            if name in ranking.strategies
        ]
        color = PALETTE[index % len(PALETTE)]
        axes.plot(*zip(*points, strict=True), "o-", color=color, lw=1.8, ms=5)
        ends.append((points[-1][1], points[-1][0], name, color))
    inch = max(len(names) - 1, 1) / height  # in ranks
    lowest = -np.inf
    for rank, x, name, color in sorted(ends):
        half = 0.08 * (_folded(name).count("\n") + 1) * inch
        middle = max(rank, lowest + half)
        lowest = middle + half
        axes.annotate(
            _folded(name), (x, middle), xytext=(7, 0), textcoords="offset points", va="center", color=color
        )
    axes.set_xticks(range(len(shown)), [each.place for each in shown] if is_slanted else places)
    if is_slanted:
        for tick in axes.get_xticklabels():
            tick.set(rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.2, (len(shown) - 1) * 1.45 + 0.2)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.invert_yaxis()
    axes.set_ylabel("expected rank")
    return figure


def critical_difference_figure(result: CriticalDifference, options: AnalysisOptions) -> Figure:
    """Plot mean ranks on a line; bars join strategies that do not differ significantly."""
    count = len(result.strategies)
    bars = result.cliques
    figure, axes = _figure(1.0 + 0.14 * count + 0.14 * len(bars))
    left = (count + 1) // 2
    top = 0.5 * len(bars) + 1
    axes.set_ylim(top + 0.9 * left, -0.2)
    edges = 1 - 0.04 * count, count + 0.04 * count
    axes.set_xlim(*edges)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(range(1, count + 1))
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.spines["top"].set_visible(True)
    axes.set_xlabel(f"mean rank (critical difference {result.difference:.2f})")
    for index, (start, end) in enumerate(bars):
        span = [result.mean_ranks[start] - 0.03, result.mean_ranks[end] + 0.03]
        axes.plot(span, [0.5 * index + 0.5] * 2, color=INK, lw=3.5, solid_capstyle="butt", zorder=3)
    for index, (name, rank) in enumerate(zip(result.strategies, result.mean_ranks, strict=True)):
        is_left = index < left
        y = top + 0.9 * (index if is_left else count - 1 - index)
        edge = edges[0] if is_left else edges[1]
        axes.plot([rank, rank, edge], [0, y, y], color=PALETTE[index % len(PALETTE)], lw=1.3)
        axes.annotate(
            f"{_folded(name)} {rank:.2f}",
            (edge, y),
            xytext=(-4 if is_left else 4, 0),
            textcoords="offset points",
            ha="right" if is_left else "left",
            va="center",
        )
    return figure


def correlation_figure(result: Correlation) -> Figure:
    """Plot source against target accuracy, one dot per cell."""
    figure, axes = _figure(3.5)
    names = list(dict.fromkeys(result.cells["strategy"]))
    for index, name in enumerate(names):
        cells = result.cells[result.cells["strategy"] == name]
        is_random = name == BASELINE
        color = GREY if is_random else PALETTE[index % len(PALETTE)]
        marker = "x" if is_random else "o"
        axes.plot(
            cells["source_top1"],
            cells["top1"],
            marker,
            ms=4.5,
            color=color,
            alpha=0.8,
            label=_folded(name),
            mew=1.2,
        )
    axes.set_xlabel(f"top-1 on the source{' ' + result.source if result.source else ''}, %")
    axes.set_ylabel("top-1 on the target, %")
    _legend(figure, names)
    return figure


def cost_figure(rows: pd.DataFrame) -> Figure:
    """Plot search cost against target accuracy, with the Pareto front and random cells as dashed lines.

    Args:
        rows: rows of one setting, as `cost_table` returns them.
    """
    figure, axes = _figure(3.6)
    searched = rows[rows["search_seconds"] > 0]
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
            axes.plot(points["cost"], points["top1"], "o", ms=5.5, mec=color, mfc=face)
        axes.plot([], [], "o", ms=5.5, color=color, label=_folded(str(name)))
    _scale_cost(axes, searched["cost"].min(), searched["cost"].max())
    axes.set_xlabel(f"search cost, {unit}")
    axes.set_ylabel("mean top-1 on the target, %")
    _legend(figure, list(searched["strategy"].unique()))
    return figure


def styled(plot: Callable[..., Figure], *arguments: object) -> Figure:
    """Call one of the functions above in the style of the report."""
    with mpl.rc_context(STYLE):
        return plot(*arguments)


def svg(figure: Figure) -> str:
    """The figure as SVG without background; equal figures give equal text."""
    buffer = io.StringIO()
    with _drawing():
        figure.savefig(buffer, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    return buffer.getvalue()


def png(figure: Figure) -> bytes:
    """The figure as PNG on a white background."""
    buffer = io.BytesIO()
    with _drawing():
        figure.savefig(buffer, format="png", bbox_inches="tight", dpi=160, facecolor="white")
    return buffer.getvalue()


@contextlib.contextmanager
def _drawing() -> Iterator[None]:
    """Draw in the style of the report; who reads the SVG has fonts for letters that Matplotlib lacks."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def _expected_rank(ranking: Ranking, name: str) -> float:
    ranks = np.arange(1, len(ranking.strategies) + 1)
    return float(ranking.probabilities[ranking.strategies.index(name)] @ ranks)


def _clip_wide_intervals(axes: Axes, rows: pd.DataFrame) -> None:
    """Limit the x axis so that one wide interval, cut off at the edge, does not flatten all others."""
    shown = rows[["ci_low", "relative_improvement", "ci_high"]].to_numpy(float)
    ends = np.nanmax(np.abs(shown), axis=1)
    reach = max(1.3 * np.quantile(ends, 0.9), 1.15 * np.abs(shown[:, 1]).max(), 1e-6)
    low, high = min(np.nanmin(shown), 0.0), max(np.nanmax(shown), 0.0)
    axes.set_xlim(max(low, -reach) - 0.04 * reach, min(high, reach) + 0.04 * reach)


def _time_unit(seconds: pd.Series[float]) -> tuple[str, float]:
    """The unit in which the durations are best read, and its seconds: the largest that most reach."""
    typical = float(np.exp(np.log(seconds).mean()))
    units = (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
    return next(((name, size) for name, size in units if typical >= 2 * size), units[-1])


def _scale_cost(axes: Axes, low: float, high: float) -> None:
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


def _wrapped(place: str) -> str:
    return "\n".join(line for part in place.split(" / ") for line in textwrap.wrap(part, 20))


def _folded(name: str) -> str:
    """A strategy's name, on several lines if it is long: the options have lines of their own."""
    if len(name) <= 24:
        return name
    strategy, separator, options = name.partition(" (")
    lines = [*textwrap.wrap(strategy, 26), *(textwrap.wrap(f"({options}", 26) if separator else [])]
    return "\n".join([*lines[: MAX_LINES - 1], "…"] if len(lines) > MAX_LINES else lines)


def _pitch(names: Sequence[str]) -> float:
    """Height of a row in inches that fits the folded names."""
    lines = max((_folded(name).count("\n") + 1 for name in names), default=1)
    return 0.1 + 0.15 * lines


def _legend(figure: Figure, names: Sequence[str]) -> None:
    """Add a legend below the axes, in as many columns as fit."""
    columns = 3 if max(map(len, names), default=0) <= 16 else 2
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5, handletextpad=0.3)

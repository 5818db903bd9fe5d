"""Plots of rankings: probabilities of ranks, their movement between proxies, critical differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nastransfer_nni.report.plots.style import (
    INK,
    PALETTE,
    WIDTH,
    entry,
    folded,
    legend,
    legend_height,
    pitch,
    shape,
    single,
    wrapped,
)
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.statistics.ranking import CriticalDifference, Ranking

MAX_PANELS = 8
MAX_STRATEGIES = 12
"""Most strategies that get a colour each."""


def ranking_figure(rankings: Sequence[Ranking]) -> Figure:
    """Plot the probabilities of the first ranks, one panel for each of the first `MAX_PANELS` proxies."""
    shown = [_first(ranking) for ranking in rankings[:MAX_PANELS]]
    sizes = [len(ranking.strategies) for ranking in shown]
    row = max(0.26, pitch([name for ranking in shown for name in ranking.strategies]))
    figure = Figure(figsize=(WIDTH, 0.45 + sum(row * size + 0.62 for size in sizes)), layout="constrained")
    panels = figure.subplots(len(shown), 1, height_ratios=sizes, squeeze=False)[:, 0]
    for axes, ranking in zip(panels, shown, strict=True):
        image = ranking.probabilities
        cells = [
            [(j - 0.5, i - 0.5), (j + 0.5, i - 0.5), (j + 0.5, i + 0.5), (j - 0.5, i + 0.5)]
            for i, j in np.ndindex(image.shape)
        ]
        colors = [to_rgba(PALETTE[0], 0.85 * probability) for probability in image.ravel()]
        axes.add_collection(PolyCollection(cells, facecolors=colors, linewidths=0))
        for (i, j), probability in np.ndenumerate(image):
            if probability >= 0.005:
                ink = "white" if probability > 0.6 else INK
                axes.text(j, i, f"{100 * probability:.0f}", ha="center", va="center", color=ink, fontsize=8.5)
        count = len(ranking.strategies)
        axes.set_yticks(range(count), [folded(name) for name in ranking.strategies])
        axes.set_xticks(range(count), [str(rank) for rank in range(1, count + 1)])
        axes.set_xlim(-0.5, count - 0.5)
        axes.set_ylim(count - 0.5, -0.5)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if ranking.place:
            axes.set_title(ranking.place + ("" if ranking.sufficient else " (too few runs to test)"))
    panels[-1].set_xlabel("rank; probability in %")
    return figure


def _first(ranking: Ranking) -> Ranking:
    """The `MAX_STRATEGIES` best strategies and ranks of a ranking."""
    return replace(
        ranking,
        strategies=ranking.strategies[:MAX_STRATEGIES],
        probabilities=ranking.probabilities[:MAX_STRATEGIES, :MAX_STRATEGIES],
    )


def movement_figure(rankings: Sequence[Ranking]) -> Figure:
    """Plot the expected rank of every strategy, one line for each of the first `MAX_PANELS` proxies."""
    shown = rankings[:MAX_PANELS]
    names = list(dict.fromkeys(name for ranking in shown for name in ranking.strategies))
    places = [wrapped(ranking.place) for ranking in shown]
    heights = [max(0.4, 0.12 + 0.15 * (place.count("\n") + 1)) for place in places]
    figure, axes = single(0.55 + legend_height(names) + sum(heights))
    middles = np.cumsum(heights) - np.array(heights) / 2
    for index, name in enumerate(names):
        points = [
            (_expected_rank(ranking, name), middle)
            for middle, ranking in zip(middles, shown, strict=True)
            if name in ranking.strategies
        ]
        color = PALETTE[index % len(PALETTE)]
        ranks, places_of = zip(*points, strict=True)
        figure.dots(
            axes,
            (ranks, places_of),
            f"{shape(index)}-",
            [f"{name}\nexpected rank {rank:.2f}" for rank in ranks],
            color=color,
            lw=1.6,
            ms=5.5,
            label=entry(name),
        )
    axes.set_yticks(middles, places)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(sum(heights), 0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.8, max(len(ranking.strategies) for ranking in shown) + 0.2)
    axes.set_xlabel("expected rank")
    legend(figure, names)
    return figure


def critical_difference_figure(result: CriticalDifference, options: AnalysisOptions) -> Figure:
    """Plot mean ranks on a line; bars join strategies that do not differ significantly."""
    count = len(result.strategies)
    bars = result.cliques
    figure, axes = single(1.0 + 0.14 * count + 0.14 * len(bars))
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
            f"{folded(name)} {rank:.2f}",
            (edge, y),
            xytext=(-4 if is_left else 4, 0),
            textcoords="offset points",
            ha="right" if is_left else "left",
            va="center",
        )
    return figure


def _expected_rank(ranking: Ranking, name: str) -> float:
    ranks = np.arange(1, len(ranking.strategies) + 1)
    return float(ranking.probabilities[ranking.strategies.index(name)] @ ranks)

"""Drawings of cells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nastransfer_nni.base.files import replacing
from search_spaces import AbstractGenotype, Genotype
from search_spaces.errors import UserError
from search_spaces.genotype import INPUTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {
    "max_pool_3x3": "#f4a261",
    "avg_pool_3x3": "#f7c59f",
    "skip_connect": "#d9d9d9",
    "sep_conv_3x3": "#8ecae6",
    "sep_conv_5x5": "#4ea8de",
    "dil_conv_3x3": "#a7d8a0",
    "dil_conv_5x5": "#5fb760",
    "noise": "#e9a3c9",
}
"""One hue per family of operations: pooling, skip, separable and dilated convolutions, noise."""


def draw_cell(genotype: AbstractGenotype, kind: str) -> Figure:
    """Draw a kind of cell of an architecture of any space.

    Raises:
        UserError: there is no drawing of such architectures.
    """
    for genotype_class, draw in DRAWINGS.items():
        if isinstance(genotype, genotype_class):
            return draw(genotype, kind)
    raise UserError(f"there is no drawing of a {type(genotype).__name__}")


def draw_darts_cell(genotype: Genotype, kind: str) -> Figure:
    """Draw the `normal` or `reduce` cell as a wiring diagram.

    Every state is a horizontal rail; a node is a frame around the two operations that it sums, each hanging
    by a vertical line from the rail that it reads. Dots are connections, plain crossings are not.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    nodes = genotype.nodes(kind)
    fewer, middle = 4 - len(nodes), -(len(nodes) + INPUTS + 1) / 2
    figure = Figure(figsize=(11.5 - 2.33 * fewer, 4.0 - 0.65 * fewer))
    axes = figure.add_axes((0.01, 0.02, 0.98, 0.9))  # a layout engine takes longer than the drawing
    right = 2.9 * len(nodes) + 1.7

    def box(x: float, y: float, width: float, height: float, color: str, edge: str, level: int) -> None:
        corner = (x - width / 2, y - height / 2)
        style = "round,pad=0,rounding_size=0.09"
        axes.add_patch(FancyBboxPatch(corner, width, height, style, fc=color, ec=edge, lw=0.9, zorder=level))

    def label(x: float, y: float, text: str, size: float) -> None:
        axes.text(x, y, text, ha="center", va="center", fontsize=size, color="#111111", zorder=5)

    starts = {0: 0.35, 1: 0.35} | {INPUTS + i: 2.9 * i + 3.5 for i in range(len(nodes))}
    ends = dict.fromkeys(starts, 0.35) | {INPUTS + i: right - 0.35 for i in range(len(nodes))}
    for index, pair in enumerate(nodes):
        state, centre = INPUTS + index, 2.9 * index + 2.1
        box(centre, -state, 2.8, 0.74, "#fafafa", "#888888", 2)
        for (operation, source), x in zip(pair, (centre - 0.66, centre + 0.66), strict=True):
            ends[source] = max(ends[source], x)
            axes.plot([x, x], [-source, -state + 0.21], color="#555555", lw=1.4, zorder=3)
            axes.plot([x], [-source], "o", color="#555555", ms=5, zorder=4)
            box(x, -state, 1.22, 0.44, COLORS[operation], "#333333", 4)
            label(x, -state, operation, 8.5)
    for state, start in starts.items():
        axes.plot([start, ends[state]], [-state, -state], color="#555555", lw=1.4, zorder=1)
        if state >= INPUTS:
            label(start + 0.28, -state + 0.2, f"node {state - INPUTS}", 7.5)
    for state, text in ((0, "c$_{k-2}$"), (1, "c$_{k-1}$")):
        box(0, -state, 0.7, 0.5, "#e8e0f0", "#333333", 4)
        label(0, -state, text, 10)
    box(right, middle, 0.7, len(nodes) - 0.4, "#fff3b0", "#333333", 4)
    label(right, middle, "c$_k$", 10)
    axes.set_xlim(-0.5, right + 0.5)
    axes.set_ylim(-len(nodes) - 1.5, 0.4)
    axes.set_title({"normal": "normal cell", "reduce": "reduction cell"}[kind], fontsize=11, loc="left")
    axes.axis("off")
    return figure


DRAWINGS: dict[type[AbstractGenotype], Callable[[Any, str], Figure]] = {Genotype: draw_darts_cell}
"""What draws a cell of an architecture, by the class of the architecture."""


def save_cells(genotype: AbstractGenotype, folder: Path) -> list[Path]:
    """Write cell_normal.svg and cell_reduce.svg, or those of another space, into `folder`.

    Equal genotypes give equal files.
    """
    import matplotlib as mpl

    paths = [folder / f"cell_{kind}.svg" for kind in genotype.kinds]
    for kind, path in zip(genotype.kinds, paths, strict=True):
        with mpl.rc_context({"svg.hashsalt": "cell", "svg.fonttype": "none"}), replacing(path) as scratch:
            draw_cell(genotype, kind).savefig(scratch, format="svg", metadata={"Date": None})
    return paths

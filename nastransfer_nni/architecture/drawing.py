"""Drawings of cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nastransfer_nni.base.files import replacing
from search_spaces import AbstractGenotype, Genotype
from search_spaces.base import Edge
from search_spaces.errors import UserError
from search_spaces.genotype import INPUTS
from search_spaces.nas_bench_201 import NasBench201Genotype
from search_spaces.nas_bench_201.genotype import NODES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
    "nor_conv_1x1": "#8ecae6",
    "nor_conv_3x3": "#4ea8de",
    "none": "#ffffff",
}
"""One hue per family of operations: pooling, skip, separable and dilated or usual convolutions, noise."""

NODE, INPUT, OUTPUT, WIRE = "#fafafa", "#e8e0f0", "#fff3b0", "#555555"


def draw_cell(
    genotype: AbstractGenotype, kind: str, *, other: AbstractGenotype | None = None, is_narrow: bool = False
) -> Figure:
    """Draw a kind of cell of an architecture of any space.

    Args:
        genotype: the architecture.
        kind: kind of cell.
        other: architecture that it is compared with: operations that `new_operations` names are marked.
        is_narrow: whether the drawing is to be readable at half the width.

    Raises:
        UserError: there is no drawing of such architectures.
    """
    marked = new_operations(genotype, other, kind) if other else frozenset()
    for genotype_class, draw in DRAWINGS.items():
        if isinstance(genotype, genotype_class):
            return draw(genotype, kind, Style(marked, is_narrow))
    raise UserError(f"there is no drawing of a {type(genotype).__name__}")


def new_operations(
    genotype: AbstractGenotype, other: AbstractGenotype, kind: str
) -> frozenset[tuple[int, Edge]]:
    """The operations of a cell that another cell does not have at the same node on the same state.

    Returns:
        For each its node, counted from 0 and from the first that has operations, and its edge. A cell of
        another search space has none in common with this one.
    """
    before = _by_node(other, kind) if type(other) is type(genotype) else []
    return frozenset(
        (node, edge)
        for node, edges in enumerate(_by_node(genotype, kind))
        for edge in edges
        if node >= len(before) or edge not in before[node]
    )


def _by_node(genotype: AbstractGenotype, kind: str) -> list[tuple[Edge, ...]]:
    """The operations of a cell, node by node."""
    if isinstance(genotype, Genotype):
        return list(genotype.nodes(kind))
    edges = genotype.edges(kind)
    return [edges[node * (node - 1) // 2 :][:node] for node in NODES]


@dataclass(frozen=True)
class Style:
    """How a cell is drawn.

    Attributes:
        marked: operations with a thick frame, as `new_operations` gives them.
        is_narrow: whether names stand on two lines, so that the drawing is readable at half the width.
    """

    marked: frozenset[tuple[int, Edge]] = frozenset()
    is_narrow: bool = False

    def size(self, width: float, height: float) -> tuple[float, float]:
        """Size of a drawing in inches that is this large where it is not narrow."""
        return (0.6 * width, 1.15 * height) if self.is_narrow else (width, height)


def title(kind: str) -> str:
    """The kind of cell in words: normal cell, reduction cell, or cell where there is one kind."""
    return {"normal": "normal cell", "reduce": "reduction cell"}.get(kind, kind)


def draw_darts_cell(genotype: Genotype, kind: str, style: Style) -> Figure:
    """Draw the `normal` or `reduce` cell as a wiring diagram.

    Every state is a horizontal rail; a node is a frame around the two operations that it sums, each hanging
    by a vertical line from the rail that it reads. Dots are connections, plain crossings are not.
    """
    from matplotlib.figure import Figure

    nodes = genotype.nodes(kind)
    fewer, middle = 4 - len(nodes), -(len(nodes) + INPUTS + 1) / 2
    figure = Figure(figsize=style.size(11.5 - 2.33 * fewer, 4.0 - 0.65 * fewer))
    axes = figure.add_axes((0.01, 0.02, 0.98, 0.9))  # a layout engine takes longer than the drawing
    right = 2.9 * len(nodes) + 1.7

    starts = {0: 0.35, 1: 0.35} | {INPUTS + i: 2.9 * i + 3.5 for i in range(len(nodes))}
    ends = dict.fromkeys(starts, 0.35) | {INPUTS + i: right - 0.35 for i in range(len(nodes))}
    for index, pair in enumerate(nodes):
        state, centre = INPUTS + index, 2.9 * index + 2.1
        _frame(axes, centre, -state, 2.8)
        for (operation, source), x in zip(pair, (centre - 0.66, centre + 0.66), strict=True):
            ends[source] = max(ends[source], x)
            _operation(axes, operation, (x, -state), -source, style, index)
    for state, start in starts.items():
        _rail(axes, start, ends[state], -state, f"node {state - INPUTS}" if state >= INPUTS else "")
    for state, text in ((0, "c$_{k-2}$"), (1, "c$_{k-1}$")):
        _end(axes, text, 0, -state, 0.5, INPUT)
    _end(axes, "c$_k$", right, middle, len(nodes) - 0.4, OUTPUT)
    axes.set_xlim(-0.5, right + 0.5)
    axes.set_ylim(-len(nodes) - 1.5, 0.4)
    axes.set_title(title(kind), fontsize=11, loc="left")
    axes.axis("off")
    return figure


def draw_nas_bench_201_cell(genotype: NasBench201Genotype, kind: str, style: Style) -> Figure:
    """Draw the cell as a wiring diagram, as `draw_darts_cell` does; an edge of `none` is dotted."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=style.size(11.5, 3.2))
    axes = figure.add_axes((0.01, 0.02, 0.98, 0.88))
    starts, ends, left = {0: 0.35}, {0: 0.35}, 0.85
    for node in NODES:
        width = 1.36 * node + 0.08
        _frame(axes, left + width / 2, -node, width)
        starts[node] = ends[node] = left + width
        for place, (operation, source) in enumerate(genotype.edges(kind)[node * (node - 1) // 2 :][:node]):
            x = left + 0.72 + 1.36 * place
            ends[source] = max(ends[source], x)
            _operation(axes, operation, (x, -node), -source, style, node - 1)
        left += width + 0.65
    ends[NODES[-1]] = right = left + 0.35
    for node, start in starts.items():
        _rail(axes, start, ends[node], -node, f"node {node}" if 0 < node < NODES[-1] else "")
    _end(axes, "in", 0, 0, 0.5, INPUT)
    _end(axes, "out", right, -NODES[-1], 0.5, OUTPUT)
    axes.set_xlim(-0.5, right + 0.5)
    axes.set_ylim(-NODES[-1] - 0.5, 0.4)
    axes.set_title(title(kind), fontsize=11, loc="left")
    axes.axis("off")
    return figure


def _box(
    axes: Axes,
    x: float,
    y: float,
    size: tuple[float, float],
    *,
    fill: str,
    edge: str,
    level: int,
    width: float = 0.9,
) -> None:
    """A rounded box around its centre (x, y); boxes of a higher level cover those below."""
    from matplotlib.patches import FancyBboxPatch

    corner = (x - size[0] / 2, y - size[1] / 2)
    form = "round,pad=0,rounding_size=0.09"
    axes.add_patch(FancyBboxPatch(corner, *size, form, fc=fill, ec=edge, lw=width, zorder=level))


def _label(axes: Axes, x: float, y: float, text: str, size: float) -> None:
    axes.text(x, y, text, ha="center", va="center", fontsize=size, color="#111111", zorder=5)


def _frame(axes: Axes, x: float, y: float, width: float) -> None:
    """The frame of a node."""
    _box(axes, x, y, (width, 0.74), fill=NODE, edge="#888888", level=2)


def _operation(
    axes: Axes, name: str, at: tuple[float, float], source: float, style: Style, node: int
) -> None:
    """An operation on a line from the rail at the height `source`, dotted where it is `none`."""
    x, y = at
    is_there, is_marked = name != "none", (node, (name, round(-source))) in style.marked
    axes.plot([x, x], [source, y + 0.21], color=WIRE, lw=1.4, ls="-" if is_there else ":", zorder=3)
    axes.plot([x], [source], "o", color=WIRE, ms=5, zorder=4)
    edge = "#000000" if is_marked else "#333333" if is_there else "#aaaaaa"
    _box(axes, x, y, (1.22, 0.44), fill=COLORS[name], edge=edge, level=4, width=2.8 if is_marked else 0.9)
    if style.is_narrow:
        _label(axes, x, y, "\n".join(name.rsplit("_", 1)), 8)
    else:
        _label(axes, x, y, name, 8.5)


def _rail(axes: Axes, start: float, end: float, y: float, text: str) -> None:
    """The rail of a state, from where it comes about to where it is last read."""
    axes.plot([start, end], [y, y], color=WIRE, lw=1.4, zorder=1)
    if text:
        _label(axes, start + 0.28, y + 0.2, text, 7.5)


def _end(axes: Axes, text: str, x: float, y: float, height: float, fill: str) -> None:
    """An input or the output of the cell."""
    _box(axes, x, y, (0.7, height), fill=fill, edge="#333333", level=4)
    _label(axes, x, y, text, 10)


DRAWINGS: dict[type[AbstractGenotype], Callable[[Any, str, Style], Figure]] = {
    Genotype: draw_darts_cell,
    NasBench201Genotype: draw_nas_bench_201_cell,
}
"""What draws a cell of an architecture, by the class of the architecture."""


def save_cells(genotype: AbstractGenotype, folder: Path) -> list[Path]:
    """Write cell_normal.svg and cell_reduce.svg into `folder`, or cell.svg in a space of one kind of cell.

    Equal genotypes give equal files.
    """
    import matplotlib as mpl

    several = len(genotype.kinds) > 1
    paths = [folder / (f"cell_{kind}.svg" if several else "cell.svg") for kind in genotype.kinds]
    for kind, path in zip(genotype.kinds, paths, strict=True):
        with mpl.rc_context({"svg.hashsalt": "cell", "svg.fonttype": "none"}), replacing(path) as scratch:
            draw_cell(genotype, kind).savefig(scratch, format="svg", metadata={"Date": None})
    return paths

"""Drawings of the best cells that each strategy found."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from nastransfer_nni.architecture.drawing import draw_cell, new_operations, title
from nastransfer_nni.report.names import Names
from nastransfer_nni.report.plots.inline import inline_svg
from nastransfer_nni.report.plots.style import svg
from nastransfer_nni.report.statistics.table import parse_options
from search_spaces import AbstractGenotype, registry
from search_spaces.errors import UserError

MAX_CELLS = 6
"""Strategies whose best cell is drawn."""


@dataclass(frozen=True, kw_only=True)
class DrawnCell:
    """A kind of cell on the page.

    Attributes:
        svg: the drawing as inline SVG.
        caption: in words, which cell it is, and how much of it differs from the first one.
    """

    svg: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class BestCell:
    """The best cell of a strategy.

    Attributes:
        name: strategy and proxy.
        kinds: the drawings, one for each kind of cell.
    """

    name: str
    kinds: list[DrawnCell]


def best_cells(summary: pd.DataFrame, names: Names, pools: Collection[str] = ()) -> list[BestCell]:
    """Draw the best cell of each of the `MAX_CELLS` best strategies, and mark what the first does not have.

    Args:
        summary: rows of one setting, as `summarise` returns them.
        names: short names.
        pools: names of the pools of random cells, whose cells come last.
    """
    known = summary.assign(is_random=summary["strategy"].isin(list(pools)))
    known = known[known["genotype"] != ""].sort_values(
        ["is_random", "top1"], ascending=[True, False], kind="stable"
    )
    found = [
        (names.of(row), read_genotype(row["genotype"]))
        for row in known.drop_duplicates("strategy").head(MAX_CELLS).to_dict("records")
    ]
    cells = [(name, genotype) for name, genotype in found if genotype is not None]
    return [
        BestCell(
            name=name,
            kinds=[_drawn(genotype, kind, name, None if index == 0 else cells[0]) for kind in genotype.kinds],
        )
        for index, (name, genotype) in enumerate(cells)
    ]


def _drawn(
    genotype: AbstractGenotype, kind: str, name: str, first: tuple[str, AbstractGenotype] | None
) -> DrawnCell:
    """A kind of cell, compared with the first one of the page."""
    edges = genotype.edges(kind)
    caption = title(kind).capitalize()
    if first is not None:
        count = len(new_operations(genotype, first[1], kind))
        caption += f": {count} of {len(edges)} operations are not in that of {first[0]}"
    other = first[1] if first else None
    told = f"{caption}. {name}: {', '.join(f'{operation} on {state}' for operation, state in edges)}."
    figure = draw_cell(genotype, kind, other=other, is_narrow=True)
    figure.axes[0].set_title("", loc="left")
    return DrawnCell(svg=inline_svg(svg(figure), told), caption=f"{caption}.")


def read_genotype(text: str) -> AbstractGenotype | None:
    """The genotype in the text; None for a cell of a search space that is not known here."""
    try:
        value = parse_options(text)
        if value is not None:
            return registry.genotype_of_dict(value)
        return registry.genotype_of_text(text) if registry.has_text(text) else None
    except (UserError, RecursionError):
        return None

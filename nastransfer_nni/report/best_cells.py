"""Drawings of the best cells that each strategy found."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from nastransfer_nni.architecture.drawing import draw_cell, title
from nastransfer_nni.report.names import Names
from nastransfer_nni.report.plots.inline import inline_svg
from nastransfer_nni.report.plots.style import svg
from nastransfer_nni.report.statistics.table import parse_options
from search_spaces import AbstractGenotype, registry
from search_spaces.errors import UserError

MAX_CELLS = 6
"""Strategies whose best cell is drawn."""


def best_cells(
    summary: pd.DataFrame, names: Names, pools: Collection[str] = ()
) -> list[tuple[str, list[str]]]:
    """Draw the best cell of each strategy.

    Args:
        summary: rows of one setting, as `summarise` returns them.
        names: short names.
        pools: names of the pools of random cells, whose cells come last.

    Returns:
        For each of the `MAX_CELLS` best strategies its name, and its kinds of cell (normal and reduction) as
        inline SVG.
    """
    drawn = []
    known = summary.assign(is_random=summary["strategy"].isin(list(pools)))
    known = known[known["genotype"] != ""].sort_values(
        ["is_random", "top1"], ascending=[True, False], kind="stable"
    )
    for row in known.drop_duplicates("strategy").head(MAX_CELLS).to_dict("records"):
        genotype = _read_genotype(row["genotype"])
        if genotype is not None:
            name = names.of(row)
            cells = [
                inline_svg(svg(draw_cell(genotype, kind)), f"{title(kind)} of {name}")
                for kind in genotype.kinds
            ]
            drawn.append((name, cells))
    return drawn


def _read_genotype(text: str) -> AbstractGenotype | None:
    """The genotype in the text; None for a cell of a search space that is not known here."""
    try:
        value = parse_options(text)
        if value is not None:
            return registry.genotype_of_dict(value)
        return registry.genotype_of_text(text) if registry.has_text(text) else None
    except (UserError, RecursionError):
        return None

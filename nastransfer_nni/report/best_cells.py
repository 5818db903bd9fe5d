"""Drawings of the best cells that each strategy found."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from nastransfer_nni.architecture.drawing import draw_cell
from nastransfer_nni.report.names import Names
from nastransfer_nni.report.plots.inline import inline_svg
from nastransfer_nni.report.plots.style import svg
from nastransfer_nni.report.statistics.table import parse_options
from search_spaces import Genotype
from search_spaces.errors import UserError

MAX_CELLS = 6
"""Strategies whose best cell is drawn."""


def best_cells(
    summary: pd.DataFrame, names: Names, pools: Collection[str] = ()
) -> list[tuple[str, str, str]]:
    """Draw the best cell of each strategy.

    Args:
        summary: rows of one setting, as `summarise` returns them.
        names: short names.
        pools: names of the pools of random cells, whose cells come last.

    Returns:
        For each of the `MAX_CELLS` best strategies its name, and the normal and reduction cell as inline SVG.
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
            normal, reduction = (
                inline_svg(svg(draw_cell(genotype, kind)), f"{kind} cell of {name}")
                for kind in ("normal", "reduce")
            )
            drawn.append((name, normal, reduction))
    return drawn


def _read_genotype(text: str) -> Genotype | None:
    """The genotype in the text; None for a cell of another search space, which has no drawing."""
    try:
        if "Genotype(" in text:
            return Genotype.from_text(text)
        value = parse_options(text)
        return Genotype.from_dict(value) if value is not None else None
    except (UserError, RecursionError):
        return None

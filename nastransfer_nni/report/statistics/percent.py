"""Accuracies in percent, whatever a table has: percent or fractions, accuracies or errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pandas as pd

from nastransfer_nni.report.statistics.checks import refuse_mixed_units, row_name
from search_spaces.errors import UserError

Unit = Literal["found", "percent", "fraction"]

DECIMALS = 10
"""Decimals that are kept, so that 0.9668 becomes 96.68 and not 96.67999999999999."""


def in_percent(
    table: pd.DataFrame,
    signs: pd.DataFrame,
    *,
    unit: Unit = "found",
    may_be_fractions: bool = True,
    names: Mapping[str, str] | None = None,
) -> tuple[pd.DataFrame, str]:
    """The table with all accuracies in percent.

    They are taken for fractions if no top-1 is above 1, none has a percent sign, and one at least is not 0.

    Args:
        table: results table whose accuracies are all in one unit.
        signs: for each column of accuracies and each row, whether the number has a percent sign.
        unit: the unit, or `found` to find it.
        may_be_fractions: whether numbers of which none is above 1 are taken for fractions.
        names: what the file calls its columns.

    Returns:
        The table, and the unit that it had: `percent` or `fraction`.

    Raises:
        UserError: some accuracies are in percent and others fractions; the message names two rows.
    """
    columns = list(signs.columns)
    unsigned = table.assign(**{column: table[column].mask(signs[column]) for column in columns})
    if unit == "found":
        top1 = unsigned["top1"].dropna()
        is_small = len(top1) > 0 and bool((top1 <= 1).all() and (top1 > 0).any())
        is_fraction = may_be_fractions and is_small and not signs.to_numpy().any()
        if not is_fraction:
            refuse_mixed_units(unsigned, names or {})
        unit = "fraction" if is_fraction else "percent"
    if unit == "percent":
        return table, unit
    for column in columns:
        if (above := unsigned.index[unsigned[column] > 1].tolist()) or signs[column].any():
            row = above[0] if above else signs.index[signs[column]].tolist()[0]
            name = (names or {}).get(column, column)
            below = table.index[table["top1"] <= 1].tolist()
            beside = f"{row_name(below[0])}: top1 is {table['top1'][below[0]]:g}, " if below else ""
            raise UserError(
                f"{beside}{row_name(row)}: {name} is {table[column][row]:g}; write all accuracies in percent "
                "or all as fractions"
            )
    return table.assign(**{column: (100 * table[column]).round(DECIMALS) for column in columns}), unit


def accuracies(errors: pd.Series[float]) -> pd.Series[float]:
    """Accuracies in percent of networks with these errors in percent."""
    return (100 - errors).round(DECIMALS)

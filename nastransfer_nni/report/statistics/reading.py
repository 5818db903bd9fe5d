"""Reading results tables and checking their rows.

Two forms are read. The full form has the columns of `COLUMNS`, of which only `target`, `strategy` and `top1`
are required. The short form `target, method, arm, run, top1` is that of published runs, in which every method
comes with random networks of its own search space; it is converted to the full form by giving those the
strategy `random` with the option `space`.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nastransfer_nni.report.statistics import checks, csv_file
from nastransfer_nni.report.statistics.checks import row_name
from nastransfer_nni.report.statistics.fields import MISSING, clean, number, writable
from nastransfer_nni.report.statistics.table import BASELINE, COLUMNS, NUMBERS, SEEDS, parse_options
from search_spaces.errors import UserError, unknown

SHORT = ("target", "method", "arm", "run", "top1")
ARMS = ("searched", "random")
NO_TOP1 = "Rows left out because they have no top1"
SEARCHED_RANDOM = '{"arm":"searched"}'

MAX_NUMBER = 1e30
"""Largest number that a column may have; it excludes infinity."""
PERCENT = ("top1", "top5", "source_top1")
FRACTIONS = ("parameter_free_share",)
SIGNED = ("search_score",)
ROUNDING = 0.1
"""Points by which a rounded top5 may be below its top1."""


def read(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read a results table in either form from a CSV file.

    Returns:
        The table in the full form with the columns of `COLUMNS`, and notes on how the file was understood and
        what was left out of it.

    Raises:
        UserError: the file is no CSV table, or a column or row is wrong; the message names the first.
    """
    try:
        raw, notes = csv_file.read(path, {*COLUMNS, *SHORT}, NUMBERS, PERCENT)
        table, more = check(from_short(raw) if "method" in raw.columns else raw)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return table, [*notes, *more]


def from_short(raw: pd.DataFrame) -> pd.DataFrame:
    """Convert a table of the short form to the full form.

    Returns:
        The columns of the full form that the short form has: `target`, `strategy`, `strategy_options` (JSON
        with the option `space` for random rows), `search_seed` (the run) and `top1`, all text. A searched row
        of a method called random has the option `arm`, without which it would count as a random cell.

    Raises:
        UserError: a column is missing, or an arm is neither `searched` nor `random`.
    """
    _require_columns(raw, ("target", "method", "arm", "top1"))
    if both := [column for column in ("strategy", "strategy_options") if column in raw.columns]:
        raise UserError(
            f"the table has the columns 'method' and {both[0]!r}; name the strategy in one of them"
        )
    methods, arms = raw["method"].map(clean), raw["arm"].map(clean).str.lower()
    for row, arm in arms.items():
        if arm not in ARMS:
            raise unknown(f"arm in {row_name(row)}", raw.at[row, "arm"], list(ARMS))
    is_random = arms == "random"
    options = [
        json.dumps({"space": method}) if random else SEARCHED_RANDOM if method == BASELINE else ""
        for method, random in zip(methods, is_random, strict=True)
    ]
    full = raw.drop(columns=["method", "arm"]).assign(
        strategy=methods.mask(is_random & (methods != ""), BASELINE), strategy_options=options, run=""
    )
    return full if "search_seed" in raw.columns else full.assign(search_seed=raw.get("run", ""))


def check(raw: pd.DataFrame, *, is_percent: bool = False) -> tuple[pd.DataFrame, list[str]]:
    """Check a table of the full form and convert its columns to their types.

    Args:
        raw: the table; the index says in which row of a file a row stands, counted from 0 below the header.
        is_percent: whether accuracies are known to be in percent, however small they are.

    Returns:
        The table with the columns of `COLUMNS`, in which missing text and seeds are "" and missing numbers
        NaN, and notes on what was left out of it.

    Raises:
        UserError: a column or row is wrong; the message names the first.
    """
    _require_columns(raw, ("target", "strategy", "top1"))
    for message in problems(raw).values():
        raise UserError(message)
    table = pd.DataFrame({column: _column(raw, column) for column in COLUMNS})
    notes = []
    if unused := [column for column in raw.columns if column not in COLUMNS]:
        notes.append(f"Columns that the report does not use: {', '.join(map(clean, map(str, unused)))}.")
    if (has_no_top1 := table["top1"].isna()).any():
        notes.append(f"{NO_TOP1}: {int(has_no_top1.sum())}.")
        table = table[~has_no_top1]
    if table.empty:
        raise UserError("the table has no row with a top1")
    if not is_percent:
        has_sign = {column: _text(raw, column).str.endswith("%") for column in PERCENT}
        checks.refuse_mixed_units(
            table.assign(**{column: table[column].mask(has_sign[column]) for column in PERCENT})
        )
    checks.refuse_repeated_runs(table)
    checks.refuse_equal_names(table)
    names = sorted({*table["strategy"], BASELINE})
    if alike := [name for name in names if [each.lower() for each in names].count(name.lower()) > 1]:
        notes.append(
            f"Names that differ in upper and lower case are different strategies: {', '.join(alike)}."
        )
    return table.reset_index(drop=True), notes


def problems(raw: pd.DataFrame) -> dict[Hashable, str]:
    """What is wrong with each row that has a field which does not fit: its first such field."""
    found: dict[Hashable, str] = {}
    for column in ("target", "strategy"):
        for index, text in _text(raw, column).items():
            if not text:
                found.setdefault(index, f"{row_name(index)} has no {column}")
    for column in (name for name in NUMBERS if name in raw.columns):
        low, high, limits = _limits(column)
        for index, text in _text(raw, column).items():
            value = _number(text, column)
            if value is None or value < low or value > high:
                found.setdefault(index, f"{row_name(index)}: {column} is {text!r}; allowed: {limits}")
    if "top5" in raw.columns and not found:
        top1, top5 = _column(raw, "top1"), _column(raw, "top5")
        for index in raw.index[top5 < top1 - ROUNDING]:
            found[index] = (
                f"{row_name(index)}: top5 is {top5[index]:g}, which is below its top1 of {top1[index]:g}"
            )
    return found


def _require_columns(raw: pd.DataFrame, columns: tuple[str, ...]) -> None:
    if repeated := raw.columns[raw.columns.duplicated()].tolist():
        raise UserError(f"column {repeated[0]!r} occurs more than once")
    for column in columns:
        if column not in raw.columns:
            raise UserError(
                f"column {column!r} is missing; required are target, strategy, top1 or {', '.join(SHORT)}"
            )


def _text(raw: pd.DataFrame, column: str) -> pd.Series[str]:
    if column not in raw.columns:
        return pd.Series("", index=raw.index, dtype=str)
    readable = writable if column == "run" else clean  # the name of a folder must stay what it is
    values = ["" if _is_missing(value) else readable(str(value)) for value in raw[column].astype(object)]
    return pd.Series(values, index=raw.index, dtype=str)


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def _column(raw: pd.DataFrame, column: str) -> pd.Series[Any]:
    """A column of the full form in its type; its numbers must be good."""
    text = _text(raw, column)
    if column in NUMBERS:
        return text.map(lambda each: _number(each, column)).astype("float64")
    if column in SEEDS:  # an integer column with gaps is written as floats
        text = text.str.replace(r"\.0$", "", regex=True)
        return text.mask(text.str.lower().isin(MISSING), "")
    return text.map(_canonical) if column == "strategy_options" else text


def _number(text: str, column: str) -> float | None:
    return number(text.removesuffix("%").rstrip() if column in PERCENT else text)


def _limits(column: str) -> tuple[float, float, str]:
    """Smallest and largest number of a column, and what is allowed in words."""
    if column in PERCENT:
        return 0, 100, "0 to 100, in percent"
    if column in FRACTIONS:
        return 0, 1, "0 to 1, a fraction"
    return (-MAX_NUMBER, MAX_NUMBER, "any number") if column in SIGNED else (0, MAX_NUMBER, "0 or more")


def _canonical(text: str) -> str:
    """The same text for equal options; empty without options."""
    values = parse_options(text)
    if values is None:
        return text
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False) if values else ""

"""Reading results tables and checking their rows.

A table may have the columns of `COLUMNS`, of which only `target`, `strategy` and `top1` are required; the
short form of published runs (`forms`); or the columns that people give such tables (`column_names`), with
accuracies in percent or as fractions, or errors (`percent`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nastransfer_nni.report.statistics import checks, csv_file, percent
from nastransfer_nni.report.statistics.checks import row_name
from nastransfer_nni.report.statistics.column_names import (
    ERROR,
    VALUE,
    is_percent,
    meanings,
    require_distinct,
)
from nastransfer_nni.report.statistics.fields import MISSING, clean, number, writable
from nastransfer_nni.report.statistics.forms import FullForm, ReadOptions, full_form
from nastransfer_nni.report.statistics.table import (
    ADDED,
    COLUMNS,
    NUMBERS,
    SEEDS,
    is_baseline,
    label,
    parse_options,
)
from search_spaces.errors import UserError

NO_TOP1 = "Rows left out because they have no top1"

MAX_NUMBER = 1e30
"""Largest number that a column may have; it excludes infinity."""
PERCENT = ("top1", "top5", "source_top1")
FRACTIONS = ("parameter_free_share",)
SIGNED = ("search_score",)
ROUNDING = 0.1
"""Points by which a rounded top5 may be below its top1."""
MAX_NAMED = 8
"""Strategies and targets that the sentences on a file name."""


class Reading(NamedTuple):
    """A results table, and how its file was understood.

    Attributes:
        rows: the table with the columns of `COLUMNS`.
        notes: sentences on how the file was parted and what was left out of it.
        meaning: sentences on what its columns were taken for.
    """

    rows: pd.DataFrame
    notes: list[str]
    meaning: list[str]


def read(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read a results table in any form from a CSV file; see `understand`.

    Returns:
        The table with the columns of `COLUMNS`, and notes on how the file was understood and what was left
        out of it.
    """
    rows, notes, _ = understand(path, ReadOptions())
    return rows, notes


def understand(path: Path, options: ReadOptions) -> Reading:
    """Read a results table in any form from a CSV file, and say what its columns were taken for.

    Raises:
        UserError: the file is no CSV table, or a column or row is wrong; the message names the first.
    """
    find = partial(meanings, given=options.columns)
    try:
        raw, notes = csv_file.read(path, find, (*NUMBERS, ERROR, VALUE), (*PERCENT, ERROR))
        form = full_form(raw, options)
        is_own = set(COLUMNS) - set(ADDED) <= set(raw.columns)  # a report has written it, in percent
        table, more, unit = _checked(form, options.unit, may_be_fractions=not is_own)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if options.upgrade:
        table = table.assign(strategy_options=_upgraded(table, options.upgrade))
    return Reading(table, [*notes, *form.notes, *more], [*_meaning(table, form, unit)])


def _upgraded(table: pd.DataFrame, upgrade: Callable[[str, Mapping[str, Any]], dict[str, Any]]) -> list[str]:
    """The options of each row's strategy by their names of today."""
    known: dict[tuple[str, str], str] = {}
    for strategy, text in table[["strategy", "strategy_options"]].drop_duplicates().itertuples(index=False):
        options = parse_options(text)
        known[strategy, text] = canonical(upgrade(strategy, options)) if options else text
    return [known[key] for key in zip(table["strategy"], table["strategy_options"], strict=True)]


def _meaning(table: pd.DataFrame, form: FullForm, unit: str) -> Iterator[str]:
    """What the columns were taken for."""
    searched = table[~is_baseline(table)]
    strategies = [*map(label, searched["strategy"], searched["strategy_options"])]
    yield f"{len(table)} row{'s' * (len(table) > 1)}"
    for meaning, values in (("target", table["target"]), ("strategy", strategies)):
        names = list(dict.fromkeys(values)) or ["none but random cells"]
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        yield f"{_name(form, meaning)}: {', '.join(names[:MAX_NAMED])}{more}"
    whole, share = {"percent": (100, "in percent"), "fraction": (1, "as fractions")}[unit]
    accuracy = f"top1 = {whole} - {form.names['top1']}" if form.is_error else _name(form, "top1")
    yield f"{accuracy}, {share}"
    others = [each for each in form.names if each not in ("target", "strategy", "top1")]
    yield from (_name(form, each) for each in others if form.names[each].lower() != each)


def _name(form: FullForm, meaning: str) -> str:
    name = form.names.get(meaning, meaning)
    return meaning if name.lower() == meaning else f"{meaning} = {name}"


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
    form = FullForm(raw, {}, is_error=False, notes=[])
    table, notes, _ = _checked(form, "percent" if is_percent else "found")
    return table, notes


def _checked(
    form: FullForm, unit: percent.Unit, *, may_be_fractions: bool = True
) -> tuple[pd.DataFrame, list[str], str]:
    """The checked table, notes on what was left out of it, and the unit that its accuracies had."""
    raw = form.rows
    _require_columns(raw, form.names)
    for message in problems(raw, form.names, is_error=form.is_error).values():
        raise UserError(message)
    table = pd.DataFrame({column: _column(raw, column) for column in COLUMNS})
    notes = []
    if unused := [column for column in raw.columns if column not in COLUMNS]:
        notes.append(f"Columns that the report does not use: {', '.join(map(clean, map(str, unused)))}.")
    signs = pd.DataFrame(
        {
            column: _text(raw, column).str.endswith("%") | is_percent(form.names.get(column, ""))
            for column in PERCENT
        }
    )
    if (has_no_top1 := table["top1"].isna()).any():
        notes.append(f"{NO_TOP1}: {int(has_no_top1.sum())}.")
        table, signs = table[~has_no_top1], signs[~has_no_top1]
    if table.empty:
        raise UserError("the table has no row with a top1")
    table, found = percent.in_percent(
        table, signs, unit=unit, may_be_fractions=may_be_fractions, names=form.names
    )
    if form.is_error:
        table = table.assign(top1=percent.accuracies(table["top1"]))
    once = checks.without_repeated_runs(table)
    if repeated := len(table) - len(once):
        notes.append(f"Rows left out because they list a run again: {repeated}.")
    checks.refuse_equal_names(once)
    names = sorted({*once["strategy"]})
    if alike := [name for name in names if [each.lower() for each in names].count(name.lower()) > 1]:
        notes.append(
            f"Names that differ in upper and lower case are different strategies: {', '.join(alike)}."
        )
    return once.reset_index(drop=True), notes, found


def problems(
    raw: pd.DataFrame, names: Mapping[str, str] | None = None, *, is_error: bool = False
) -> dict[Hashable, str]:
    """What is wrong with each row that has a field which does not fit: its first such field.

    Args:
        raw: a table of the full form, as text.
        names: what the file calls its columns.
        is_error: whether `top1` holds errors.
    """
    called = names or {}
    found: dict[Hashable, str] = {}
    for column in ("target", "strategy"):
        for index, text in _text(raw, column).items():
            if not text:
                found.setdefault(index, f"{row_name(index)} has no {called.get(column, column)}")
    for column in (name for name in NUMBERS if name in raw.columns):
        low, high, limits = _limits(column)
        for index, text in _text(raw, column).items():
            value = _number(text, column)
            if value is None or value < low or value > high:
                name = called.get(column, column)
                found.setdefault(index, f"{row_name(index)}: {name} is {text!r}; allowed: {limits}")
    if "top5" in raw.columns and not found and not is_error:
        top1, top5 = _column(raw, "top1"), _column(raw, "top5")
        for index in raw.index[top5 < top1 - ROUNDING]:
            found[index] = (
                f"{row_name(index)}: top5 is {top5[index]:g}, which is below its top1 of {top1[index]:g}"
            )
    return found


def _require_columns(raw: pd.DataFrame, names: Mapping[str, str]) -> None:
    require_distinct(raw.columns)
    for column in ("target", "strategy", "top1"):
        if column not in raw.columns:
            header = ", ".join(names.get(str(name), clean(str(name))) for name in raw.columns)
            other = " (or, for a table with one target, its name by --target)" if column == "target" else ""
            raise UserError(
                f"column {column!r} is missing; the table has {header}; say which of them it is by "
                f"--columns {column}=NAME{other}"
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
    return text if values is None else canonical(values)


def canonical(options: Mapping[str, Any]) -> str:
    """Options of a strategy as the results table has them; empty without any."""
    return json.dumps(options, sort_keys=True, separators=(",", ":"), ensure_ascii=False) if options else ""

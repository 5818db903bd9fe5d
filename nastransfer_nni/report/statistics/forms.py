"""The forms that a results table may have, each turned into the full form with the columns of `COLUMNS`.

The short form `target, method, arm, run, top1` is that of published runs, in which every method comes with
random networks of its own search space: those become the strategy `random` with the option `space`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from nastransfer_nni.report.statistics.checks import row_name
from nastransfer_nni.report.statistics.column_names import (
    ARM,
    ERROR,
    METRIC,
    VALUE,
    meanings,
    require,
    require_distinct,
)
from nastransfer_nni.report.statistics.fields import clean
from nastransfer_nni.report.statistics.percent import Unit
from nastransfer_nni.report.statistics.table import BASELINE
from search_spaces.errors import UserError, unknown

SHORT = ("target", "method", "arm", "run", "top1")
ARMS = ("searched", "random")
SEARCHED_RANDOM = '{"arm":"searched"}'


@dataclass(frozen=True)
class ReadOptions:
    """How a file is read.

    Attributes:
        columns: the file's names of columns, by what they mean; others are found by their names.
        metric: the metric to read, where each row of a file names one.
        unit: the unit of all accuracies.
        target: the target of a table without a column for it.
        upgrade: returns the options of a strategy, as an earlier version called them, by their names of
            today; None to keep them.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    metric: str = ""
    unit: Unit = "found"
    target: str = ""
    upgrade: Callable[[str, Mapping[str, Any]], dict[str, Any]] | None = None


class FullForm(NamedTuple):
    """A table in the full form, all text.

    Attributes:
        rows: the table; columns without a known meaning keep their names.
        names: for each column what the file calls it.
        is_error: whether `top1` holds errors.
        notes: sentences on what was left out.
    """

    rows: pd.DataFrame
    names: dict[str, str]
    is_error: bool
    notes: list[str]


def full_form(raw: pd.DataFrame, options: ReadOptions) -> FullForm:
    """Turn a table in any form into the full form.

    Args:
        raw: the table as text, with the columns of the file.
        options: what is known of the table.

    Raises:
        UserError: a column is missing or has two meanings; the message names it.
    """
    header = [str(name) for name in raw.columns]
    require(header, options.columns)
    found = meanings(header, options.columns)
    notes: list[str] = []
    if METRIC in found.values():
        raw, found, notes = _of_one_metric(raw, found, options.metric)
    elif options.metric:
        raise UserError("the table has no column that names a metric, so --metric has no meaning")
    is_error = ERROR in options.columns or "top1" not in found.values()
    found = {name: meaning for name, meaning in found.items() if meaning != ("top1" if is_error else ERROR)}
    found = {name: "top1" if meaning == ERROR else meaning for name, meaning in found.items()}
    names = {meaning: name for name, meaning in found.items()}
    rows = raw.rename(columns=found)
    require_distinct(rows.columns)
    if "target" not in names and options.target:
        rows = rows.assign(target=options.target)
    if ARM in names:
        rows = _from_short(rows, names)
    elif names.get("strategy", "strategy").lower() != "strategy":
        rows = _with_runs_as_seeds(rows)
    return FullForm(rows, names, is_error, notes)


def _of_one_metric(
    raw: pd.DataFrame, found: Mapping[str, str], wanted: str
) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """The rows of one metric, what the columns mean then, and a note on the other metrics."""
    metric, value = (_name(found, meaning) for meaning in (METRIC, VALUE))
    if not value:
        raise UserError(
            f"column {metric!r} names metrics, but no column has their values; name it by --columns"
        )
    kinds = {name: clean(str(name)) for name in raw[metric].unique()}
    present = list(dict.fromkeys(kinds.values()))
    known = meanings(present)
    accuracies = [name for name in present if known.get(name) == "top1"] or [
        name for name in present if known.get(name) == ERROR
    ]
    if wanted and wanted not in present:
        raise unknown("metric", wanted, present)
    chosen = wanted or next(iter(accuracies), "") or (present[0] if len(present) == 1 else "")
    if not chosen:
        raise UserError(
            f"column {metric!r} has several metrics ({', '.join(present)}); choose one by --metric"
        )
    is_error = meanings([chosen]).get(chosen) == ERROR
    others = [name for name in present if name != chosen]
    notes = [f"Metrics that the report does not use: {', '.join(others)}."] if others else []
    kept = {name: meaning for name, meaning in found.items() if meaning not in (METRIC, VALUE, "top1", ERROR)}
    rows = raw[raw[metric].map(kinds) == chosen].drop(columns=metric).rename(columns={value: chosen})
    return rows, kept | {chosen: ERROR if is_error else "top1"}, notes


def _name(found: Mapping[str, str], meaning: str) -> str:
    return next((name for name, each in found.items() if each == meaning), "")


def _with_runs_as_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """The table with its column `run`, where that numbers runs, as search seeds."""
    if "search_seed" in rows.columns or "run" not in rows.columns:
        return rows
    return (
        rows.rename(columns={"run": "search_seed"}) if rows["run"].str.strip().str.isdecimal().all() else rows
    )


def _from_short(rows: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Turn the short form into the full one: random rows get the option `space`.

    A searched row of a method called random has the option `arm`, without which it would count as a random
    cell.
    """
    if "strategy" not in names:
        raise UserError(f"column 'method' is missing; required are {', '.join(SHORT)}")
    if both := [name for name in ("method", "strategy_options") if name in rows.columns]:
        raise UserError(
            f"the table has the columns {both[0]!r} and 'strategy' beside 'arm'; name the strategy in one of "
            "them"
        )
    methods, arms = rows["strategy"].map(clean), rows[ARM].map(clean).str.lower()
    for row, arm in arms.items():
        if arm not in ARMS:
            raise unknown(f"arm in {row_name(row)}", rows.at[row, ARM], list(ARMS))
    is_random = arms == "random"
    options = [
        json.dumps({"space": method}) if random else SEARCHED_RANDOM if method == BASELINE else ""
        for method, random in zip(methods, is_random, strict=True)
    ]
    full = rows.drop(columns=ARM).assign(
        strategy=methods.mask(is_random & (methods != ""), BASELINE), strategy_options=options, run=""
    )
    return full if "search_seed" in rows.columns else full.assign(search_seed=rows.get("run", ""))

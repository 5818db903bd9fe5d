"""The results table, one row per trained network: reading, checking and splitting it.

Two forms are read. The full form has the columns of `COLUMNS`, of which only `target`, `strategy` and `top1`
are required. The short form `target, method, arm, run, top1` is that of published runs, in which every method
comes with random networks of its own search space; it is converted to the full form by giving those the
strategy `random` with the option `space`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from search_spaces.errors import UserError, unknown

TEXT = ("target", "protocol", "protocol_hash", "strategy", "strategy_options", "source", "proxy")
SEEDS = ("proxy_seed", "search_seed", "train_seed")
NUMBERS = (
    "search_score",
    "source_top1",
    "top1",
    "top5",
    "params",
    "mult_adds",
    "parameter_free_share",
    "search_seconds",
    "search_samples",
    "train_seconds",
)
COLUMNS = (*TEXT, *SEEDS, "genotype", *NUMBERS, "run")
"""The columns of the results table, in order.

Accuracies are in percent and times in seconds. `search_samples` counts images backpropagated in the search;
`parameter_free_share` is the fraction of parameter-free operations.
"""

SHORT = ("target", "method", "arm", "run", "top1")
ARMS = ("searched", "random")
BASELINE = "random"
"""The strategy that draws one cell without a search. With options, such as `candidates`, it is a search."""

MAX_NUMBER = 1e30
"""Largest number that a column may have; it excludes infinity."""
PERCENT = ("top1", "top5", "source_top1")
IDENTITY = (*TEXT, *SEEDS, "genotype")


@dataclass(frozen=True)
class Setting:
    """A target under one training protocol: rows of different settings are never compared.

    Attributes:
        target: data set that the networks are trained and evaluated on.
        protocol: name of the training protocol; may be empty.
        protocol_hash: hash of the protocol's options; may be empty.
    """

    target: str
    protocol: str
    protocol_hash: str

    def __str__(self) -> str:
        protocol = " ".join(filter(None, (self.protocol, self.protocol_hash)))
        return f"{self.target} ({protocol})" if protocol else self.target


def read(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read a results table in either form from a CSV file.

    Returns:
        The table in the full form with the columns of `COLUMNS`, and notes on what was left out of it.

    Raises:
        UserError: the file is no CSV table, or a column or row is wrong; the message names the first.
    """
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path} cannot be read as a CSV table: {' '.join(str(error).split())}") from None
    if not isinstance(raw.index, pd.RangeIndex):
        raise UserError(f"{path}: the rows have more fields than the header has columns")
    raw.columns = [str(column).strip() for column in raw.columns]
    try:
        return check(from_short(raw) if "method" in raw.columns else raw)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def from_short(raw: pd.DataFrame) -> pd.DataFrame:
    """Convert a table of the short form to the full form.

    Returns:
        The columns of the full form that the short form has: `target`, `strategy`, `strategy_options` (JSON
        with the option `space` for random rows), `search_seed` (the run) and `top1`, all text.

    Raises:
        UserError: a column is missing or an arm is neither `searched` nor `random`.
    """
    _require_columns(raw, ("target", "method", "arm", "top1"))
    for row, arm in enumerate(raw["arm"]):
        if arm not in ARMS:
            raise unknown(f"arm in row {row + 2}", arm, list(ARMS))
    is_random = raw["arm"] == "random"
    space = raw["method"].map(lambda method: json.dumps({"space": method}))
    return raw.drop(columns=["method", "arm"]).assign(
        strategy=raw["method"].mask(is_random, BASELINE),
        strategy_options=space.where(is_random, ""),
        search_seed=raw.get("run", ""),
        run="",
    )


def check(raw: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Check a table of the full form and convert its columns to their types.

    Returns:
        The table with the columns of `COLUMNS`, in which missing text and seeds are "" and missing numbers
        NaN, and notes on what was left out of it.

    Raises:
        UserError: a column or row is wrong; the message names the first.
    """
    _require_columns(raw, ("target", "strategy", "top1"))
    table = pd.DataFrame({column: _column(raw, column) for column in COLUMNS})
    notes = []
    if unused := [column for column in raw.columns if column not in COLUMNS]:
        notes.append(f"Columns that the report does not use: {', '.join(unused)}.")
    for column in ("target", "strategy"):
        if (is_empty := table[column] == "").any():
            raise UserError(f"row {int(is_empty.to_numpy().argmax()) + 2} has no {column}")
    table["strategy_options"] = table["strategy_options"].map(_canonical_options)
    if (has_no_top1 := table["top1"].isna()).any():
        notes.append(f"Rows left out because they have no top1: {int(has_no_top1.sum())}.")
        table = table[~has_no_top1]
    if table.empty:
        raise UserError("the table has no row with a top1")
    if len(table) > 1 and table["top1"].max() <= 1:
        raise UserError("every top1 is 1 or less; accuracies must be in percent (0 to 100)")
    _refuse_repeated_runs(table)
    return table.reset_index(drop=True), notes


def settings(table: pd.DataFrame) -> Iterator[tuple[Setting, pd.DataFrame]]:
    """The settings of the table with their rows, in the order of the table."""
    columns = ["target", "protocol", "protocol_hash"]
    for key, rows in table.groupby(columns, sort=False):
        yield Setting(*map(str, key)), rows


def target_names(settings: Iterable[Setting]) -> dict[Setting, str]:
    """The target of each setting, together with its protocol if the target occurs under several."""
    distinct = dict.fromkeys(settings)
    targets = [setting.target for setting in distinct]
    return {
        setting: setting.target if targets.count(setting.target) == 1 else str(setting)
        for setting in distinct
    }


def place_name(source: str, proxy: str) -> str:
    """Source and proxy in one name, such as `cifar10 / classes:5`; empty if both are."""
    return " / ".join(filter(None, (source, proxy)))


def label(strategy: str, options: str) -> str:
    """A strategy's name with its non-default options, such as `darts (order=2)`.

    Args:
        strategy: name of the strategy.
        options: non-default options of the strategy as a JSON object; other text is shown as it is.
    """
    if not options:
        return strategy
    values = _parse_options(options)
    if values is None:
        return f"{strategy} ({options})"
    return f"{strategy} ({', '.join(f'{name}={_plain(value)}' for name, value in values.items())})"


def is_baseline(table: pd.DataFrame) -> pd.Series[bool]:
    """Whether each row is a random cell: for all strategies, or for the one that the option `space` names."""
    own = table["strategy_options"].str.fullmatch(r'\{"space":"[^"]*"\}')
    return (table["strategy"] == BASELINE) & ((table["strategy_options"] == "") | own)


def baseline_of(rows: pd.DataFrame, strategy: str) -> pd.DataFrame:
    """The random rows that `strategy` is compared with: those of its own space, or else the common pool.

    A cell that is listed for several sources or proxies is one cell of the pool: it counts once per training.

    Args:
        rows: rows of one setting.
        strategy: name of the strategy without options.
    """
    random = rows[rows["strategy"] == BASELINE]
    own = random[random["strategy_options"] == _canonical_options(json.dumps({"space": strategy}))]
    pool = own if len(own) else random[random["strategy_options"] == ""]
    known = (pool["search_seed"] != "") | (pool["genotype"] != "")
    return pool[~(pool.duplicated(["search_seed", "genotype", "train_seed"]) & known)]


def _require_columns(raw: pd.DataFrame, columns: tuple[str, ...]) -> None:
    if repeated := raw.columns[raw.columns.duplicated()].tolist():
        raise UserError(f"column {repeated[0]!r} occurs more than once")
    for column in columns:
        if column not in raw.columns:
            raise UserError(
                f"column {column!r} is missing; required are target, strategy, top1 or {', '.join(SHORT)}"
            )


def _column(raw: pd.DataFrame, column: str) -> pd.Series[Any]:
    if column not in raw.columns:
        return pd.Series(float("nan") if column in NUMBERS else "", index=raw.index)
    text = raw[column].astype(object).where(raw[column].notna(), "").map(str).str.strip()
    if column in SEEDS:
        return text.str.replace(r"\.0$", "", regex=True)  # an integer column with gaps is written as floats
    if column not in NUMBERS:
        return text
    numbers = pd.to_numeric(text.replace("", "nan"), errors="coerce")
    high = 100.0 if column in PERCENT else MAX_NUMBER
    low = -MAX_NUMBER if column == "search_score" else 0.0
    is_missing = text.str.lower().isin(["", "nan", "none"])
    is_wrong = (numbers.isna() & ~is_missing) | (numbers < low) | (numbers > high)
    if is_wrong.any():
        row = int(is_wrong.to_numpy().argmax())
        limits = "0 to 100, in percent" if column in PERCENT else "0 or more" if low == 0 else "any number"
        raise UserError(f"row {row + 2}: {column} is {text.iloc[row]!r}; allowed: {limits}")
    return numbers


def _parse_options(text: str) -> dict[str, Any] | None:
    """The options in a JSON object; None if the text is no JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # of the json module, for text that is no JSON
        return None
    return value if isinstance(value, dict) else None


def _canonical_options(text: str) -> str:
    """The same text for equal options; empty without options."""
    values = _parse_options(text)
    if values is None:
        return text
    return json.dumps(values, sort_keys=True, separators=(",", ":")) if values else ""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _refuse_repeated_runs(table: pd.DataFrame) -> None:
    """Refuse a run that is listed twice and would count as two. Only rows with a search seed can tell."""
    seeded = table[table["search_seed"] != ""]
    repeated = seeded[seeded.duplicated(list(IDENTITY), keep=False)]
    if len(repeated):
        first = repeated.iloc[0]
        is_same = (repeated[list(IDENTITY)] == first[list(IDENTITY)]).all(axis=1)
        lines = [int(row) + 2 for row in repeated.index[is_same][:2]]
        name = label(first["strategy"], first["strategy_options"])
        raise UserError(
            f"rows {lines[0]} and {lines[1]} are the same run "
            f"({first['target']}, {name}, seed {first['search_seed']}); list it once"
        )

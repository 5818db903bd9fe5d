"""The results table: a row a trained network; read from a CSV, checked, split into what may be compared.

Two forms are read. The full form has the columns of `COLUMNS`, or those of them that it has. The short form
`target, method, arm, run, top1` is that of published runs, where every method comes with random networks of
its own space; it becomes the full form by naming those `random` with the option `space`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
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
"""The results table's columns, in order. top1 and top5 in percent, time in seconds."""

SHORT = ("target", "method", "arm", "run", "top1")
ARMS = ("searched", "random")
BASELINE = "random"
"""The strategy that draws one cell and does not search; with the option `samples` it is a search."""

PERCENT = ("top1", "top5", "source_top1")
IDENTITY = (*TEXT, *SEEDS, "genotype")


@dataclass(frozen=True)
class Setting:
    """What rows must share to be compared: the same target under the same training protocol."""

    target: str
    protocol: str
    protocol_hash: str

    def __str__(self) -> str:
        protocol = " ".join(filter(None, (self.protocol, self.protocol_hash)))
        return f"{self.target} ({protocol})" if protocol else self.target


def read(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read a results table from the CSV file `path`.

    Returns:
        The table in the full form, and remarks on what was left out of it.

    Raises:
        UserError: names the first column or row that does not fit.
    """
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path} cannot be read as a CSV table: {' '.join(str(error).split())}") from None
    raw.columns = [str(column).strip() for column in raw.columns]
    try:
        return check(from_short(raw) if "method" in raw.columns else raw)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def from_short(raw: pd.DataFrame) -> pd.DataFrame:
    """The full form of a table in the short form.

    Raises:
        UserError: a column is missing or an arm unknown.
    """
    _need(raw, ("target", "method", "arm", "top1"))
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
    """Bring a table of the full form to its columns and types, and refuse what cannot be right.

    Text and seeds that are missing become "", numbers NaN.

    Returns:
        The table and remarks on what was left out of it.

    Raises:
        UserError: names the first column or row that does not fit.
    """
    _need(raw, ("target", "strategy", "top1"))
    table = pd.DataFrame({column: _column(raw, column) for column in COLUMNS})
    remarks = []
    if strangers := [column for column in raw.columns if column not in COLUMNS]:
        remarks.append(f"Columns that the report does not use: {', '.join(strangers)}.")
    for column in ("target", "strategy"):
        if (empty := table[column] == "").any():
            raise UserError(f"row {int(empty.to_numpy().argmax()) + 2} has no {column}")
    table["strategy_options"] = table["strategy_options"].map(_canonical_options)
    if (empty_top1 := table["top1"].isna()).any():
        remarks.append(f"Rows left out because they have no top1: {int(empty_top1.sum())}.")
        table = table[~empty_top1]
    if table.empty:
        raise UserError("the table has no row with a top1")
    if len(table) > 1 and table["top1"].max() <= 1:
        raise UserError("every top1 is 1 or less; accuracies must be in percent (0 to 100)")
    _refuse_repeated(table)
    return table.reset_index(drop=True), remarks


def settings(table: pd.DataFrame) -> Iterator[tuple[Setting, pd.DataFrame]]:
    """The parts of the table within which rows may be compared, in the table's order."""
    columns = ["target", "protocol", "protocol_hash"]
    for key, rows in table.groupby(columns, sort=False):
        yield Setting(*map(str, key)), rows


def label(strategy: str, options: str) -> str:
    """A strategy's name with its non-default options: rows with other options are another strategy."""
    if not options:
        return strategy
    try:
        pairs = json.loads(options)
        text = ", ".join(f"{name}={_plain(value)}" for name, value in pairs.items())
    except (ValueError, AttributeError):
        text = options
    return f"{strategy} ({text})"


def is_baseline(table: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are random baselines: of all strategies, or of the one that the option `space` names."""
    own = table["strategy_options"].str.fullmatch(r'\{"space":"[^"]*"\}')
    return (table["strategy"] == BASELINE) & ((table["strategy_options"] == "") | own)


def baseline_of(rows: pd.DataFrame, strategy: str) -> pd.DataFrame:
    """The random rows that `strategy` is compared with: those of its own space, or else the common pool.

    A cell that several sources or proxies list is one cell of the pool: it counts once per training.
    """
    random = rows[rows["strategy"] == BASELINE]
    own = random[random["strategy_options"] == _canonical_options(json.dumps({"space": strategy}))]
    pool = own if len(own) else random[random["strategy_options"] == ""]
    known = (pool["search_seed"] != "") | (pool["genotype"] != "")
    return pool[~(pool.duplicated(["search_seed", "genotype", "train_seed"]) & known)]


def _need(raw: pd.DataFrame, columns: tuple[str, ...]) -> None:
    for column in columns:
        if column not in raw.columns:
            raise UserError(
                f"column {column!r} is missing; needed are target, strategy, top1 or {', '.join(SHORT)}"
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
    high = 100.0 if column in PERCENT else float("inf")
    low = float("-inf") if column == "search_score" else 0.0
    wrong = (
        (numbers.isna() & ~text.str.lower().isin(["", "nan", "none"])) | (numbers < low) | (numbers > high)
    )
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        limits = "0 to 100, in percent" if column in PERCENT else "0 or more" if low == 0 else "any number"
        raise UserError(f"row {row + 2}: {column} is {text.iloc[row]!r}; allowed: {limits}")
    return numbers


def _canonical_options(text: str) -> str:
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return text
    if not isinstance(value, dict):
        return text
    return json.dumps(value, sort_keys=True, separators=(",", ":")) if value else ""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _refuse_repeated(table: pd.DataFrame) -> None:
    """A run listed twice would count as two: refuse it where the seeds tell that it is one."""
    told = table["search_seed"] != ""
    again = table[told].duplicated(list(IDENTITY), keep=False)
    if again.any():
        twins = table[told][again]
        first = twins.iloc[0]
        same = (twins[list(IDENTITY)] == first[list(IDENTITY)]).all(axis=1)
        lines = [int(row) + 2 for row in twins.index[same][:2]]
        name = label(first["strategy"], first["strategy_options"])
        raise UserError(
            f"rows {lines[0]} and {lines[1]} are the same run "
            f"({first['target']}, {name}, seed {first['search_seed']}); list it once"
        )

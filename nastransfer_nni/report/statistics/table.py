"""The results table, one row per trained network: its columns, and what its rows are compared by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from nastransfer_nni.report.statistics.fields import clean
from strategies import STRATEGIES

TEXT = ("target", "protocol", "protocol_hash", "strategy", "strategy_options", "source", "proxy")
SEEDS = ("proxy_seed", "search_seed", "train_seed")
COUNTS_SINCE_0_2 = ("search_forward_samples", "proxy_seconds", "proxy_samples", "proxy_forward_samples")
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
    *COUNTS_SINCE_0_2,
    "train_seconds",
)
COLUMNS = (*TEXT, *SEEDS, "genotype", *NUMBERS, "run", "proxy_fingerprint")
"""The columns of the results table, in order.

Draws of a proxy with equal fingerprints are one draw.

Accuracies are in percent and times in seconds. `search_samples` counts images backpropagated in the search,
`search_forward_samples` those that it passed without a gradient; `proxy_seconds`, `proxy_samples` and
`proxy_forward_samples` are what the scorers of the proxy took besides. `parameter_free_share` is the fraction
of parameter-free operations.
"""

ADDED = ("proxy_fingerprint", *COUNTS_SINCE_0_2)
"""Columns that tables of earlier versions do not have."""

BASELINE = "random"
"""The strategy that draws one cell without a search. With options, such as `candidates`, it is a search."""


@dataclass(frozen=True)
class Setting:
    """A target under one training protocol: rows of different settings are never compared.

    Attributes:
        target: data set that the networks are trained and evaluated on.
        protocol: name of the training protocol; may be empty.
        protocol_hash: hash of the protocol's options; may be empty.
        name: how the report calls it; no two settings of a table have the same.
    """

    target: str
    protocol: str
    protocol_hash: str
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.target


def settings(table: pd.DataFrame) -> Iterator[tuple[Setting, pd.DataFrame]]:
    """The settings of the table with their rows, in the order of the table.

    A setting's name has no more than it needs to differ from the table's others: the target with the name of
    the protocol, and its hash if the target occurs under several protocols of one name.
    """
    parts = [
        (tuple(map(str, key)), rows)
        for key, rows in table.groupby(["target", "protocol", "protocol_hash"], sort=False)
    ]
    short = [_setting_name(target, protocol or code) for (target, protocol, code), _ in parts]
    for (key, rows), name in zip(parts, short, strict=True):
        target, protocol, code = key
        is_unique = short.count(name) == 1
        full = _setting_name(target, " ".join(filter(None, (protocol, code))))
        yield Setting(target, protocol, code, name if is_unique else full), rows


def _setting_name(target: str, protocol: str) -> str:
    return f"{target}, protocol {protocol}" if protocol else target


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

    Options by which the strategy says that it is named stand before them, such as the score of `score`.

    Args:
        strategy: name of the strategy.
        options: non-default options of the strategy as a JSON object; other text is shown as it is.
    """
    if not options:
        return strategy
    values = parse_options(options)
    if values is None:
        return f"{strategy} ({options})"
    shown = {**_named_by(strategy), **values}
    return clean(f"{strategy} ({', '.join(f'{name}={_plain(value)}' for name, value in shown.items())})")


@cache
def _named_by(strategy: str) -> Mapping[str, Any]:
    """The options that name a strategy's uses, with their defaults; none for strategies not known here."""
    if strategy not in STRATEGIES:
        return {}
    options = STRATEGIES[strategy].options
    return {name: options.model_fields[name].default for name in options.named_by}


def space_of(options: str) -> str | None:
    """The strategy whose space a random cell with these options was drawn from; None for other options.

    It is empty without options: such a cell is compared with every strategy.
    """
    values = parse_options(options) if options else {}
    if values == {}:
        return ""
    space = values.get("space") if values and len(values) == 1 else None
    return space if isinstance(space, str) else None


def is_baseline(table: pd.DataFrame) -> pd.Series[bool]:
    """Whether each row is a random cell: for all strategies, or for the one that the option `space` names."""
    return (table["strategy"] == BASELINE) & (_spaces(table).notna())


def baseline_of(rows: pd.DataFrame, strategy: str) -> pd.DataFrame:
    """The random rows that `strategy` is compared with: those of its own space, or else the common pool.

    A cell that is listed for several sources or proxies is one cell of the pool: it counts once per training.

    Args:
        rows: rows of one setting.
        strategy: name of the strategy without options.
    """
    random = rows[rows["strategy"] == BASELINE]
    spaces = _spaces(random)
    own = random[spaces == strategy]
    pool = own if len(own) else random[spaces == ""]
    known = (pool["search_seed"] != "") | (pool["genotype"] != "")
    return pool[~(pool.duplicated(["search_seed", "genotype", "train_seed"]) & known)]


def _spaces(table: pd.DataFrame) -> pd.Series[Any]:
    """For each row the space that its options name, as `space_of` returns it."""
    known = {text: space_of(text) for text in table["strategy_options"].unique()}
    return pd.Series([known[text] for text in table["strategy_options"]], index=table.index, dtype=object)


def parse_options(text: str) -> dict[str, Any] | None:
    """The content of a JSON object, its names and texts made comparable; None if the text is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # of the json module, for text that is no JSON and for long numbers
        return None
    return _cleaned(value) if isinstance(value, dict) else None


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {clean(name): _cleaned(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_cleaned(inner) for inner in value]
    return clean(value) if isinstance(value, str) else value


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

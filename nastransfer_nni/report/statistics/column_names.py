"""What the columns of a table mean that was not made for a report: `algorithm`, `Top-1 (%)`, `test_err`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

from nastransfer_nni.report.statistics.fields import clean
from nastransfer_nni.report.statistics.table import COLUMNS
from search_spaces.errors import UserError, unknown

ERROR, ARM, METRIC, VALUE = "error", "arm", "metric", "value"
"""Columns that a table may have instead of or beside those of a results table."""

PERCENT_SIGN = re.compile(r"[(\[]\s*(in\s+)?(%|pct|percent)\s*[)\]]|%|[\s_-](pct|percent)$", re.IGNORECASE)
"""How a heading says that its numbers are in percent."""

_PARTS = ("test", "", "final", "eval", "val", "valid", "validation")
"""What parts of the data an accuracy may be measured on, the one that counts first."""


def _measured(names: Iterable[str]) -> tuple[str, ...]:
    """The names with each part of the data before and behind them, in the order of preference."""
    pairs = product(_PARTS, names)
    return tuple(dict.fromkeys(form for part, name in pairs for form in _forms(part, name)))


def _forms(part: str, name: str) -> Iterator[str]:
    yield from (f"{part}_{name}", f"{name}_{part}") if part else (name,)


ALIASES: Mapping[str, tuple[str, ...]] = {
    "target": ("dataset", "data_set", "target_dataset", "task", "benchmark", "data"),
    "strategy": (
        "method",
        "algorithm",
        "algo",
        "nas_method",
        "search_method",
        "search_algorithm",
        "search_strategy",
        "searcher",
        "approach",
        "optimizer",
        "optimiser",
        "model",
    ),
    "strategy_options": ("options", "hyperparameters", "hparams"),
    "protocol": ("training_protocol", "recipe"),
    "source": ("source_dataset", "search_dataset", "proxy_dataset"),
    "proxy": ("proxy_name", "subset"),
    "proxy_seed": ("proxy_draw", "draw", "subset_seed"),
    "search_seed": ("seed", "run_id", "trial", "repetition", "repeat", "rep", "replicate"),
    "train_seed": ("training_seed", "retrain_seed", "evaluation_seed", "eval_seed"),
    "genotype": ("architecture", "arch", "arch_str", "cell"),
    "top1": _measured(
        (
            "top_1",
            "top1_acc",
            "top1_accuracy",
            "top_1_acc",
            "top_1_accuracy",
            "acc1",
            "acc_1",
            "acc",
            "accuracy",
            "top1",
        )
    ),
    ERROR: _measured(
        ("top1_error", "top1_err", "top_1_error", "top_1_err", "err1", "err", "error", "error_rate")
    ),
    "top5": _measured(
        ("top_5", "top5_acc", "top5_accuracy", "top_5_acc", "top_5_accuracy", "acc5", "acc_5", "top5")
    ),
    "source_top1": ("source_acc", "source_accuracy", "source_top_1", "source_top1_acc"),
    "params": ("parameters", "n_params", "num_params", "num_parameters", "param_count"),
    "mult_adds": ("multadds", "multiply_adds", "madds", "macs"),
    "search_seconds": ("search_time_s", "search_time_seconds"),
    "train_seconds": ("train_time_s", "training_seconds", "training_time_s", "training_time_seconds"),
    METRIC: ("metric_name", "measure"),
    VALUE: ("metric_value", "result", "score"),
}
"""Other names of each column, in small letters with single underscores; an earlier one is preferred."""

MEANINGS = (*COLUMNS, ERROR, ARM, METRIC, VALUE)


def meanings(header: Sequence[str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the columns of a table mean.

    A name of the results table means itself, in upper and lower case. Other names are those of `ALIASES`,
    where blanks, signs and a unit in percent do not matter.

    Args:
        header: names of the columns.
        given: names of columns for some of the meanings; they come first.

    Returns:
        For each column that is known, the meaning; no two columns have the same, unless they have one name.
    """
    found = {name: meaning for meaning, name in (given or {}).items() if name in header}
    for meaning in MEANINGS:
        if meaning not in (given or {}) and (name := _column(meaning, header, found)):
            found[name] = meaning
    if VALUE in found.values() and METRIC not in found.values():  # "score" alone says nothing
        found = {name: meaning for name, meaning in found.items() if meaning != VALUE}
    return found


def _column(meaning: str, header: Sequence[str], taken: Mapping[str, str]) -> str:
    """The first column of the header that has the meaning; empty if none has."""
    free = [name for name in header if name and name not in taken]
    exact = [name for name in free if name.lower() == meaning]
    plain = {normal(name): name for name in reversed(free) if name.lower() not in MEANINGS}
    others = [plain[alias] for alias in (meaning, *ALIASES.get(meaning, ())) if alias in plain]
    return next(iter([*exact, *others]), "")


def normal(name: str) -> str:
    """A column's name in small letters and single underscores, without a unit in percent."""
    return re.sub(r"[\W_]+", "_", PERCENT_SIGN.sub("", name).lower()).strip("_")


def is_percent(name: str) -> bool:
    """Whether the name of a column says that its numbers are in percent."""
    return PERCENT_SIGN.search(name) is not None


def require_distinct(header: Iterable[str]) -> None:
    """Refuse a table in which two columns have one name.

    Raises:
        UserError: names the first of them.
    """
    seen: set[str] = set()
    for name in header:
        if name in seen:
            raise UserError(f"column {name!r} occurs more than once")
        seen.add(name)


def parse(text: str) -> dict[str, str]:
    """The meanings in a text such as `strategy=algo,top1=test acc`, as columns by meaning.

    Raises:
        UserError: the text has another form, or names no column of a results table.
    """
    given = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        meaning, separator, name = (clean(word) for word in part.partition("="))
        if not (separator and meaning and name):
            raise UserError("give pairs such as strategy=algorithm,top1=test_acc")
        if meaning not in MEANINGS:
            raise unknown("column of a results table", meaning, MEANINGS)
        given[meaning] = name
    return given


def require(header: Sequence[str], given: Mapping[str, str]) -> None:
    """Refuse names of columns that the table does not have.

    Raises:
        UserError: names the first.
    """
    for name in given.values():
        if name not in header:
            raise unknown("column", name, list(header))

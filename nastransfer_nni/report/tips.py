"""What the dots of a figure tell on the page: the runs behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nastransfer_nni.architecture.drawing import title
from nastransfer_nni.report.best_cells import read_genotype
from nastransfer_nni.report.names import Names
from nastransfer_nni.report.statistics.correlation import Correlation
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.table import label

MAX_RUNS = 8
"""Networks of an arm that a dot lists."""
MAX_DOTS = 500
"""Dots of a figure from which on they tell nothing: the page would be slow."""


def of_arm(name: str, numbers: str, rows: pd.DataFrame) -> str:
    """An arm of a comparison: its name, its numbers, and the top-1 of each of its networks.

    Args:
        name: strategy and proxy.
        numbers: what the dot stands for.
        rows: rows of the arm in the results table.
    """
    ordered = rows.sort_values("top1", ascending=False)
    runs = [
        ", ".join(filter(None, [f"{row['top1']:.2f}%", _seeds(row)]))
        for row in ordered.head(MAX_RUNS).to_dict("records")
    ]
    more = [f"and {len(rows) - MAX_RUNS} more"] if len(rows) > MAX_RUNS else []
    return "\n".join([name, numbers, *(f"top-1 {run}" for run in runs), *more])


def of_arms(findings: Findings, names: Names, numbers: Mapping[tuple[str, str, str], str]) -> list[str]:
    """The dots of some arms.

    Args:
        findings: the statistics.
        names: short names.
        numbers: for the setting, proxy with its source, and strategy of an arm what its dot stands for.
    """
    arms = {(str(each.setting), each.place, each.strategy): each.rows for each in findings.comparisons}
    return [
        of_arm(names.who(key[2], key[1]), text, arms[key])
        if key in arms
        else f"{names.who(key[2], key[1])}\n{text}"
        for key, text in numbers.items()
    ]


def of_cells(findings: Findings, result: Correlation, names: Names) -> list[str]:
    """The dots of source against target accuracy, each a cell; empty where there are too many."""
    if len(result.cells) > MAX_DOTS:
        return []
    setting, table = result.setting, findings.table
    rows = table[
        (table["target"] == setting.target)
        & (table["protocol"] == setting.protocol)
        & (table["protocol_hash"] == setting.protocol_hash)
        & (table["source"] == result.source)
    ]
    strategies = [label(*pair) for pair in zip(rows["strategy"], rows["strategy_options"], strict=True)]
    cells = rows["genotype"].where(rows["genotype"] != "", rows["search_seed"] + "\0" + rows["proxy_seed"])
    runs = {
        _key(str(strategy), part["source_top1"].mean(), part["top1"].mean()): part
        for (strategy, _), part in rows.groupby([pd.Series(strategies, rows.index), cells], sort=False)
    }
    return [
        _of_cell(cell, runs.get(_key(cell["strategy"], cell["source_top1"], cell["top1"])), names)
        for cell in result.cells.to_dict("records")
    ]


def of_networks(name: str, rows: pd.DataFrame, top1: Sequence[float]) -> list[str]:
    """The dots of an arm whose every network is one; those of equal accuracy tell of all of them.

    Args:
        name: strategy and proxy.
        rows: rows of the arm in the results table.
        top1: accuracy of each dot, in percent.
    """
    if len(top1) > MAX_DOTS:
        return []
    runs = {f"{value:.6f}": part for value, part in rows.groupby("top1")}
    return ["\n".join([name, f"top-1 {value:.2f}%", *_runs(runs.get(f"{value:.6f}"))]) for value in top1]


def _key(strategy: str, source_top1: float, top1: float) -> tuple[str, str, str]:
    return strategy, f"{source_top1:.6f}", f"{top1:.6f}"


def _of_cell(cell: Mapping[Any, Any], rows: pd.DataFrame | None, names: Names) -> str:
    numbers = f"top-1 {cell['top1']:.2f}% on the target, {cell['source_top1']:.2f}% on the source"
    strategy = str(cell["strategy"])
    name = names.who(strategy, "") if rows is None else names.of(dict(rows.iloc[0]) | {"strategy": strategy})
    return "\n".join([name, numbers, *_runs(rows)])


def _runs(rows: pd.DataFrame | None) -> list[str]:
    """Seeds of some runs of one cell, and the cell."""
    if rows is None:
        return []
    seeds = list(dict.fromkeys(_seeds(row) for row in rows.head(MAX_RUNS).to_dict("records")))
    cells = rows["genotype"].unique()
    genotype = read_genotype(cells[0]) if len(cells) == 1 and cells[0] else None
    kinds = genotype.kinds if genotype else ()
    drawn = [
        f"{title(kind)}: {', '.join(f'{name} {state}' for name, state in genotype.edges(kind))}"
        for kind in kinds
        if genotype
    ]
    return [*filter(None, seeds), *drawn]


def _seeds(row: Mapping[Any, Any]) -> str:
    """The seeds of a run in words."""
    known = (("proxy", "proxy_seed"), ("search", "search_seed"), ("training", "train_seed"))
    seeds = ", ".join(f"{what} {row[name]}" for what, name in known if row[name] != "")
    return f"seeds: {seeds}" if seeds else ""

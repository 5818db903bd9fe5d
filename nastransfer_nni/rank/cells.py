"""Reading cells of known accuracy: a CSV or JSON file, or the finished transfers of a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nastransfer_nni.architecture import file
from nastransfer_nni.base.paths import expanded
from nastransfer_nni.base.reading import parse_json, read_json
from nastransfer_nni.report.collect import collect
from nastransfer_nni.report.statistics import column_names, csv_file, fields
from nastransfer_nni.report.statistics.column_names import ERROR
from nastransfer_nni.report.statistics.estimate import Floats
from nastransfer_nni.report.statistics.reliability import mean_squares
from nastransfer_nni.report.statistics.table import label, settings
from search_spaces import AbstractGenotype, Space, registry
from search_spaces.errors import UserError, unknown

MIN_CELLS = 5
"""Distinct cells below which nothing is ranked: the variance of tau needs more than four."""
MEANINGS = ("genotype", "top1", ERROR, "strategy", "target")

_CURVE = re.compile(r"(?:.*_)?epoch_?(\d+)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class KnownCells:
    """Distinct cells with their accuracies.

    Attributes:
        genotypes: the cells.
        top1: accuracy in percent, mean over the trainings of a cell, float64 [cells].
        trainings: number of trainings of each cell, int64 [cells].
        strategies: what found each cell, [cells]; the cells of one strategy resemble each other.
        curves: accuracy in percent after so many epochs of the same trainings, float64 [cells] by epoch.
        noise: standard deviation between trainings of one cell, in points, from cells with several; None
            without any.
    """

    genotypes: tuple[AbstractGenotype, ...]
    top1: Floats
    trainings: np.ndarray
    strategies: tuple[str, ...]
    curves: Mapping[int, Floats]
    noise: float | None

    @property
    def space(self) -> Space:
        """The search space that all cells are of.

        Raises:
            UserError: they are of several.
        """
        spaces = {space.text: space for space in map(registry.space_of, self.genotypes)}
        for space in spaces.values():
            if all(
                isinstance(each, space.genotype_class) and space.contains(each) for each in self.genotypes
            ):
                return space
        raise UserError(f"has cells of several search spaces: {', '.join(spaces)}")


def read(path: str, columns: str = "", target: str = "") -> KnownCells:
    """Read cells of known accuracy.

    Args:
        path: a folder of finished transfers, or a CSV or JSON file.
        columns: columns of a file by what they mean, such as `genotype=arch,top1=test_acc`.
        target: target of the accuracies, where there are several.

    Raises:
        UserError: the file is no such table, an architecture or accuracy in it cannot be read, there are
            several targets or training protocols, or fewer than `MIN_CELLS` distinct cells.
    """
    found = expanded(path)
    try:
        rows = _of_folder(found) if found.is_dir() else _of_file(found, columns)
        rows = _of_one_target(rows, target)
        return _grouped(rows)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _of_folder(folder: Path) -> pd.DataFrame:
    rows = collect(folder).rows
    several = [str(setting) for setting, _ in settings(rows)]
    by_target = rows.groupby("target")["protocol_hash"].nunique()
    if (by_target > 1).any():
        raise UserError(f"has transfers by several protocols ({', '.join(several)}); name a folder with one")
    names = [label(*pair) for pair in zip(rows["strategy"], rows["strategy_options"], strict=True)]
    return pd.DataFrame(
        {
            "genotype": [registry.genotype_of_dict(parse_json(text)) for text in rows["genotype"]],
            "top1": rows["top1"].astype(float),
            "strategy": names,
            "target": rows["target"],
        }
    )


def _of_file(path: Path, columns: str) -> pd.DataFrame:
    """The rows of a file: `genotype`, `top1` in percent, `strategy`, `target`, and `epoch N`."""
    given = column_names.parse(columns)
    is_json = path.suffix.lower() == ".json"
    table = (
        _of_json(path)
        if is_json
        else csv_file.read(path, lambda names: _meanings(names, given), _NUMBERS, ())[0]
    )
    column_names.require(list(table.columns), given)
    meanings = _meanings(list(table.columns), given)
    table = table[list(meanings)].rename(columns=meanings)
    accuracy = "top1" if "top1" in table else ERROR
    if "genotype" not in table or accuracy not in table:
        missing = "genotype" if "genotype" not in table else "top1"
        raise UserError(
            f"has no column {missing}; name it, as in --columns genotype=architecture,top1=accuracy"
        )
    table = table[[number is None or number == number for number in map(fields.number, table[accuracy])]]
    numbers = {
        name: _numbers(table, name) for name in table.columns if name in _NUMBERS or name.startswith("epoch ")
    }
    if numbers[accuracy].max() <= 1:  # fractions
        numbers = {name: 100 * values for name, values in numbers.items()}
    if accuracy == ERROR:
        numbers["top1"] = 100 - numbers.pop(ERROR)
    texts = {name: table.get(name, "") for name in ("strategy", "target")}
    genotypes = [_genotype(text, row) for row, text in table["genotype"].items()]
    return pd.DataFrame(
        {**numbers, **texts, "genotype": pd.Series(genotypes, index=table.index, dtype=object)}
    )


_NUMBERS = ("top1", ERROR)


def _meanings(header: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """The columns that are used, with their meanings: those of a results table, and `epoch N`.

    Raises:
        UserError: two columns are accuracies after the same epoch.
    """
    known = {name: means for name, means in column_names.meanings(header, given).items() if means in MEANINGS}
    curves: dict[str, str] = {}
    for name in header:
        if name not in known and (match := _CURVE.fullmatch(name.strip())):
            epoch = f"epoch {int(match[1])}"
            if epoch in curves:
                raise UserError(
                    f"both {curves[epoch]} and {name} are of {epoch}; keep one of the two columns"
                )
            curves[epoch] = name
    return known | {name: epoch for epoch, name in curves.items()}


def _of_json(path: Path) -> pd.DataFrame:
    """The objects of a JSON list as text, as a CSV file has it."""
    value = read_json(path, "cells")
    entries = value.get("cells") if isinstance(value, dict) else value
    if not (isinstance(entries, list) and entries and all(isinstance(entry, dict) for entry in entries)):
        raise UserError("must hold a list of objects with genotype and top1")
    return pd.DataFrame([{name: _as_text(each) for name, each in entry.items()} for entry in entries]).fillna(
        ""
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _numbers(table: pd.DataFrame, column: str) -> pd.Series[float]:
    found = table[column].map(fields.number)
    if (is_bad := found.isna() & table[column].map(lambda text: fields.number(text) is None)).any():
        row = table.index[is_bad][0]
        raise UserError(f"row {row + 2}: {column} is {table.loc[row, column]!r}, which is no number")
    return found.astype(float)


def _genotype(text: str, row: Any) -> AbstractGenotype:
    try:
        value = parse_json(text) if text.lstrip().startswith("{") else None
        if isinstance(value, dict) and "genotype" not in value:
            return registry.genotype_of_dict(value)
        return (file.read(text.strip()) if value is None else file.from_dict(value, name="")).genotype
    except UserError as error:
        raise UserError(f"row {int(row) + 2}: {error}") from None


def _of_one_target(rows: pd.DataFrame, target: str) -> pd.DataFrame:
    names = list(dict.fromkeys(rows["target"]))
    if target and target not in names:
        raise unknown("target", target, [name for name in names if name] or ["none: leave out --target"])
    if not target and len(names) > 1:
        raise UserError(f"has accuracies on several targets; --target chooses one: {', '.join(names)}")
    return rows[rows["target"] == (target or names[0])] if names else rows


def _grouped(rows: pd.DataFrame) -> KnownCells:
    """Distinct cells; what is listed several times counts as several trainings."""
    keys = pd.Series([str(genotype) for genotype in rows["genotype"]], index=rows.index)
    cells = rows.groupby(keys, sort=False)
    if len(cells) < MIN_CELLS:
        raise UserError(f"has {len(cells)} distinct cells of known accuracy; a ranking needs {MIN_CELLS}")
    squares = mean_squares(rows["top1"], pd.Series("", index=rows.index), keys)
    curves = [name for name in rows.columns if name.startswith("epoch ")]
    return KnownCells(
        genotypes=tuple(cells["genotype"].first()),
        top1=cells["top1"].mean().to_numpy(float),
        trainings=cells["top1"].count().to_numpy(),
        strategies=tuple(cells["strategy"].first()),
        curves={
            int(name.split()[1]): cells[name].mean().to_numpy(float)
            for name in sorted(curves, key=lambda name: int(name.split()[1]))
        },
        noise=float(np.sqrt(squares.within)) if squares.within > 0 else None,
    )

"""Reading and checking a table of measured networks."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow

from nastransfer_nni.base.reading import read_json, read_yaml
from nastransfer_nni.tabular.design import Measure, TableStudy, Unit
from nastransfer_nni.tabular.spaces import SPACES
from search_spaces.errors import UserError, unknown

CELL, GROUP = "cell", "group"
FIRST_ROW = 2
"""Number of the first row in a spreadsheet, below the header."""
JOINT = " "
"""What joins the columns that name a network together."""


@dataclass(frozen=True, eq=False)
class Networks:
    """The networks of a table.

    Attributes:
        frame: one row per network, with its name in `CELL`, its group in `GROUP` (empty without groups), and
            the columns of the measurements; accuracies are in percent, whatever they are in the file.
        notes: sentences on what was left out.
        sha256: hash of the file.
    """

    frame: pd.DataFrame
    notes: list[str]
    sha256: str

    def __len__(self) -> int:
        return len(self.frame)

    def mean(self, measure: Measure) -> pd.Series[float]:
        """A measurement of every network, the mean of those that were repeated."""
        return self.frame[list(measure.columns)].mean(axis=1)

    def tested(self, measure: Measure) -> pd.Series[float]:
        """Accuracy of every network on the source, for a proxy."""
        return self.frame[list(measure.tested or measure.columns)].mean(axis=1)

    def sizes(self, study: TableStudy) -> pd.DataFrame:
        """Parameters and multiply-adds of every network, where they are known: `params` and `mult_adds`."""
        known = pd.DataFrame(float("nan"), index=self.frame.index, columns=["params", "mult_adds"])
        if study.space and not study.sizes:
            space = SPACES[study.space]
            return pd.DataFrame([space.sizes(cell) for cell in self.frame[CELL]], index=known.index)
        return known.assign(**{name: self.mean(measure) for name, measure in study.sizes.items()})


def load(study: TableStudy, path: Path) -> Networks:
    """Read the table of a study.

    Raises:
        UserError: a column is missing, has another unit or is no number, a network is listed twice or is no
            cell of its space; the message names the first.
    """
    try:
        raw = _filtered(_wide(_file(path, study.levels), study), study.where)
        if raw.empty:
            raise UserError("has no rows")
        _require_columns(raw, study)
        frame = pd.DataFrame({CELL: _cells(raw, study), GROUP: raw[study.group] if study.group else ""})
        _require_distinct(frame[CELL])
        for what, measure in study.measures.items():
            is_accuracy = not measure.score and not what.startswith("sizes")
            for column in (*measure.columns, *measure.tested):
                values = _numbers(raw[column], column)
                frame[column] = (
                    _percent(values, column, study.unit) if is_accuracy else values * measure.scale
                )
        frame, notes = _complete(frame, study)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return Networks(frame.reset_index(drop=True), notes, hashlib.sha256(path.read_bytes()).hexdigest())


def _file(path: Path, levels: Sequence[Sequence[str]]) -> pd.DataFrame:
    """The table as the file has it, its rows numbered as a spreadsheet does; nested keys become columns."""
    ending = path.suffix.lower()
    if ending in (".json", ".yaml", ".yml"):
        content = read_json(path, "table") if ending == ".json" else read_yaml(path, "table")
        if levels:
            return pd.DataFrame(_flat(content, levels, {}))
        if not isinstance(content, list) or not all(isinstance(row, Mapping) for row in content):
            raise UserError("is no list of rows; say what its nested keys are by levels")
        return pd.DataFrame(content)
    if levels:
        raise UserError("levels are for JSON and YAML; this is a table already")
    if ending not in (".csv", ".parquet"):
        raise UserError(f"has the ending {ending!r}; tables are .csv, .parquet, .json or .yaml")
    try:
        frame = pd.read_csv(path) if ending == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError, pyarrow.ArrowException) as error:  # what pandas raises for damaged files
        raise UserError(f"cannot be read: {' '.join(str(error).split())[:200]}") from None
    return frame.set_axis(pd.RangeIndex(FIRST_ROW, FIRST_ROW + len(frame)))


def _flat(
    content: Any, levels: Sequence[Sequence[str]], above: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """A row for every value of a nested mapping, with its keys as columns."""
    if not levels:
        yield {**above, "value": content}
        return
    names, where = levels[0], "/".join(above.values())
    if not isinstance(content, Mapping):
        raise UserError(f"{where or 'the file'} is no mapping of {' and '.join(names)}")
    for key, inner in content.items():
        parts = str(key).split("_", len(names) - 1) if len(names) > 1 else [str(key)]
        if len(parts) != len(names):
            raise UserError(f"key {key!r} has no {len(names)} parts joined by _, for {', '.join(names)}")
        yield from _flat(inner, levels[1:], {**above, **dict(zip(names, parts, strict=True))})


def _wide(frame: pd.DataFrame, study: TableStudy) -> pd.DataFrame:
    """The table with one row per network, where `across` says that it has one per measurement."""
    if not study.across:
        return frame
    names = list(frame.columns)
    for column in (*study.across, *study.cells, study.value):
        if column not in names:
            raise unknown("column", column, names)
    if not study.cells:
        raise UserError("across needs cells: the columns that name a network")
    keys = list(dict.fromkeys([*study.cells, *([study.group] if study.group else [])]))
    labels = frame[list(study.across)].astype(str).agg("_".join, axis=1)
    keyed = frame.assign(**{"\0label": labels})
    if (twice := keyed.duplicated([*keys, "\0label"])).any():
        row = keyed[twice].iloc[0]
        name = JOINT.join(str(row[key]) for key in keys)
        raise UserError(f"{name} has two values of {row[chr(0) + 'label']}")
    return keyed.pivot(index=keys, columns="\0label", values=study.value).reset_index()


def _filtered(frame: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """The rows in which each column has one of the values that are asked for."""
    for column, wanted in where.items():
        if column not in frame.columns:
            raise unknown("column of where", column, list(map(str, frame.columns)))
        values = wanted if isinstance(wanted, list) else [wanted]
        kept = frame[frame[column].isin(values)]
        if kept.empty:
            known = ", ".join(map(str, frame[column].drop_duplicates().head(10)))
            raise UserError(f"where: no row has {column} {wanted!r}; it has {known}")
        frame = kept
    return frame


def _require_columns(frame: pd.DataFrame, study: TableStudy) -> None:
    names = list(map(str, frame.columns))
    wanted = [("cells", column) for column in study.cells] + [("group", study.group)] * bool(study.group)
    wanted += [
        (what, column)
        for what, measure in study.measures.items()
        for column in (*measure.columns, *measure.tested)
    ]
    for what, column in wanted:
        if column not in names:
            raise unknown(f"column of {what}", column, names)


def _cells(frame: pd.DataFrame, study: TableStudy) -> pd.Series[str]:
    """The name of every network; of a cell of a space, in the one way of writing it."""
    if not study.cells:
        return pd.Series([f"row {number}" for number in frame.index], index=frame.index)
    cells: pd.Series[str] = frame[list(study.cells)].astype(str).agg(JOINT.join, axis=1)
    if not study.space:
        return cells
    space, written = SPACES[study.space], []
    for number, cell in cells.items():
        try:
            written.append(space.check(cell))
        except UserError as error:
            raise UserError(f"row {number}: {cell!r:.80} is no cell of {study.space}: {error}") from None
    return pd.Series(written, index=frame.index)


def _require_distinct(cells: pd.Series[str]) -> None:
    if (twice := cells.duplicated()).any():
        name = cells[twice].iloc[0]
        rows = ", ".join(str(row) for row in cells.index[cells == name][:3])
        raise UserError(f"rows {rows} are one network, {name!r:.80}; list it once, with its runs as columns")


def _numbers(values: pd.Series[Any], column: str) -> pd.Series[float]:
    found = pd.to_numeric(values, errors="coerce")
    if (wrong := found.isna() & values.notna()).any():
        raise UserError(f"row {values.index[wrong][0]}: {column} is {values[wrong].iloc[0]!r}, no number")
    return found.astype(float)


def _percent(values: pd.Series[float], column: str, unit: Unit) -> pd.Series[float]:
    """Accuracies in percent.

    Raises:
        UserError: they are not in the unit that the study names.
    """
    low, high = values.min(), values.max()
    limit = 1 if unit == "fraction" else 100
    if low < 0 or high > limit:
        place = int(values.argmin() if low < 0 else values.argmax())
        right = "; say unit: percent" if unit == "fraction" and low >= 0 and high <= 100 else ""
        raise UserError(
            f"row {values.index[place]}: {column} is {values.iloc[place]:g}, outside 0 to {limit}{right}; "
            "what is no accuracy is marked by score: true"
        )
    if unit != "fraction" and 0 < high <= 1:
        raise UserError(f"{column} is at most {high:g}, which looks like a fraction; say unit: fraction")
    return 100 - values if unit == "error" else values * (100 / limit)


def _complete(frame: pd.DataFrame, study: TableStudy) -> tuple[pd.DataFrame, list[str]]:
    """The networks that have every measurement at least once, and how many have not."""
    groups: list[Collection[str]] = []
    for measure in study.measures.values():
        groups += [each for each in (measure.columns, measure.tested) if each]
    missing = pd.concat([frame[list(columns)].isna().all(axis=1) for columns in groups], axis=1).any(axis=1)
    if missing.all():
        raise UserError("no network has all of the measurements")
    count = int(missing.sum())
    return frame[~missing], [f"Networks left out because they lack a measurement: {count}."] if count else []

"""CSV files of results: reading what people and spreadsheets write, without ever shifting a column."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from nastransfer_nni.report.statistics.column_names import require_distinct
from nastransfer_nni.report.statistics.fields import clean, guarded, unguarded
from search_spaces.errors import UserError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
ENCODINGS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
"""Encoding of a file that starts with a byte order mark."""

POINT = re.compile(r"[+-]?\d*\.\d+", re.ASCII)
COMMA = re.compile(r"[+-]?\d*,\d+", re.ASCII)
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
"""A number with a comma that could also part its thousands."""

Rows = list[tuple[int, list[str]]]


def read(
    path: Path,
    meanings: Callable[[Sequence[str]], Mapping[str, str]],
    numbers: Collection[str],
    percent: Collection[str],
) -> tuple[pd.DataFrame, list[str]]:
    """Read a CSV file as text.

    The fields may be parted by commas, semicolons or tabs, and the decimal sign may be a point or a comma. A
    row with more or fewer fields than the header is refused, unless what is too much is empty and no comma in
    it can be a decimal sign.

    Args:
        path: the file, in UTF-8, or in UTF-16 with a byte order mark.
        meanings: returns for each column of a header that is known what it means.
        numbers: meanings of columns of numbers.
        percent: those of `numbers` that are never above 100, so that no comma in them parts thousands.

    Returns:
        The table as text, with the columns of the file, whose index is the row in the file, counted from 0
        below the header; and notes that say how the file was understood.

    Raises:
        UserError: the file is no such table; the message names the first row that does not fit.
    """
    text = _text(path)
    delimiter = _delimiter(text, meanings)
    (_, header), *rows = _rows(text, delimiter)
    columns = [clean(unguarded(name)) for name in header]
    while columns and not columns[-1]:
        columns.pop()
    known = meanings(columns)
    rows = _even(rows, [known.get(name) in numbers for name in columns], len(header), delimiter)
    frame = pd.DataFrame(
        [[unguarded(field) for field in fields] for _, fields in rows],
        columns=pd.Index(columns, dtype=object),
        index=pd.Index([number for number, _ in rows], dtype="int64"),
        dtype=object,
    )
    frame, notes = _without_unnamed(frame)
    require_distinct(frame.columns)
    has_commas = _read_decimal_commas(
        frame,
        [name for name in frame.columns if known.get(name) in numbers],
        [name for name, meaning in known.items() if meaning in percent],
    )
    if delimiter != "," or has_commas:
        decimals = " and decimal commas" if has_commas else ""
        notes.insert(0, f"Read as a table with {DELIMITERS[delimiter]} between its fields{decimals}.")
    return frame, notes


def require_columns(path: Path, columns: Iterable[str]) -> None:
    """Refuse to replace a file that is there and whose columns are not those that would be written.

    Raises:
        UserError: names the file.
    """
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        header = file.readline().rstrip("\r\n").split(",")
    if header != [*columns]:
        raise UserError(f"{path} is not a table of results that this command has written; name another file")


def write(frame: pd.DataFrame, path: Path, **options: str) -> None:
    """Write a frame as CSV; no spreadsheet takes one of its fields for a formula, and `read` undoes that."""
    is_text = [not pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    safe = frame.copy()
    for column in frame.columns[is_text]:
        safe[column] = [guarded(value) if isinstance(value, str) else value for value in frame[column]]
    safe.to_csv(path, index=False, encoding="utf-8", **options)  # type: ignore[call-overload]


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read as a CSV table: {error.strerror or error}") from None
    mark = next((mark for mark in ENCODINGS if content.startswith(mark)), b"")
    try:
        text = content[len(mark) :].decode(ENCODINGS.get(mark, "utf-8"))
    except UnicodeDecodeError:
        raise UserError("cannot be read as a CSV table: it is not text in UTF-8; save it as such") from None
    if "\0" in text:
        raise UserError("cannot be read as a CSV table: it holds null bytes")
    first, separator, rest = text.partition("\n")
    return rest if separator and re.fullmatch(r"sep=.\s*", first, re.IGNORECASE) else text  # Excel's hint


def _delimiter(text: str, meanings: Callable[[Sequence[str]], Mapping[str, str]]) -> str:
    """The delimiter by which the header has the most known columns, and then the most columns."""
    header = re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0]

    def count(delimiter: str) -> tuple[int, int]:
        names = [clean(name.strip(' "')) for name in header.split(delimiter)]
        return len(meanings(names)), len(names)

    return max(DELIMITERS, key=count)


def _rows(text: str, delimiter: str) -> Rows:
    """The rows that are not empty, each with its number: -1 for the header, or less after empty rows."""
    found = []
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    try:
        for number, fields in enumerate(reader, start=-1):
            if any(field.strip() for field in fields):
                found.append((number, fields))
    except csv.Error as error:
        raise UserError(f"cannot be read as a CSV table: line {reader.line_num}: {error}") from None
    if not found:
        raise UserError("cannot be read as a CSV table: it is empty")
    return found


def _even(rows: Rows, is_number: Sequence[bool], header_width: int, delimiter: str) -> Rows:
    """The rows, each with as many fields as there are columns: more fields are dropped where that is safe.

    Args:
        rows: the rows below the header.
        is_number: for each column whether it holds numbers.
        header_width: number of the header's fields: more than there are columns if it ends in delimiters.
        delimiter: what parts the fields.
    """
    width = len(is_number)
    surplus = {len(fields) - width for _, fields in rows}
    is_systematic = len(surplus) == 1 and any(_has_point(fields, is_number) for _, fields in rows)
    even = []
    for number, fields in rows:
        extra = fields[width:]
        if len(fields) < width or any(field.strip() for field in extra):
            hint = (
                " (is a comma its decimal sign? Then quote the number)" if extra and delimiter == "," else ""
            )
            raise UserError(f"row {number + 2} has {len(fields)} fields, but the header has {width}{hint}")
        is_safe = len(fields) <= header_width or is_systematic or _has_point(fields, is_number)
        pair = "" if is_safe or delimiter != "," else _split_number(fields, is_number)
        if pair:
            raise UserError(
                f"row {number + 2} has {len(fields)} fields, but the header has {width}; is {pair} a number "
                "with a decimal comma? Then quote it, else remove the comma at the end of the row"
            )
        even.append((number, fields[:width]))
    return even


def _has_point(fields: Sequence[str], is_number: Sequence[bool]) -> bool:
    return any(POINT.fullmatch(field.strip()) for field, is_ in zip(fields, is_number, strict=False) if is_)


def _split_number(fields: Sequence[str], is_number: Sequence[bool]) -> str:
    """Two neighbouring fields that could be one number with a decimal comma; empty if there are none."""
    for index, is_ in enumerate(is_number[: len(fields) - 1]):
        pair = ",".join(field.strip() for field in fields[index : index + 2])
        if is_ and re.fullmatch(r"[+-]?\d+,\d+", pair, re.ASCII):
            return pair
    return ""


def _without_unnamed(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The frame without columns that have no name: empty ones, and the row numbers that pandas writes."""
    notes, keep = [], []
    for position, name in enumerate(frame.columns):
        fields = [field.strip() for field in frame.iloc[:, position]]
        if name or not any(fields):
            keep += [position] if name else []
        elif position == 0 and all(re.fullmatch(r"\d+", field, re.ASCII) for field in fields):
            notes.append("The first column, which has no name, holds row numbers and is left out.")
        else:
            row = frame.index[[bool(field) for field in fields].index(True)]
            raise UserError(f"column {position + 1} has no name, but row {row + 2} has a value in it")
    return frame.iloc[:, keep], notes


def _read_decimal_commas(frame: pd.DataFrame, columns: Sequence[str], percent: Collection[str]) -> bool:
    """Turn decimal commas into points, in place; whether there are any.

    Raises:
        UserError: some numbers have a point and others a comma, or the commas could part thousands.
    """
    points, commas, sure = (next(found, None) for found in _signs(frame, columns, percent))
    if commas is None:
        return False
    if points is not None:
        raise UserError(
            f"row {points[0] + 2} has a decimal point ({points[1]}: {points[2]}) and row {commas[0] + 2} a "
            f"decimal comma ({commas[1]}: {commas[2]}); write all numbers with one of them"
        )
    if sure is None:
        raise UserError(f"row {commas[0] + 2}: {commas[1]} is {commas[2]!r}; write it without a comma")
    for column in columns:
        frame[column] = [
            field.replace(",", ".") if COMMA.fullmatch(field.strip(" %")) else field
            for field in frame[column]
        ]
    return True


def _signs(
    frame: pd.DataFrame, columns: Sequence[str], percent: Collection[str]
) -> tuple[Iterator[tuple[int, str, str]], ...]:
    """Row, column and text of the numbers with a point, with a comma, and with one that is surely decimal."""
    cells = [
        (int(row), column, field.strip(" %"))
        for column in columns
        for row, field in zip(frame.index, frame[column], strict=True)
    ]
    commas = [cell for cell in cells if COMMA.fullmatch(cell[2])]
    sure = (cell for cell in commas if cell[1] in percent or not THOUSANDS.fullmatch(cell[2]))
    return (cell for cell in cells if POINT.fullmatch(cell[2])), iter(commas), sure

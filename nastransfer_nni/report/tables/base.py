"""What a table of the report consists of."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import pandas as pd

from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.options import AnalysisOptions


@dataclass(frozen=True, kw_only=True)
class ReportTable:
    """A table of the report: on the page, and as Markdown, LaTeX and CSV.

    Attributes:
        name: name of its files in the folder `tables`, without extension.
        title: heading above the table.
        compute: returns the table as numbers. Its column `setting` says which section of the page a row
            belongs to; a section without rows has no such table.
        text: turns the rows of one setting into the text that readers see: a frame of strings whose column
            names are the headings.
        question: the question that the table helps to answer, one of `statistics.answers`; empty for none.
        csv: path of the CSV file in the report's folder; empty for no CSV file.
        csv_columns: columns of the CSV file, in order; empty for all that `compute` returns.
        note: returns the explanation below the table, given the columns that it shows; None for no
            explanation.
    """

    name: str
    title: str
    compute: Callable[[Findings], pd.DataFrame]
    text: Callable[[pd.DataFrame, AnalysisOptions], pd.DataFrame]
    question: str = ""
    csv: str = ""
    csv_columns: tuple[str, ...] = ()
    note: Callable[[Collection[str], AnalysisOptions], str] | None = None

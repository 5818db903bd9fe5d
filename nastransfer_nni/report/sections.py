"""What a page shows of each setting: the answers with their pictures, tables and paragraphs, and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from nastransfer_nni.report.best_cells import BestCell, best_cells
from nastransfer_nni.report.brief import brief
from nastransfer_nni.report.figures import ReportFigure, figures
from nastransfer_nni.report.headline import headline
from nastransfer_nni.report.names import Names
from nastransfer_nni.report.paragraphs import paragraph
from nastransfer_nni.report.statistics.answers import ALIKE, Answer
from nastransfer_nni.report.statistics.comparison import random_pools
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.methods import METHODS, Method
from nastransfer_nni.report.tables import ReportTable

MAX_SHOWN = 60
"""Rows of a table that the page shows; its files have all."""


@dataclass(frozen=True, kw_only=True)
class ShownTable:
    """A table of one setting, as it is shown.

    Attributes:
        name: name of its files, without extension.
        title: heading above the table.
        frame: the table as text.
        note: explanation below the table; may be empty.
    """

    name: str
    title: str
    frame: pd.DataFrame
    note: str

    @property
    def head(self) -> pd.DataFrame:
        """The rows that the page shows."""
        return self.frame.head(MAX_SHOWN)


@dataclass(frozen=True, kw_only=True)
class AnsweredQuestion:
    """A question on the page.

    Attributes:
        question: the question.
        verdict: the answer in a word, or in one word per half of the question.
        brief: the answer in a sentence.
        sentence: the answer with all its numbers.
        picture: the figure that shows it; None if there is nothing to show.
        figures: other figures that belong to it.
        tables: tables that belong to it.
        paragraph: a paragraph that can stand in a paper.
        methods: the methods that the paragraph names.
    """

    question: str
    verdict: str
    brief: str
    sentence: str
    picture: ReportFigure | None
    figures: list[ReportFigure]
    tables: list[ShownTable]
    paragraph: str
    methods: list[Method]

    @property
    def bibtex(self) -> str:
        """The methods as BibTeX."""
        return "\n\n".join(method.bibtex for method in self.methods)


@dataclass(frozen=True, kw_only=True)
class Section:
    """One setting on the page.

    Attributes:
        title: target with its protocol.
        headline: what came out best.
        questions: the questions with their answers.
        tables: tables that belong to no question.
        figures: figures that belong to no question.
        cells: the best cell of each strategy.
    """

    title: str
    headline: str
    questions: list[AnsweredQuestion]
    tables: list[ShownTable]
    figures: list[ReportFigure]
    cells: list[BestCell]

    @property
    def all_tables(self) -> list[ShownTable]:
        """Every table of the setting."""
        return [*(table for each in self.questions for table in each.tables), *self.tables]

    @property
    def all_figures(self) -> list[ReportFigure]:
        """Every figure of the setting."""
        own = [[*([each.picture] if each.picture else []), *each.figures] for each in self.questions]
        return [*(figure for figures in own for figure in figures), *self.figures]


def section(
    findings: Findings, setting: str, names: Names, computed: Sequence[tuple[ReportTable, pd.DataFrame]]
) -> Section:
    """Everything that the page shows of one setting.

    Args:
        findings: the statistics.
        setting: one of `findings.settings`.
        names: short names.
        computed: the tables of the report, each with its numbers for all settings.
    """
    settings = findings.settings
    prefix = f"{settings.index(setting) + 1}_" if len(settings) > 1 else ""
    drawn = figures(findings, setting, names, prefix)
    shown = [
        (table.question, _shown(table, names.frame(rows), findings, prefix))
        for table, frame in computed
        if len(rows := frame[frame["setting"] == setting] if len(frame) else frame)
    ]
    return Section(
        title=setting,
        headline=headline(findings, setting, names),
        questions=[
            _answered(
                findings,
                answer,
                names,
                figures=[figure for figure in drawn if figure.question == answer.question],
                tables=[table for question, table in shown if question == answer.question],
            )
            for answer in findings.answers
            if answer.setting == setting
            and not (len(settings) > 1 and findings.is_of_source(setting) and answer.question == ALIKE)
        ],
        tables=[table for question, table in shown if not question],
        figures=[figure for figure in drawn if not figure.question],
        cells=best_cells(
            findings.summary[findings.summary["setting"] == setting],
            names,
            {name for name, _ in random_pools(findings.comparisons)},
        ),
    )


def _shown(table: ReportTable, rows: pd.DataFrame, findings: Findings, prefix: str) -> ShownTable:
    text = table.text(rows, findings.options)
    note = table.note(list(text.columns), findings.options) if table.note else ""
    name = f"{prefix}{table.name}"
    if len(text) > MAX_SHOWN:
        file = table.csv or f"tables/{name}.md"
        note = " ".join(
            filter(None, [note, f"The first {MAX_SHOWN} of {len(text)} rows; all are in {file}."])
        )
    return ShownTable(name=name, title=table.title, frame=text, note=note)


def _answered(
    findings: Findings,
    answer: Answer,
    names: Names,
    *,
    figures: list[ReportFigure],
    tables: list[ShownTable],
) -> AnsweredQuestion:
    written = paragraph(findings, answer, names)
    return AnsweredQuestion(
        question=answer.question,
        verdict=f"{answer.verdict[:1].upper()}{answer.verdict[1:]}",
        brief=names.text(brief(findings, answer)),
        sentence=names.text(answer.sentence),
        picture=next(iter(figures), None),
        figures=figures[1:],
        tables=tables,
        paragraph=written.text,
        methods=[METHODS[key] for key in written.methods if key in METHODS],
    )

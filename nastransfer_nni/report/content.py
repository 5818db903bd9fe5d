"""What the page of a report shows, as its templates read it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nastransfer_nni.report.checklist import checklist
from nastransfer_nni.report.headline import headline
from nastransfer_nni.report.limitations import EARLY, limitations
from nastransfer_nni.report.names import Names, names_of
from nastransfer_nni.report.sections import Section, section
from nastransfer_nni.report.statistics.answers import by_question
from nastransfer_nni.report.statistics.fields import clean
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.tables import ReportTable, improvement

MAX_LINKS = 500


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """Where the results table of a report comes from.

    Attributes:
        path: CSV file or folder of runs that was read.
        notes: sentences on how it was read and what was left out.
        missing: in words, how many runs are missing from it.
        provenance: content of provenance.json: `input`, name of the file or folder; `sha256` of a file;
            `report`, command, time, commit and versions of the report; `runs`, the same for each run.
        is_unfinished: whether it is a look at a study that is not complete and has planned no looks.
    """

    path: Path
    notes: Sequence[str]
    missing: str
    provenance: dict[str, Any]
    is_unfinished: bool = False


@dataclass(frozen=True, kw_only=True)
class Content:
    """The results of a report.

    Attributes:
        names: short names.
        tables: the tables of the report, each with its numbers for all settings.
        sections: what is shown of each setting.
        early: warning about an early look; empty where it is none.
        overview: how many networks there are, and how many runs are missing.
        limitations: what the report cannot say, and notes on how its input was read.
    """

    names: Names
    tables: list[tuple[ReportTable, pd.DataFrame]]
    sections: list[Section]
    early: str
    overview: str
    limitations: list[str]


def results(findings: Findings, source: TableSource, tables: Sequence[ReportTable]) -> Content:
    """Everything that a page shows of the results.

    Args:
        findings: the statistics.
        source: origin of the results table.
        tables: tables of the report, in the order in which they are shown.
    """
    computed = [(table, table.compute(findings)) for table in tables]
    names = names_of(findings)
    return Content(
        names=names,
        tables=computed,
        sections=[section(findings, setting, names, computed) for setting in findings.settings],
        early=EARLY if source.is_unfinished else "",
        overview=overview(findings, source),
        limitations=[*limitations(findings, names, is_unfinished=source.is_unfinished), *source.notes],
    )


def for_results(content: Content, findings: Findings, title: str) -> dict[str, Any]:
    """The variables of the template of the results."""
    return {
        "title": title,
        "overview": content.overview,
        "early": content.early,
        "names": content.names,
        "sections": content.sections,
        "limitations": content.limitations,
        "options": findings.options,
    }


def for_report(content: Content, findings: Findings, source: TableSource, out: Path) -> dict[str, Any]:
    """The variables of the template of the whole page, which adds the provenance."""
    return for_results(content, findings, clean(source.path.name)) | {
        "is_live": False,
        "checks": checklist(findings, source.provenance["runs"]),
        "provenance": source.provenance,
        "links": _links(findings.table, source.path, out),
        "row_count": len(findings.table),
    }


def overview(findings: Findings, source: TableSource) -> str:
    """A sentence on how many networks there are, and how many runs are missing."""
    networks, targets = _count(findings.table), findings.table["target"].nunique()
    count = f"{networks} trained network{'s' * (networks > 1)}"
    where = f" on {targets} targets" if targets > 1 else ""
    return f"{clean(source.path.name)}: {count}{where}; {source.missing}."


def _count(table: pd.DataFrame) -> int:
    """Number of separately trained networks; a row without a cell or training seed is one of its own."""
    known = table[(table["genotype"] != "") & (table["train_seed"] != "")]
    trainings = known[["target", "protocol", "protocol_hash", "genotype", "train_seed"]]
    return len(table) - int(trainings.duplicated().sum())


def console_summary(findings: Findings) -> str:
    """The headlines, relative improvements and answers, as the command prints them."""
    names = names_of(findings)
    computed = improvement.compute(findings)
    lines = [headline(findings, setting, names) for setting in findings.settings]
    for setting in findings.settings:
        rows = computed[computed["setting"] == setting]
        text = improvement.text(names.frame(rows), findings.options)
        lines += ["", setting, text.to_string(index=False)]
    for question, answers in by_question(findings.answers):
        lines += ["", question]
        lines += [f"  {each.setting}: {each.verdict}. {names.text(each.sentence)}" for each in answers]
    return "\n".join(lines)


def _links(table: pd.DataFrame, source: Path, out: Path) -> list[tuple[str, str]]:
    """Name of each run, and the relative path from the page to its folder; empty if there is no folder."""
    root = source if source.is_dir() else source.parent
    names = [name for name in table["run"] if name][:MAX_LINKS]
    return [
        (name, Path(os.path.relpath(root / name, out)).as_posix() if (root / name).is_dir() else "")
        for name in names
    ]

"""The files of a report: one page, tables as Markdown, LaTeX and CSV, figures as SVG and PNG."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nastransfer_nni.base.files import replacing, write_json, write_text
from nastransfer_nni.base.reading import read_object
from nastransfer_nni.report import content
from nastransfer_nni.report.content import Content, TableSource
from nastransfer_nni.report.sections import Section
from nastransfer_nni.report.statistics import csv_file
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.tables import ReportTable
from nastransfer_nni.report.tables.text import latex, markdown, markdown_code, markdown_text
from nastransfer_nni.report.templating import Raw, template
from search_spaces.errors import UserError

PAGE = "index.html"
FILES = (
    "provenance.json",
    PAGE,
    "report.md",
    "results.csv",
    "relative_improvement.csv",
    "tables",
    "figures",
)
"""What a report writes into its folder."""

IN_MARKDOWN: Mapping[str, Any] = {
    "markdown": lambda frame: Raw(markdown(frame)),
    "code": lambda text: Raw(markdown_code(text)),
    "raw": Raw,
    "image": lambda figure: Raw(f"![{markdown_text(figure.alt)}](figures/{figure.name}.svg)"),
}
"""What only the template of report.md uses."""

_DRAWN = re.compile(r"(tables/\w+\.(md|tex|csv)|figures/\w+\.(svg|png))", re.ASCII)


def require_usable(out: Path, source: Path) -> None:
    """Refuse a folder in which the report would replace files that no report has written.

    A folder with the provenance.json of a report may be written again.

    Args:
        out: folder of the report.
        source: what the report is made from.

    Raises:
        UserError: names the file.
    """
    for name in FILES:
        path = out / name
        if path.exists() and (path.samefile(source) or path.resolve() in source.resolve().parents):
            raise UserError(f"the report in {out} would replace its input {source}; name another --out")
    found = [name for name in FILES if (out / name).exists()]
    if found and not _is_report(out):
        raise UserError(f"--out {out} holds {found[0]}, which no report has written; name another folder")


def _is_report(out: Path) -> bool:
    return {"input", "report", "runs"} <= set(read_object(out / "provenance.json") or {})


def write(findings: Findings, out: Path, source: TableSource, tables: Sequence[ReportTable]) -> Path:
    """Write all files of the report.

    Args:
        findings: the statistics.
        out: folder of the report; it is created.
        source: origin of the results table.
        tables: tables of the report, in the order in which they are shown.

    Returns:
        Path of the page, index.html.

    Raises:
        UserError: the folder cannot be written.
    """
    shown = content.results(findings, source, tables)
    variables = content.for_report(shown, findings, source, out)
    page, before, drawn = out / PAGE, _drawn_before(out), _drawn(shown)
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
        (out / "tables").mkdir(exist_ok=True)
        # first: it marks the folder as a report's, and names what is there even if this process is killed
        write_json(out / "provenance.json", source.provenance | {"files": sorted({*drawn, *before})})
        _write_csv(findings.table, out / "results.csv")
        for name, frame in _csv_tables(shown).items():
            _write_csv(frame, out / name, float_format="%.6g")
        for part in shown.sections:
            _write_drawn(part, out)
        write_text(out / "report.md", template("report.md.j2").render({**variables, **IN_MARKDOWN}))
        write_text(page, template("report.html.j2").render(variables))
        for name in before - drawn:
            (out / name).unlink(missing_ok=True)
        write_json(out / "provenance.json", source.provenance | {"files": sorted(drawn)})
    except OSError as error:
        raise UserError(f"cannot write the report to {out}: {error.strerror or error}") from None
    return page


def _csv_tables(shown: Content) -> dict[str, pd.DataFrame]:
    """The tables that have a CSV file, by its name in the folder."""
    return {
        table.csv: frame[list(table.csv_columns or frame.columns)]
        for table, frame in shown.tables
        if table.csv and len(frame.columns)
    }


def _drawn(shown: Content) -> set[str]:
    """The files of tables and figures that not every report has, by their names in its folder."""
    tables = {f"tables/{each.name}" for part in shown.sections for each in part.all_tables}
    figures = {f"figures/{each.name}" for part in shown.sections for each in part.all_figures}
    return {
        *(f"{name}.{form}" for name in tables for form in ("md", "tex")),
        *(f"{name}.{form}" for name in figures for form in ("svg", "png")),
        *(name for name in _csv_tables(shown) if name not in FILES),
    }


def _write_drawn(part: Section, out: Path) -> None:
    """Write the files of the tables and figures of a setting."""
    for each in part.all_tables:
        write_text(out / "tables" / f"{each.name}.md", markdown(each.frame))
        write_text(out / "tables" / f"{each.name}.tex", latex(each.frame))
    for figure in part.all_figures:
        write_text(out / "figures" / f"{figure.name}.svg", figure.svg)
        with replacing(out / "figures" / f"{figure.name}.png") as scratch:
            scratch.write_bytes(figure.png)


def _drawn_before(out: Path) -> set[str]:
    """Tables and figures that an earlier report has written into the folder, by the names that it noted."""
    names = (read_object(out / "provenance.json") or {}).get("files")
    known = names if isinstance(names, list) else []
    return {name for name in known if isinstance(name, str) and _DRAWN.fullmatch(name)}


def _write_csv(frame: pd.DataFrame, path: Path, **options: Any) -> None:
    with replacing(path) as scratch:
        csv_file.write(frame, scratch, **options)

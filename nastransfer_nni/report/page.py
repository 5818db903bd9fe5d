"""The files of a report: one page, tables as Markdown, LaTeX and CSV, figures as SVG and PNG."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nastransfer_nni.base.files import replacing, write_json, write_text
from nastransfer_nni.base.reading import read_object
from nastransfer_nni.report import content
from nastransfer_nni.report.content import TableSource
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

_DRAWN = re.compile(r"(tables/\w+\.(md|tex)|figures/\w+\.(svg|png))", re.ASCII)


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
    try:
        noted = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # of the json module and of decoding
        return False
    return isinstance(noted, dict) and {"input", "report", "runs"} <= set(noted)


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
    sections = shown.sections
    variables = content.for_report(shown, findings, source, out)
    in_markdown = {
        "markdown": lambda frame: Raw(markdown(frame)),
        "code": lambda text: Raw(markdown_code(text)),
        "raw": Raw,
        "image": lambda figure: Raw(f"![{markdown_text(figure.alt)}](figures/{figure.name}.svg)"),
    }
    page = out / PAGE
    before = _drawn_before(out)
    drawn = {
        *(
            f"tables/{table.name}.{form}"
            for part in sections
            for table in part.all_tables
            for form in ("md", "tex")
        ),
        *(
            f"figures/{each.name}.{form}"
            for part in sections
            for each in part.all_figures
            for form in ("svg", "png")
        ),
    }
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
        (out / "tables").mkdir(exist_ok=True)
        # first: it marks the folder as a report's, and names what is there even if this process is killed
        write_json(out / "provenance.json", source.provenance | {"files": sorted({*drawn, *before})})
        _write_csv(findings.table, out / "results.csv")
        for table, frame in shown.tables:
            if table.csv and len(frame.columns):
                columns = list(table.csv_columns or frame.columns)
                _write_csv(frame[columns], out / table.csv, float_format="%.6g")
        for part in sections:
            for each in part.all_tables:
                write_text(out / "tables" / f"{each.name}.md", markdown(each.frame))
                write_text(out / "tables" / f"{each.name}.tex", latex(each.frame))
            for figure in part.all_figures:
                write_text(out / "figures" / f"{figure.name}.svg", figure.svg)
                with replacing(out / "figures" / f"{figure.name}.png") as scratch:
                    scratch.write_bytes(figure.png)
        write_text(out / "report.md", template("report.md.j2").render(variables | in_markdown))
        write_text(page, template("report.html.j2").render(variables))
        for name in before - drawn:
            (out / name).unlink(missing_ok=True)
        write_json(out / "provenance.json", source.provenance | {"files": sorted(drawn)})
    except OSError as error:
        raise UserError(f"cannot write the report to {out}: {error.strerror or error}") from None
    return page


def _drawn_before(out: Path) -> set[str]:
    """Tables and figures that an earlier report has written into the folder, by the names that it noted."""
    names = (read_object(out / "provenance.json") or {}).get("files")
    known = names if isinstance(names, list) else []
    return {name for name in known if isinstance(name, str) and _DRAWN.fullmatch(name)}


def _write_csv(frame: pd.DataFrame, path: Path, **options: Any) -> None:
    with replacing(path) as scratch:
        csv_file.write(frame, scratch, **options)

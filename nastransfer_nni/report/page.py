"""The files of a report: one page, tables as Markdown, LaTeX and CSV, figures as SVG and PNG."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from nastransfer_nni.base.files import replacing, write_json, write_text
from nastransfer_nni.base.reading import read_object
from nastransfer_nni.report.checklist import checklist
from nastransfer_nni.report.headline import headline
from nastransfer_nni.report.limitations import EARLY, limitations
from nastransfer_nni.report.names import names_of
from nastransfer_nni.report.sections import section
from nastransfer_nni.report.statistics import csv_file
from nastransfer_nni.report.statistics.answers import by_question
from nastransfer_nni.report.statistics.fields import clean
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.tables import ReportTable, improvement
from nastransfer_nni.report.tables.text import latex, markdown, markdown_code, markdown_text
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
MAX_LINKS = 500

_DRAWN = re.compile(r"(tables/\w+\.(md|tex)|figures/\w+\.(svg|png))", re.ASCII)


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
        content = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # of the json module and of decoding
        return False
    return isinstance(content, dict) and {"input", "report", "runs"} <= set(content)


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
    computed = [(table, table.compute(findings)) for table in tables]
    names = names_of(findings)
    sections = [section(findings, setting, names, computed) for setting in findings.settings]
    content = {
        "title": clean(source.path.name),
        "overview": overview(findings, source),
        "early": EARLY if source.is_unfinished else "",
        "names": names,
        "sections": sections,
        "limitations": [
            *limitations(findings, names, is_unfinished=source.is_unfinished),
            *source.notes,
        ],
        "checks": checklist(findings, source.provenance["runs"]),
        "options": findings.options,
        "provenance": source.provenance,
        "links": _links(findings.table, source.path, out),
        "row_count": len(findings.table),
        "markdown": lambda frame: Raw(markdown(frame)),
        "code": lambda text: Raw(markdown_code(text)),
        "raw": Raw,
        "image": lambda figure: Raw(f"![{markdown_text(figure.alt)}](figures/{figure.name}.svg)"),
    }
    page = out / PAGE
    before = _drawn_before(out)
    drawn = {
        *(
            f"tables/{shown.name}.{form}"
            for part in sections
            for shown in part.all_tables
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
        for table, frame in computed:
            if table.csv and len(frame.columns):
                columns = list(table.csv_columns or frame.columns)
                _write_csv(frame[columns], out / table.csv, float_format="%.6g")
        for part in sections:
            for shown in part.all_tables:
                write_text(out / "tables" / f"{shown.name}.md", markdown(shown.frame))
                write_text(out / "tables" / f"{shown.name}.tex", latex(shown.frame))
            for figure in part.all_figures:
                write_text(out / "figures" / f"{figure.name}.svg", figure.svg)
                with replacing(out / "figures" / f"{figure.name}.png") as scratch:
                    scratch.write_bytes(figure.png)
        write_text(out / "report.md", _template("report.md.j2").render(content))
        write_text(page, _template("report.html.j2").render(content))
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


def _write_csv(frame: pd.DataFrame, path: Path, **options: Any) -> None:
    with replacing(path) as scratch:
        csv_file.write(frame, scratch, **options)


def _template(name: str) -> jinja2.Template:
    is_markdown = name.endswith(".md.j2")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nastransfer_nni.report"),
        autoescape=not is_markdown,
        finalize=_in_markdown if is_markdown else None,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name)


class Raw(str):
    """Markdown that is not escaped again."""


def _in_markdown(value: object) -> str:
    return value if isinstance(value, Raw) else markdown_text(str(value))

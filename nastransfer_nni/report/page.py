"""The report's files: one self-contained page, tables as Markdown, LaTeX and CSV, figures as SVG and PNG."""

from __future__ import annotations

import hashlib
import html
import importlib.metadata
import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from nastransfer_nni.base import provenance
from nastransfer_nni.base.files import replacing, write_json, write_text
from nastransfer_nni.report import checklist, figures, tables
from nastransfer_nni.report.statistics.answers import questions
from nastransfer_nni.report.statistics.bootstrap import MIN_RUNS, MIN_UNITS
from nastransfer_nni.report.statistics.findings import Findings
from search_spaces.errors import UserError

PACKAGES = ("nastransfer-nni", "numpy", "scipy", "pandas", "statsmodels", "matplotlib")
MOST_CELLS = 6
MOST_LINKS = 500
MOST_MOVEMENTS = 30


@dataclass(frozen=True)
class Origin:
    """Where a results table comes from.

    Attributes:
        source: the file or folder it was read from.
        remarks: on what was left out.
        runs: for each run, where it comes from; empty where that is not known.
    """

    source: Path
    remarks: list[str] = field(default_factory=list)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        name: of its files.
        caption: what it shows.
        svg: its text.
        png: its bytes.
    """

    name: str
    caption: str
    svg: str
    png: bytes

    @property
    def inline(self) -> str:
        """The SVG as part of a page, whose colour of text it takes."""
        text = self.svg[self.svg.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        text = re.sub(
            r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text)
        )
        text = text.replace("<svg", f'<svg role="img" aria-label="{html.escape(self.caption)}"', 1)
        return text.replace(figures.INK, "currentColor")


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        name: of its files.
        title: over it.
        frame: its text.
    """

    name: str
    title: str
    frame: pd.DataFrame


@dataclass(frozen=True)
class Section:
    """What the page says of one setting."""

    title: str
    tables: list[Table]
    pictures: list[Picture]
    cells: list[tuple[str, str, str]]


def write(findings: Findings, out: Path, origin: Origin) -> Path:
    """Write every file of the report into the folder `out`.

    Returns:
        The page, index.html.

    Raises:
        UserError: the folder cannot be written.
    """
    sections = [_section(findings, setting, index) for index, setting in enumerate(findings.settings)]
    whence = _provenance(origin)
    limits = [*_limits(findings), *origin.remarks]
    checks = checklist.checklist(findings, origin.runs)
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
        (out / "tables").mkdir(exist_ok=True)
        _csv(findings.table, out / "results.csv")
        _csv(tables.improvement_csv(findings), out / "relative_improvement.csv", float_format="%.6g")
        _csv(findings.summary, out / "tables" / "summary.csv", float_format="%.6g")
        _csv(findings.movements, out / "tables" / "ranking_movements.csv", float_format="%.6g")
        write_json(out / "provenance.json", whence)
        for section in sections:
            for table in section.tables:
                write_text(out / "tables" / f"{table.name}.md", tables.markdown(table.frame))
                write_text(out / "tables" / f"{table.name}.tex", tables.latex(table.frame))
            for picture in section.pictures:
                write_text(out / "figures" / f"{picture.name}.svg", picture.svg)
                with replacing(out / "figures" / f"{picture.name}.png") as scratch:
                    scratch.write_bytes(picture.png)
        content = {
            "title": origin.source.name,
            "questions": questions(findings.answers),
            "is_single": len(sections) == 1,
            "sections": sections,
            "limits": limits,
            "checks": checks,
            "options": findings.options,
            "provenance": whence,
            "links": _links(findings.table, origin, out),
            "row_count": len(findings.table),
        }
        write_text(out / "report.md", _template("report.md.j2").render(**content, markdown=tables.markdown))
        page = out / "index.html"
        write_text(page, _template("report.html.j2").render(**content))
    except OSError as error:
        raise UserError(f"cannot write the report to {out}: {error.strerror or error}") from None
    return page


def screen(findings: Findings) -> str:
    """The answers and the relative improvements, as they are printed."""
    lines = []
    for setting in findings.settings:
        rows = findings.improvement[findings.improvement["setting"] == setting]
        text = tables.improvement(rows, findings.options)
        lines += [setting, text.to_string(index=False), ""]
    for question, answers in questions(findings.answers):
        lines.append(question)
        lines += [f"  {each.setting}: {each.verdict}. {each.sentence}" for each in answers]
    return "\n".join(lines)


def _section(findings: Findings, setting: str, index: int) -> Section:
    options = findings.options
    prefix = f"{index + 1}_" if len(findings.settings) > 1 else ""
    improvement, summary, moved, cost = (
        frame[frame["setting"] == setting] if len(frame) else frame
        for frame in (findings.improvement, findings.summary, findings.movements, findings.cost)
    )
    correlations = [each for each in findings.correlations if str(each.setting) == setting]
    has_search_cost = bool((cost["search_seconds"] > 0).any())
    shown = [
        Table(
            f"{prefix}improvement",
            "Relative improvement over random",
            tables.improvement(improvement, options),
        ),
        Table(f"{prefix}results", "Results", tables.summary(summary, options)),
    ]
    if len(moved):
        shown.append(
            Table(f"{prefix}rankings", "How the ranking moves between proxies", tables.movements(moved))
        )
    if correlations:
        title = "Accuracy on the source against accuracy on the target"
        shown.append(Table(f"{prefix}correlation", title, tables.correlation(correlations)))
    if has_search_cost:
        shown.append(Table(f"{prefix}cost", "Search cost against accuracy", tables.cost(cost)))
    drawn = [
        Picture(f"{prefix}{name}", caption, figures.svg(figure), figures.png(figure))
        for name, caption, figure in _figures(
            findings, setting, improvement, cost if has_search_cost else None
        )
    ]
    return Section(setting, shown, drawn, list(_cells(summary)))


def _figures(
    findings: Findings, setting: str, improvement: pd.DataFrame, cost: pd.DataFrame | None
) -> Iterator[tuple[str, str, Any]]:
    options = findings.options
    if improvement["relative_improvement"].notna().any():
        count = len(improvement)
        of = f", the {figures.MOST_ROWS} largest of {count}" if count > figures.MOST_ROWS else ""
        caption = (
            f"Relative improvement over random cells{of}. The band is the margin of {options.margin:g}%; "
            "hollow: too few runs."
        )
        yield "improvement", caption, figures.styled(figures.improvement_figure, improvement, options)
    ranked = [each for each in findings.rankings if str(each.setting) == setting]
    of = (
        f", the first {figures.MOST_PANELS} of {len(ranked)} proxies"
        if len(ranked) > figures.MOST_PANELS
        else ""
    )
    if ranked:
        caption = f"Probability of each rank by {ranked[0].measure}, from the bootstrap{of}."
        yield "ranks", caption, figures.styled(figures.ranking_figure, ranked)
    if len(ranked) > 1:
        caption = f"Expected rank from proxy to proxy{of}."
        yield "movement", caption, figures.styled(figures.movement_figure, ranked)
    for result in findings.critical_differences:
        if str(result.setting) == setting:
            caption = (
                f"Critical differences: mean ranks over {result.blocks} matched proxy draws; a bar joins "
                f"strategies that are not told apart (Friedman p {tables.p_text(result.p_value)})."
            )
            figure = figures.styled(figures.critical_difference_figure, result, options)
            yield "critical_difference", caption, figure
    for index, cells in enumerate(each for each in findings.correlations if str(each.setting) == setting):
        caption = "Accuracy on the source against accuracy on the target, a dot a cell."
        yield f"correlation_{index + 1}", caption, figures.styled(figures.correlation_figure, cells)
    if cost is not None:
        yield (
            "cost",
            "Search cost against accuracy on the target. Filled: on the Pareto front.",
            figures.styled(figures.cost_figure, cost),
        )


def _cells(summary: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """For each strategy its best cell, as name, normal cell and reduction cell in SVG."""
    from nastransfer_nni.architecture.drawing import draw_cell
    from search_spaces import Genotype

    known = summary[summary["genotype"] != ""].sort_values("top1", ascending=False, kind="stable")
    for row in known.drop_duplicates("strategy").head(MOST_CELLS).to_dict("records"):
        try:
            text = row["genotype"]
            genotype = (
                Genotype.from_text(text) if "Genotype(" in text else Genotype.from_dict(json.loads(text))
            )
        except (ValueError, TypeError, AttributeError):
            continue  # a cell of another space, which has no drawing
        place = " / ".join(filter(None, (row["source"], row["proxy"])))
        name = f"{row['strategy']} on {place}" if place else row["strategy"]
        pictures = [
            Picture("", f"{kind} cell of {name}", figures.svg(draw_cell(genotype, kind)), b"").inline
            for kind in ("normal", "reduce")
        ]
        yield name, pictures[0], pictures[1]


def _limits(findings: Findings) -> Iterator[str]:
    """What the report refuses to compare or to conclude."""
    rows = findings.improvement
    if len(findings.settings) > 1:
        yield (
            f"The table has {len(findings.settings)} targets or protocols. Rows of different ones are never "
            "compared: a protocol can weigh more than a strategy."
        )
    few = int((rows["verdict"] == "insufficient").sum())
    if few:
        yield (
            f"{few} of {len(rows)} comparisons have too few runs for a finding. It takes {MIN_RUNS} networks "
            f"in each arm, of {MIN_UNITS} searches at least, and {MIN_UNITS} proxy draws where there are "
            "several; their intervals are shown, but no test."
        )
    for verdict in ("no searched runs", "no random runs"):
        names = rows.loc[rows["verdict"] == verdict, "strategy"]
        if len(names):
            yield f"{verdict.capitalize()}: {', '.join(dict.fromkeys(names))}."
    single = (rows["level"] == "search") & (rows["proxy"] != "") & (rows["n"] > 0)
    if single.any():
        yield "Where a strategy has one draw of a proxy, its interval holds for that draw, not for its kind."
    alone = (rows["level"] == "training") & (rows["n"] > 1)
    if alone.any():
        once = ", ".join(dict.fromkeys(rows.loc[alone, "strategy"]))
        yield f"One cell trained several times says nothing of other searches: {once}."
    if findings.table["search_score"].notna().any():
        yield "Search scores are what a strategy saw while searching: not comparable, and not used here."


def _provenance(origin: Origin) -> dict[str, Any]:
    made = {
        "command_line": shlex.join(["python", "-m", "nastransfer_nni.report", *sys.argv[1:]]),
        "at": provenance.now(),
        "git_commit": provenance.git_commit(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES},
    }
    known: dict[str, Any] = {"input": origin.source.name, "report": made}
    if origin.source.is_file():
        known["sha256"] = hashlib.sha256(origin.source.read_bytes()).hexdigest()
    return known | {"runs": origin.runs}


def _links(table: pd.DataFrame, origin: Origin, out: Path) -> list[tuple[str, str]]:
    """Names of the runs, with the way from the page to each run that is there."""
    root = origin.source if origin.source.is_dir() else origin.source.parent
    names = [name for name in table["run"] if name][:MOST_LINKS]
    return [
        (name, Path(os.path.relpath(root / name, out)).as_posix() if (root / name).is_dir() else "")
        for name in names
    ]


def _csv(frame: pd.DataFrame, path: Path, **options: Any) -> None:
    with replacing(path) as scratch:
        frame.to_csv(scratch, index=False, **options)


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nastransfer_nni.report"),
        autoescape=jinja2.select_autoescape(("html.j2",)),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name)

"""Making a report from a folder of runs or a results table."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd

import strategies
from nastransfer_nni.base import provenance
from nastransfer_nni.base.paths import expanded
from nastransfer_nni.report import collect, content, page
from nastransfer_nni.report.config import ReportConfig
from nastransfer_nni.report.limitations import EARLY
from nastransfer_nni.report.run_provenance import provenance_of
from nastransfer_nni.report.statistics import baseline, column_names, reading
from nastransfer_nni.report.statistics.fields import clean
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.forms import ReadOptions
from nastransfer_nni.report.statistics.looks import Looks
from nastransfer_nni.report.statistics.margin import Margin
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.study_plan import StudyPlan
from nastransfer_nni.report.tables import TABLES, ReportTable
from nastransfer_nni.report.templating import template
from search_spaces.errors import UserError

PACKAGES = ("nastransfer-nni", "numpy", "scipy", "pandas", "statsmodels", "matplotlib")
"""Packages whose versions a report depends on."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a report is made from.

    Attributes:
        rows: results table.
        notes: sentences on what was left out of it.
        meaning: in short, what it was taken for.
        missing: in words, how many runs are missing.
        runs: provenance of each run.
        plan: what the study fixed before it ran; None for a file and for other folders.
        is_complete: whether every transfer of that plan is finished.
    """

    rows: pd.DataFrame
    notes: list[str]
    meaning: list[str]
    missing: str
    runs: dict[str, dict[str, Any]]
    plan: StudyPlan | None = None
    is_complete: bool = True


@dataclass(frozen=True, eq=False)
class PublishedTable:
    """The table in which a tabular study has looked up its results.

    Attributes:
        networks: all of its networks as rows of a results table; see `Findings.networks`.
        notes: sentences on what was left out of it.
        origin: provenance of the results, as provenance.json has it.
    """

    networks: pd.DataFrame
    notes: list[str]
    origin: dict[str, Any]


def report(
    config: ReportConfig, tables: Sequence[ReportTable] = TABLES, published: PublishedTable | None = None
) -> Path:
    """Read the results, say how they were understood, compute the statistics and write the report.

    Args:
        config: options of the report; with `dry_run` nothing is written.
        tables: tables that the report shows, in order.
        published: the table that the results were looked up in; None for results of trainings.

    Returns:
        Path of the page.

    Raises:
        UserError: the input is no results table, or the report cannot be written.
    """
    path, out = expanded(config.input), expanded(config.out)
    if not config.dry_run:
        page.require_usable(out, path)
    read = _of_folder(path) if path.is_dir() else _of_file(path, config)
    options = _options(config, read)
    meaning = "; ".join([*read.meaning, baseline.describe(read.rows, options.baseline)])
    print(_printable(" ".join([f"{clean(path.name)}: {meaning}.", *read.notes])))
    if config.dry_run:
        return out / page.PAGE
    origin = {"input": clean(path.name), "report": _provenance(config)}
    if path.is_file():
        origin["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    if published is not None:
        origin |= published.origin
    findings = Findings(read.rows, options, published.networks if published else None)
    source = content.TableSource(
        path=path,
        notes=[
            f"The input was understood as: {meaning}.",
            *read.notes,
            *(published.notes if published else []),
        ],
        missing=read.missing,
        provenance=origin | {"runs": read.runs},
        is_unfinished=not read.is_complete and options.looks is None,
    )
    written = page.write(findings, out, source, tables)
    early = [EARLY] if source.is_unfinished else []
    lines = (content.overview(findings, source), *early, "", content.console_summary(findings), str(written))
    for line in lines:
        print(_printable(line))
    return written


def results_so_far(folder: Path, replicates: int) -> str:
    """What a report would show of a folder of runs, as part of another page; nothing is written.

    Args:
        folder: folder of a study, which may still run.
        replicates: simulated replicates of rankings, and permutations.

    Returns:
        HTML without provenance and without paragraphs for a paper, to stand under a heading of level 2. It
        begins with the warning about early looks where it is one.

    Raises:
        UserError: there is no finished transfer, or two runs are the same one.
    """
    read = _of_folder(folder)
    options = _options(ReportConfig(input=str(folder), replicates=replicates), read)
    findings = Findings(read.rows, options)
    source = content.TableSource(
        path=folder,
        notes=read.notes,
        missing=read.missing,
        provenance={},
        is_unfinished=not read.is_complete and options.looks is None,
    )
    shown = content.results(findings, source, TABLES)
    variables = content.for_results(shown, findings, title=clean(folder.name))
    return template("results.html.j2").render(variables | {"is_live": True})


def _of_folder(path: Path) -> Input:
    found = collect.collect(path)
    missing = f"left out: {found.missing}" if found.missing else "no run is unfinished or damaged"
    return Input(
        rows=found.rows,
        notes=found.notes,
        meaning=[f"{len(found.rows)} finished transfers"],
        missing=missing,
        runs=found.provenance,
        plan=found.plan,
        is_complete=found.is_complete,
    )


def _of_file(path: Path, config: ReportConfig) -> Input:
    try:
        columns = column_names.parse(config.columns)
    except UserError as error:
        raise UserError(f"--columns: {error}") from None
    read = reading.understand(
        path,
        ReadOptions(
            columns=columns,
            metric=config.metric,
            unit=config.unit,
            target=config.target,
            upgrade=strategies.upgrade_options,
        ),
    )
    no_top1 = [note for note in read.notes if note.startswith(reading.NO_TOP1)]
    return Input(
        rows=read.rows,
        notes=read.notes,
        meaning=read.meaning,
        missing=no_top1[0].lower().rstrip(".") if no_top1 else "every row has a result",
        runs=provenance_of(path),
    )


def _options(config: ReportConfig, read: Input) -> AnalysisOptions:
    """How the table is analysed: what the study fixed before it ran holds where no option says otherwise."""
    plan = read.plan
    margin = config.margin or (plan.margin if plan else "")
    looks = None
    if plan and plan.looks:
        looks = Looks(plan.looks, plan.units, plan.random_units, plan.units_of)
    return AnalysisOptions(
        margin=Margin.parse(margin) if margin else AnalysisOptions.margin,
        replicates=config.replicates,
        seed=config.seed,
        confidence=config.confidence,
        primary=cast(Literal["mean", "probability"], plan.primary) if plan else "mean",
        looks=looks,
        baseline=baseline.find_baseline(read.rows, config.baseline),
    )


def _provenance(config: ReportConfig) -> dict[str, Any]:
    """Provenance of this process; its command gives this report whatever started it, a notebook included."""
    here = provenance.here(PACKAGES)
    here["command_line"] = _command(config)
    return here


def _command(config: ReportConfig) -> str:
    """The command that makes this report, with paths relative to the working directory."""
    words = ["python", "-m", "nastransfer_nni.report", _relative(config.input)]
    for name, field in ReportConfig.model_fields.items():
        value = getattr(config, name)
        if name != "input" and value != field.default:
            words += [f"--{name}", _relative(value) if name == "out" else f"{value}"]
    return shlex.join(words)


def _relative(name: str) -> str:
    """The path from the working directory, in a form that no command takes for a flag or a number."""
    path = os.path.relpath(expanded(name))
    return path if path[0].isalpha() or path.startswith("..") else f"./{path}"


def _printable(text: str) -> str:
    """The text as the screen can show it, whose encoding may know little more than ASCII."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        plain = text.replace("±", "+-").replace("−", "-")
        return plain.encode(encoding, "backslashreplace").decode(encoding)
    return text

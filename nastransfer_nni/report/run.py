"""Making a report from a folder of runs or a results table."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nastransfer_nni.base import provenance
from nastransfer_nni.report import collect, page
from nastransfer_nni.report.config import ReportConfig
from nastransfer_nni.report.run_provenance import provenance_of
from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.fields import clean
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.tables import TABLES, ReportTable

PACKAGES = ("nastransfer-nni", "numpy", "scipy", "pandas", "statsmodels", "matplotlib")
"""Packages whose versions a report depends on."""


def report(config: ReportConfig, tables: Sequence[ReportTable] = TABLES) -> Path:
    """Read the results, compute the statistics, write the report and print its summary.

    Args:
        config: options of the report.
        tables: tables that the report shows, in order.

    Returns:
        Path of the page.

    Raises:
        UserError: the input is no results table, or the report cannot be written.
    """
    path, out = Path(config.input).expanduser(), Path(config.out).expanduser()
    page.require_usable(out, path)
    origin = {"input": clean(path.name), "report": _provenance(config)}
    if path.is_dir():
        rows, notes, runs, missing = collect.collect(path)
        missing = f"left out: {missing}" if missing else "no run is unfinished or damaged"
    else:
        rows, notes = reading.read(path)
        runs = provenance_of(path)
        no_top1 = [note for note in notes if note.startswith(reading.NO_TOP1)]
        missing = no_top1[0].lower().rstrip(".") if no_top1 else "every row has a result"
        origin["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    options = AnalysisOptions(
        margin=config.margin,
        replicates=config.replicates,
        seed=config.seed,
        confidence=config.confidence,
    )
    findings = Findings(rows, options)
    source = page.TableSource(path=path, notes=notes, missing=missing, provenance=origin | {"runs": runs})
    written = page.write(findings, out, source, tables)
    for line in (*notes, page.overview(findings, source), "", page.console_summary(findings), str(written)):
        print(_printable(line))
    return written


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
    path = os.path.relpath(Path(name).expanduser())
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

"""Making a report from a folder of runs or a results table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from nastransfer_nni.base import provenance
from nastransfer_nni.report import collect, page
from nastransfer_nni.report.config import ReportConfig
from nastransfer_nni.report.statistics import table
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
    origin = {"input": path.name, "report": provenance.here(PACKAGES)}
    if path.is_dir():
        rows, notes, runs = collect.collect(path)
    else:
        rows, notes = table.read(path)
        runs = collect.provenance_of(path)
        origin["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    options = AnalysisOptions(
        margin=config.margin,
        replicates=config.replicates,
        seed=config.seed,
        confidence=config.confidence,
    )
    findings = Findings(rows, options)
    source = page.TableSource(path=path, notes=notes, provenance=origin | {"runs": runs})
    written = page.write(findings, out, source, tables)
    print(page.console_summary(findings))
    print(written)
    return written

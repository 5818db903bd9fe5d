"""Makes a report: the statistics of a folder of runs, or of a CSV, as one page."""

from __future__ import annotations

from pathlib import Path

from nastransfer_nni.report import collect, page
from nastransfer_nni.report.config import ReportConfig
from nastransfer_nni.report.statistics import findings, table
from nastransfer_nni.report.statistics.improvement import Options


def report(config: ReportConfig) -> Path:
    """Read the results, make every statistic, and write the report.

    Returns:
        The page.

    Raises:
        UserError: the input is no results table, or the folder cannot be written.
    """
    source, out = Path(config.input).expanduser(), Path(config.out).expanduser()
    if source.is_dir():
        rows, remarks, provenance = collect.collect(source)
    else:
        rows, remarks = table.read(source)
        provenance = collect.provenance_beside(source)
    options = Options(config.margin, config.samples, config.seed, config.confidence)
    found = findings.analyse(rows, options)
    path = page.write(found, out, page.Origin(source, remarks, provenance))
    print(page.screen(found))
    print(f"{path}")
    return path

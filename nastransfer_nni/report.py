"""`python -m nastransfer_nni.report`: the statistics of a folder of runs, or of a CSV, as one page.

python -m nastransfer_nni.report runs/study --out report
python -m nastransfer_nni.report results.csv --out report --margin 0.3
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from nastransfer_nni.cli import Command
from nastransfer_nni.config import Config


class ReportConfig(Config):
    """Options of a report."""

    input: str = Field(description="a folder of runs, or a CSV file with a results table")
    out: str = Field("report", description="folder for the page, its tables and figures")
    margin: float = Field(
        0.5, gt=0, description="relative improvements below this, in percent, are equivalent"
    )
    samples: int = Field(10_000, ge=1000, description="bootstrap samples")
    seed: int = Field(0, ge=0, description="of the bootstrap")
    confidence: float = Field(0.95, ge=0.5, lt=1, description="of the intervals; tests are at one minus this")

    @field_validator("input")
    @classmethod
    def _input_exists(cls, name: str) -> str:
        if not Path(name).expanduser().exists():
            raise ValueError("no such file or folder")
        return name

    @field_validator("out")
    @classmethod
    def _out_is_a_folder(cls, name: str) -> str:
        if Path(name).expanduser().is_file():
            raise ValueError("is a file; name a folder")
        return name


def report(config: ReportConfig) -> Path:
    """Read the results, make every statistic, and write the report.

    Returns:
        The page.

    Raises:
        UserError: the input is no results table, or the folder cannot be written.
    """
    from nastransfer_nni import results
    from nastransfer_nni.analysis import findings, page, table
    from nastransfer_nni.analysis.improvement import Options

    source, out = Path(config.input).expanduser(), Path(config.out).expanduser()
    if source.is_dir():
        rows, remarks, provenance = results.collect(source)
    else:
        rows, remarks = table.read(source)
        provenance = results.provenance_beside(source)
    options = Options(config.margin, config.samples, config.seed, config.confidence)
    found = findings.analyse(rows, options)
    path = page.write(found, out, page.Origin(source, remarks, provenance))
    print(page.screen(found))
    print(f"{path}")
    return path


COMMAND = Command(
    summary="the statistics of a folder of runs, or of a CSV, as one page with tables and figures",
    config=ReportConfig,
    target="nastransfer_nni.report:report",
    positional=("input",),
    examples=(
        "python -m nastransfer_nni.report runs/study --out report",
        "python -m nastransfer_nni.report results.csv --out report --margin 0.3",
    ),
)

if __name__ == "__main__":
    from nastransfer_nni import cli
    from nastransfer_nni.report import COMMAND

    cli.main("python -m nastransfer_nni.report", COMMAND)

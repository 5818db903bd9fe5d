"""`python -m nastransfer_nni.report`: the statistics of a folder of runs, or of a CSV, as one page.

python -m nastransfer_nni.report runs/study --out report
python -m nastransfer_nni.report results.csv --out report --margin 0.3
"""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.report.config import ReportConfig

COMMAND = cli.Command(
    summary="the statistics of a folder of runs, or of a CSV, as one page with tables and figures",
    config=ReportConfig,
    target="nastransfer_nni.report.run:report",
    positional=("input",),
    examples=(
        "python -m nastransfer_nni.report runs/study --out report",
        "python -m nastransfer_nni.report collect.csv --out report --margin 0.3",
    ),
)

if __name__ == "__main__":
    cli.main("python -m nastransfer_nni.report", COMMAND)

"""`python -m nastransfer_nni.report`: one page with the statistics, tables and figures of a study.

python -m nastransfer_nni.report runs/study --out report
python -m nastransfer_nni.report results.csv --out report --margin 0.3
"""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.report.config import ReportConfig

COMMAND = cli.Command(
    summary="one page with the statistics, tables and figures of a folder of runs or a results table",
    config=ReportConfig,
    target="nastransfer_nni.report.run:report",
    positional=("input",),
    examples=(
        "python -m nastransfer_nni.report runs/study --out report",
        "python -m nastransfer_nni.report results.csv --out report --margin 0.3",
    ),
)

if __name__ == "__main__":
    cli.main("python -m nastransfer_nni.report", COMMAND)

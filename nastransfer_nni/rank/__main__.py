"""`python -m nastransfer_nni.rank`: how well cheap evaluations order cells of known accuracy."""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.rank.config import RankConfig

COMMAND = cli.Command(
    summary="Compare cheap evaluations of cells with their known accuracies.",
    config=RankConfig,
    target="nastransfer_nni.rank.run:command",
    positional=("cells",),
    examples=(
        "python -m nastransfer_nni.rank runs/study-digits --by scores   # zero-cost scores, seconds",
        "python -m nastransfer_nni.rank runs/study-digits               # also shared weights, trainings",
        "python -m nastransfer_nni.rank cells.csv --source cifar10 --proxy images:0.05 --noise 0.10",
        "python -m nastransfer_nni.rank cells.csv --columns genotype=cell,top1=acc --by nwot+train:1",
    ),
    reads_file=True,
)

if __name__ == "__main__":
    cli.main("python -m nastransfer_nni.rank", COMMAND)

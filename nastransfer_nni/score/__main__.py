"""`python -m nastransfer_nni.score`: score the untrained network of a cell."""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.score.config import ScoreConfig

COMMAND = cli.Command(
    summary="Score the untrained network of a cell.",
    config=ScoreConfig,
    target="nastransfer_nni.score.run:score",
    positional=("arch",),
    examples=(
        "python -m nastransfer_nni.score DARTS_V2",
        "python -m nastransfer_nni.score runs/a/architecture.json --source cifar10 --by nwot+swap",
    ),
)

if __name__ == "__main__":
    cli.main("python -m nastransfer_nni.score", COMMAND)

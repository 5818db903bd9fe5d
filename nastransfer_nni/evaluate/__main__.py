"""`python -m nastransfer_nni.evaluate`: measure the accuracy of a trained network."""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.evaluate.config import EvaluateConfig

COMMAND = cli.Command(
    summary="Evaluate a trained network.",
    config=EvaluateConfig,
    target="nastransfer_nni.evaluate.run:evaluate",
    positional=("checkpoint",),
    examples=(
        "python -m nastransfer_nni.evaluate runs/b",
        "python -m nastransfer_nni.evaluate runs/b/checkpoints/best.pt --split train",
    ),
)

if __name__ == "__main__":
    cli.main("python -m nastransfer_nni.evaluate", COMMAND)

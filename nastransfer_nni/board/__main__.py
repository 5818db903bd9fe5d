"""`nastransfer tensorboard`: TensorBoard over runs, by short names."""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.board.config import BoardConfig

COMMAND = cli.Command(
    summary="Show runs in TensorBoard by short names, with all drawn cells, on this machine only.",
    config=BoardConfig,
    target="nastransfer_nni.board.run:show",
    positional=("folder",),
    examples=("nastransfer tensorboard runs/study-digits", "nastransfer tensorboard runs --port 6007"),
)

if __name__ == "__main__":
    cli.main("python -m nastransfer_nni.board", COMMAND)

"""`python -m nastransfer_nni.export`: write a trained network as safetensors, ONNX or torch.export."""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.export.config import ExportConfig

COMMAND = cli.Command(
    summary="Export a trained network with a model card.",
    config=ExportConfig,
    target="nastransfer_nni.export.run:export",
    positional=("checkpoint",),
    examples=("python -m nastransfer_nni.export runs/b --format all",),
)

if __name__ == "__main__":
    cli.main("python -m nastransfer_nni.export", COMMAND)

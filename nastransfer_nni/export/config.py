"""Options of an export."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge
from pydantic import Field

from nastransfer_nni.base.config import Config


class ExportConfig(Config):
    """Options of an export."""

    checkpoint: str = Field(description="a run's folder, or a checkpoint (also timm's)")
    which: Literal["last", "best"] = Field("last", description="of a run's folder: which checkpoint")
    format: Literal["safetensors", "onnx", "torch_export", "all"] = Field(
        "safetensors", description="safetensors, onnx, torch_export or all"
    )
    img_size: Annotated[int, Ge(0)] = Field(0, description="image size in px; 0: as in training")
    out: str | None = Field(None, description="folder to write to; None: `export` in the run's folder")

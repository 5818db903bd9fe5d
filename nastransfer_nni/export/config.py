"""Options of an export."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from annotated_types import Ge
from pydantic import Field, InstanceOf, model_validator

from nastransfer_nni.architecture.file import Architecture, read
from nastransfer_nni.base.config import Config, FromText
from nastransfer_nni.base.hub import PushOptions
from search_spaces.errors import UserError


class _ExportOptions(Config):
    """Options of an export without those of a push."""

    checkpoint: str = Field(
        description="folder of a run, a checkpoint, also one of timm's train.py, or hf-hub:owner/name"
    )
    which: Literal["last", "best"] = Field(
        "last", description="checkpoint that is used if a run's folder is given"
    )
    arch: Annotated[InstanceOf[Architecture], FromText(read)] | None = Field(
        None, description="architecture of weights that do not say what network they belong to"
    )
    format: Literal["safetensors", "onnx", "torch_export", "all"] = Field(
        "safetensors", description="file format; all: one file in each format"
    )
    img_size: Annotated[int, Ge(0)] = Field(
        0, description="height and width in px that the exported network expects; 0: the size in training"
    )
    out: str | None = Field(
        None, description="folder to write to; None: the folder `export` in the run's folder"
    )


class ExportConfig(PushOptions, _ExportOptions):
    """Options of an export."""

    @model_validator(mode="after")
    def _push_is_possible(self) -> Self:
        if self.push_to_hub and self.format not in ("safetensors", "all"):
            raise UserError(f"--push-to-hub needs --format safetensors or all, not {self.format}")
        return self

"""Options of an evaluation."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt
from pydantic import Field, field_validator

from nastransfer_nni.base.config import Config, DeviceName
from nastransfer_nni.data import sources


class EvaluateConfig(Config):
    """Options of an evaluation."""

    checkpoint: str = Field(description="a run's folder, a checkpoint (also timm's), or an exported folder")
    which: Literal["last", "best"] = Field("last", description="of a run's folder: which checkpoint")
    target: str | None = Field(None, description="image set; by default the one it was trained on")
    split: Literal["train", "validation", "test"] | None = Field(
        None, description="part of it; by default the one that training evaluated on"
    )
    img_size: Annotated[int, Ge(0)] = Field(0, description="image size in px; 0: as in training")
    batch_size: Annotated[int, Gt(0)] = Field(256, description="images of a batch")
    on_bad_image: Literal["skip", "stop"] = Field(
        "skip", description="what to do about images that are broken"
    )
    device: DeviceName = Field("auto", description="auto: a GPU where there is one")
    workers: Annotated[int, Ge(0)] = Field(4, description="processes that decode images")
    amp: bool = Field(False, description="bfloat16 instead of float32")
    out: str | None = Field(None, description="file for the figures, as JSON; None: the screen alone")

    @field_validator("target")
    @classmethod
    def _target_is_known(cls, name: str | None) -> str | None:
        if name is not None:
            sources.check(name)
        return name

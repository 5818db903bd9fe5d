"""Options of an evaluation."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import Field, InstanceOf

from nastransfer_nni.architecture.file import Architecture, read
from nastransfer_nni.base.config import Config, DeviceName, FromText, OutputFile
from nastransfer_nni.data import sources
from nastransfer_nni.data.sources import Source
from nastransfer_nni.training.recipes import Channels, Interpolation


class EvaluateConfig(Config):
    """Options of an evaluation."""

    checkpoint: str = Field(
        description="folder of a run, of an export or of timm's train.py, a checkpoint, or hf-hub:owner/name"
    )
    which: Literal["last", "best"] = Field("last", description="checkpoint that is used if a folder is given")
    arch: Annotated[InstanceOf[Architecture], FromText(read)] | None = Field(
        None, description="architecture of weights that do not say what network they belong to"
    )
    target: Annotated[InstanceOf[Source], FromText(sources.check)] | None = Field(
        None, description="image set to evaluate on; None: the one that the network was trained on"
    )
    split: Literal["train", "validation", "test"] | None = Field(
        None,
        description="split to evaluate on; None: the images that training evaluated on, or, with --target, "
        "test where it has labels, else validation",
    )
    img_size: Annotated[int, Ge(0)] = Field(
        0, description="height and width in px that images are resized to; 0: the size in training"
    )
    mean: Channels = Field(
        (), description="mean of each channel that is subtracted, for pixels in 0..1; empty: as in training"
    )
    std: Channels = Field(
        (), description="standard deviation that each channel is divided by; empty: as in training"
    )
    interpolation: Interpolation | None = Field(
        None, description="how images are resized; None: as in training"
    )
    crop_pct: Annotated[float, Gt(0), Le(1)] | None = Field(
        None, description="side of the central crop, as a fraction of the resized image; None: as in training"
    )
    class_map: str | None = Field(
        None,
        description="text file with the name of a class per line, in the order of the network's outputs; "
        "None: the names in the checkpoint, for timm's the order in which timm numbers the folders",
    )
    batch_size: Annotated[int, Gt(0)] = Field(256, description="images per batch, in each process")
    on_bad_image: Literal["skip", "stop"] = Field(
        "skip", description="what to do with images that cannot be decoded"
    )
    device: DeviceName = Field(
        "auto", description="cpu, cuda, cuda:N, mps or xpu; auto: a GPU where there is one"
    )
    workers: Annotated[int, Ge(0)] = Field(
        4, description="data workers: processes that decode images above 64 px, at most one per core; 0: none"
    )
    amp: bool = Field(False, description="compute in bfloat16 instead of float32")
    out: OutputFile | None = Field(
        None, description="JSON file to write the result to; None: it is printed only"
    )

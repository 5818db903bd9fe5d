"""Options of the architecture commands."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from nastransfer_nni.base.config import Config
from search_spaces.geometry import default_stem, geometries

ARCH = "a file or the name of a published cell"


class ListConfig(Config):
    """Options of `architecture list`."""

    as_json: bool = Field(False, description="print JSON instead of a table")


class DescribeConfig(Config):
    """Options of `architecture describe`."""

    arch: str = Field(description=ARCH)
    width: int = Field(36, ge=1, description="channels of the first cell")
    layers: int = Field(20, ge=1, description="number of cells")
    num_classes: int = Field(10, ge=1, description="size of the output")
    image_size: int = Field(32, ge=1, description="height and width of the images, in pixels")
    stem: Literal["auto", "cifar", "imagenet"] = Field("auto", description="auto: cifar up to 64 px")
    auxiliary: bool = Field(False, description="count the auxiliary head's parameters too")

    @property
    def chosen_stem(self) -> str:
        """The stem, with `auto` resolved."""
        return default_stem(self.image_size) if self.stem == "auto" else self.stem

    @model_validator(mode="after")
    def _fits(self) -> DescribeConfig:
        geometries(self.width, self.layers, self.chosen_stem)
        return self


class DrawConfig(Config):
    """Options of `architecture draw`."""

    arch: str = Field(description=ARCH)
    out: str = Field(".", description="folder for cell_normal.svg and cell_reduce.svg")


class ConvertConfig(Config):
    """Options of `architecture convert`."""

    arch: str = Field(description=ARCH)
    form: Literal["architecture", "genotype", "sample", "text"] = Field(
        "architecture", description="architecture.json, bare genotype, NNI sample, or Genotype(...) text"
    )
    out: str | None = Field(None, description="file to write; None: print")


class EpochConfig(Config):
    """Options of `architecture epoch`."""

    run: str = Field(description="folder of a search")
    epoch: int = Field(ge=1, description="the epoch whose cell is exported, from 1")
    out: str | None = Field(None, description="file to write; None: print")

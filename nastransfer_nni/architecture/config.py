"""Options of the architecture commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, InstanceOf, model_validator

from nastransfer_nni.architecture.file import Architecture, read
from nastransfer_nni.base.config import Config, FromText
from nastransfer_nni.latency.table import LatencyTable
from search_spaces.geometry import default_stem

ARCH = "architecture: a file in any form, or the name of a published cell such as DARTS_V2"

ArchitectureOption = Annotated[InstanceOf[Architecture], FromText(read)]
"""An option that names an architecture: it is read once, when the options are checked."""


class ListConfig(Config):
    """Options of `architecture list`."""

    as_json: bool = Field(False, description="print JSON instead of a table")


class DescribeConfig(Config):
    """Options of `architecture describe`."""

    renamed: ClassVar[Mapping[str, str]] = {"image_size": "img_size"}

    arch: ArchitectureOption = Field(description=ARCH)
    width: int = Field(36, ge=1, description="channels of a node in the first cell")
    layers: int = Field(20, ge=1, description="number of cells")
    num_classes: int = Field(10, ge=1, description="number of classes")
    img_size: int = Field(32, ge=1, description="height and width of the images, in px")
    stem: Literal["auto", "cifar", "imagenet"] = Field(
        "auto", description="layers before the first cell; auto: cifar up to 64 px, imagenet above"
    )
    auxiliary: bool = Field(False, description="count the auxiliary head's parameters too")
    latency_table: Annotated[InstanceOf[LatencyTable], FromText(LatencyTable.read)] | None = Field(
        None, description="latencies of the network's parts, a file that `measure-latency` has written"
    )

    @property
    def chosen_stem(self) -> str:
        """The stem, with `auto` resolved."""
        return default_stem(self.img_size) if self.stem == "auto" else self.stem

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        self.arch.space.check_size(self.width, self.layers, self.chosen_stem)
        return self


class DrawConfig(Config):
    """Options of `architecture draw`."""

    arch: ArchitectureOption = Field(description=ARCH)
    out: str = Field(
        ".",
        description="folder in which cell_normal.svg and cell_reduce.svg are written, or cell.svg in a space "
        "of one kind of cell",
    )


class ConvertConfig(Config):
    """Options of `architecture convert`."""

    arch: ArchitectureOption = Field(description=ARCH)
    form: Literal["architecture", "genotype", "sample", "text"] = Field(
        "architecture",
        description="form to write: architecture (architecture.json), genotype (bare JSON), sample (of NNI) "
        "or text (Genotype(...))",
    )
    out: str | None = Field(None, description="file to write; None: print")


class EpochConfig(Config):
    """Options of `architecture epoch`."""

    run: str = Field(description="folder of a search")
    epoch: int = Field(ge=1, description="epoch whose cell is exported, counted from 1")
    out: str | None = Field(None, description="file to write; None: print")

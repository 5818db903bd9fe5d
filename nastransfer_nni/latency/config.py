"""Options of the measurement of latencies."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, InstanceOf, model_validator

from nastransfer_nni.base.config import Config, DeviceName, FromText, OutputFile
from search_spaces import SPACES, Space, registry
from search_spaces.errors import UserError
from search_spaces.geometry import default_stem


class LatencyConfig(Config):
    """Options of the measurement of latencies."""

    space: Annotated[InstanceOf[Space], FromText(registry.parse)] = Field(
        "darts", validate_default=True, description=f"search space: {', '.join(SPACES)}"
    )
    width: int = Field(36, ge=1, description="channels of the first cell of the final network")
    layers: int = Field(20, ge=1, description="number of cells of the final network")
    num_classes: int = Field(10, ge=1, description="number of classes")
    img_size: int = Field(32, ge=1, description="height and width of the images, in px")
    stem: Literal["auto", "cifar", "imagenet"] = Field(
        "auto", description="layers before the first cell; auto: cifar up to 64 px, imagenet above"
    )
    batch_size: int = Field(1, ge=1, description="images that pass at a time")
    threads: int = Field(1, ge=1, description="threads of torch on the CPU")
    device: DeviceName = Field(
        "auto", description="cpu, cuda, cuda:N, mps or xpu; auto: a GPU where there is one"
    )
    rounds: int = Field(5, ge=1, description="number of times that all parts are measured; the median counts")
    seconds: float = Field(
        0.05, gt=0, description="time for which a part is computed again and again in each round"
    )
    check: int = Field(
        0, ge=0, description="number of random cells whose whole networks are compared with the sums"
    )
    out: OutputFile = Field("latency.json", description="file to write")

    @property
    def chosen_stem(self) -> str:
        """The stem, with `auto` resolved."""
        return default_stem(self.img_size) if self.stem == "auto" else self.stem

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        self.space.check_size(self.width, self.layers, self.chosen_stem)
        if self.check == 1:
            raise UserError("--check needs two cells or more, whose latencies can be correlated")
        return self

"""Options of the scores of a cell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, InstanceOf, field_validator

from nastransfer_nni.architecture.file import Architecture, read
from nastransfer_nni.base.config import Config, DeviceName, FromText
from nastransfer_nni.data import sources
from nastransfer_nni.data.sources import Source
from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.spec import ProxySpec
from nastransfer_nni.search.config import SearchConfig
from strategies.scores import SCORES, find


class EvaluationConfig(Config):
    """On which images and with which networks cells are evaluated."""

    source: Annotated[InstanceOf[Source], FromText(sources.check)] = Field(
        "digits", validate_default=True, description="image set: a known name, a Hub name or a folder"
    )
    proxy: Annotated[InstanceOf[ProxySpec], FromText(spec.parse)] = Field(
        "all",
        validate_default=True,
        description="images that are used, such as all, classes:5 or images:0.1",
    )
    proxy_seed: int = Field(0, ge=0, description="random seed with which the proxy set is drawn")
    img_size: int | None = Field(
        None, ge=8, description="height and width in px that images are resized to; None: their own size"
    )
    seed: int = Field(0, ge=0, description="random seed of weights, splits and batches")
    batch_size: int = Field(64, ge=2, description="images per batch")
    batches: int = Field(2, ge=1, description="number of batches that untrained networks are scored on")
    width: int = Field(16, ge=1, description="channels of a node in the first cell")
    layers: int = Field(8, ge=3, description="number of cells")
    stem: Literal["auto", "cifar", "imagenet"] = Field(
        "auto", description="layers before the first cell; auto: cifar up to 64 px, imagenet above"
    )
    device: DeviceName = Field(
        "auto", description="cpu, cuda, cuda:N, mps or xpu; auto: a GPU where there is one"
    )

    def search(self, strategy: str, **options: Any) -> SearchConfig:
        """Options of a search with `strategy` that evaluates its candidates in this way.

        Raises:
            UserError: an option does not fit, such as width and layers.
        """
        shared = {name: getattr(self, name) for name in EvaluationConfig.model_fields if name != "batches"}
        return SearchConfig.create({**shared, "strategy": strategy, **options})


class ScoreConfig(EvaluationConfig):
    """Options of the scores of a cell."""

    arch: Annotated[InstanceOf[Architecture], FromText(read)] = Field(
        description="architecture: a file in any form, or the name of a published cell such as DARTS_V2"
    )
    by: str = Field("+".join(SCORES), description="scores, joined by +; default: all")

    @field_validator("by")
    @classmethod
    def _scores_are_known(cls, by: str) -> str:
        find(by)
        return by

"""Options of a search."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

import strategies
from nastransfer_nni.base.config import Config, Count, DeviceName
from nastransfer_nni.data import sources
from nastransfer_nni.proxy import spec
from nastransfer_nni.training import recipes
from search_spaces.geometry import geometries


class SearchConfig(Config):
    """Options of a search."""

    source: str = Field("digits", description="image set to search on: a known name, a Hub name or a folder")
    proxy: str = Field("all", description="which images: all, classes:100, images:0.1, ..., or a manifest")
    proxy_seed: int = Field(0, ge=0, description="of a proxy's random choices; a manifest has its own")
    pixels: int | None = Field(None, ge=8, description="side that images are brought to; None: as they are")
    strategy: str = Field("darts", description="strategy, with options as in darts:alpha_learning_rate=6e-4")
    seed: int = Field(0, ge=0, description="of weights, splits, batches and the strategy's draws")
    epochs: int = Field(50, ge=1, description="passes over the weights half")
    batch_size: int = Field(64, ge=1, description="images of a batch, over all processes")
    width: int = Field(16, ge=1, description="channels of the supernet's first cell")
    layers: int = Field(8, ge=1, description="cells of the supernet")
    stem: Literal["auto", "cifar", "imagenet"] = Field("auto", description="auto: cifar up to 64 px")
    learning_rate: float = Field(0.025, gt=0, description="of the shared weights' SGD, at the start")
    learning_rate_min: float = Field(0.001, ge=0, description="where its cosine ends")
    momentum: float = Field(0.9, ge=0, lt=1, description="of the shared weights' SGD")
    weight_decay: float = Field(3e-4, ge=0, description="of the shared weights")
    gradient_clip: float = Field(5.0, gt=0, description="largest norm of the weights' gradient")
    weights_share: float = Field(0.5, gt=0, lt=1, description="share of each class that trains the weights")
    alphas_share: float = Field(0.5, gt=0, lt=1, description="share of each class that trains the alphas")
    on_bad_image: Literal["skip", "stop"] = Field(
        "skip", description="what to do about images that are broken"
    )
    loader_workers: int = Field(2, ge=0, description="processes that decode images above 64 px")
    budget: Count | None = Field(
        None, description="images that may pass with a gradient, as 5M; sets the epochs, or the candidates"
    )
    max_mult_adds: Count | None = Field(None, description="what the final network may cost, as 600M")
    final_protocol: str = Field(
        "", description="protocol whose network that is; by default the one for the source"
    )
    final_classes: int | None = Field(None, ge=1, description="its classes; None: those of the proxy set")
    workers: int = Field(
        0, ge=0, description="candidates trained at once, as trials of NNI; 0: in this process, one by one"
    )
    training_service: str | None = Field(
        None, description="YAML file with NNI's section trainingService; None: trials on this machine"
    )
    port: int = Field(8080, ge=1024, le=65534, description="of NNI's web UI, where there are trials")
    device: DeviceName = Field("auto", description="auto: a GPU where there is one")
    out: str | None = Field(
        None, description="folder of the run; None: runs/search-..., named by the options"
    )
    overwrite: bool = Field(False, description="start anew where the folder holds another run")

    @field_validator("source")
    @classmethod
    def _source_is_known(cls, name: str) -> str:
        sources.check(name)
        return name

    @field_validator("proxy")
    @classmethod
    def _proxy_is_known(cls, proxy: str) -> str:
        spec.check(proxy)
        return proxy

    @field_validator("strategy")
    @classmethod
    def _strategy_is_known(cls, text: str) -> str:
        strategies.parse(text)
        return text

    @field_validator("final_protocol")
    @classmethod
    def _protocol_is_known(cls, name: str) -> str:
        if name:
            recipes.resolve(name, {})
        return name

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.weights_share + self.alphas_share > 1 + 1e-9:
            raise ValueError("--weights-share and --alphas-share add up to more than 1")
        name, options = strategies.parse(self.strategy)
        if self.is_distributed and options.shares_weights():
            raise ValueError(
                f"{name} shares weights between cells, in one process: --workers is for strategies that "
                "train candidates (random:samples=N, evolution)"
            )
        if not options.shares_weights() and self.layers < 3:
            raise ValueError("--layers must be at least 3, or the cells of one kind would have no place")
        geometries(self.width, self.layers, "cifar" if self.stem == "auto" else self.stem)
        return self

    @property
    def is_distributed(self) -> bool:
        """Whether candidates are trials over NNI's training service."""
        return self.workers > 0 or self.training_service is not None

    def setting(self) -> dict[str, Any]:
        """How it was trained, where not by the defaults: tells uses of a strategy apart in the analysis."""
        named = {"source", "proxy", "proxy_seed", "strategy", "seed", "workers", "out", "overwrite", *ASIDE}
        return self.model_dump(mode="json", exclude_defaults=True, exclude=named)


ASIDE = ("device", "loader_workers", "training_service", "port")
"""Options that a run may be resumed with other values of."""

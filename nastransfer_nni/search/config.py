"""Options of a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, InstanceOf, PlainSerializer, model_validator

import strategies
from nastransfer_nni.base.config import Config, Count, DeviceName, FromText
from nastransfer_nni.base.renames import SEARCH_OPTIONS
from nastransfer_nni.data import sources
from nastransfer_nni.data.sources import SOURCES, Source
from nastransfer_nni.latency.table import LatencyTable
from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.spec import ProxySpec
from nastransfer_nni.proxy.step import KINDS
from nastransfer_nni.tracking.services import LogMLflow, LogWandB
from nastransfer_nni.training import protocols
from nastransfer_nni.training.recipes import ColorJitter, Recipe
from search_spaces import SPACES, Space, registry
from search_spaces.errors import UserError
from search_spaces.geometry import default_stem
from strategies import STRATEGIES, StrategySpec
from strategies.budget import KINDS as KINDS_OF_LIMITS
from strategies.budget import Budget
from strategies.scores.options import ScoreOptions

NON_IDENTIFYING_OPTIONS = (
    "device",
    "workers",
    "channels_last",
    "cuda_graphs",
    "training_service",
    "port",
    "log_mlflow",
    "log_wandb",
)
"""Options that may change when a search is resumed, since its result does not depend on them."""


def _limits_of_budget(budget: Any) -> Budget | None:
    return None if budget is None else Budget.parse(budget)


def _plain_budget(budget: Budget | None) -> int | str | None:
    return None if budget is None else budget.plain


class SearchConfig(Config):
    """Options of a search."""

    renamed: ClassVar[Mapping[str, str]] = SEARCH_OPTIONS

    source: Annotated[InstanceOf[Source], FromText(sources.check)] = Field(
        "digits",
        validate_default=True,
        description=f"image set to search on: {', '.join(SOURCES)}, a Hub name (owner/name) or a folder",
    )
    proxy: Annotated[InstanceOf[ProxySpec], FromText(spec.parse)] = Field(
        "all",
        validate_default=True,
        description=f"images that the search uses, as in classes:100 or images:0.1: {', '.join(KINDS)}; or a "
        "manifest",
    )
    proxy_seed: int = Field(
        0, ge=0, description="random seed with which the proxy set is drawn; a manifest brings its own"
    )
    img_size: int | None = Field(
        None, ge=8, description="height and width in px that images are resized to; None: their own size"
    )
    strategy: Annotated[InstanceOf[StrategySpec], FromText(strategies.parse)] = Field(
        "darts",
        validate_default=True,
        description=f"strategy: {', '.join(STRATEGIES)}, with options as in darts:order=2,alpha_lr=6e-4, or "
        "package.module:Class",
    )
    space: Annotated[InstanceOf[Space], FromText(registry.parse)] = Field(
        registry.DEFAULT,
        validate_default=True,
        description=f"search space: {', '.join(SPACES)}, with options as in "
        "darts:operations=skip_connect+sep_conv_3x3,nodes=3",
    )
    seed: int = Field(
        0, ge=0, description="random seed of initial weights, data splits, batches and the strategy's draws"
    )
    epochs: int = Field(
        50, ge=1, description="epochs over the weight split, for the supernet or for each candidate"
    )
    batch_size: int = Field(64, ge=1, description="images per batch, over all processes")
    width: int = Field(16, ge=1, description="channels of a node in the supernet's first cell")
    layers: int = Field(8, ge=1, description="number of cells of the supernet")
    stem: Literal["auto", "cifar", "imagenet"] = Field(
        "auto", description="layers before the first cell; auto: cifar up to 64 px, imagenet above"
    )
    lr: float = Field(0.025, gt=0, description="initial learning rate of the shared weights' SGD")
    min_lr: float = Field(0.001, ge=0, description="learning rate at the end of the cosine schedule")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of the shared weights' SGD")
    weight_decay: float = Field(3e-4, ge=0, description="weight decay of the shared weights")
    clip_grad: float = Field(5.0, gt=0, description="largest norm of the weights' gradient")
    weights_share: float = Field(
        0.5, gt=0, lt=1, description="fraction of each class that trains the weights (the weight split)"
    )
    alphas_share: float = Field(
        0.5, gt=0, lt=1, description="fraction of each class that trains and validates the architecture"
    )
    val_interval: int = Field(
        1, ge=1, description="epochs from one evaluation to the next; the last epoch is always evaluated"
    )
    color_jitter: ColorJitter | None = Field(
        None,
        description="brightness, contrast, saturation and, if given, hue; None: 0.4,0.4,0.4,0.2 above 64 px, "
        "else none",
    )
    scale: tuple[float, float] = Field(
        (0.08, 1.0), description="area of the random resized crop above 64 px, as fractions of the image"
    )
    on_bad_image: Literal["skip", "stop"] = Field(
        "skip", description="what to do with images that cannot be decoded"
    )
    workers: int = Field(2, ge=0, description="data workers: processes that decode images above 64 px")
    budget: Annotated[Budget | None, BeforeValidator(_limits_of_budget), PlainSerializer(_plain_budget)] = (
        Field(
            None,
            description="what the search may take: images with a gradient, such as 5M, or limits as in "
            f"total_images=20M,seconds=3600: {', '.join(KINDS_OF_LIMITS)}; the first that is reached ends it",
        )
    )
    max_mult_adds: Count | None = Field(
        None, description="limit on the final network's multiply-adds per image, such as 600M"
    )
    max_params: Count | None = Field(
        None, description="limit on the final network's number of parameters, such as 3.5M"
    )
    max_latency: float | None = Field(
        None, gt=0, description="limit on the final network's latency in ms, by --latency-table"
    )
    latency_table: Annotated[InstanceOf[LatencyTable], FromText(LatencyTable.read)] | None = Field(
        None, description="latencies of the final network's parts, a file that `measure-latency` has written"
    )
    final_protocol: str = Field(
        "", description="training protocol of the network that limits refer to; default: the source's"
    )
    final_classes: int | None = Field(
        None, ge=1, description="number of classes of that network; None: classes of the proxy set"
    )
    concurrency: int = Field(
        0,
        ge=0,
        description="candidates trained at a time as NNI trials; 0: one after the other in this process",
    )
    training_service: str | None = Field(
        None, description="YAML file with NNI's section trainingService; None: trials on this machine"
    )
    port: int = Field(
        8080, ge=1024, le=65534, description="port of NNI's web UI, where candidates are trials"
    )
    device: DeviceName = Field(
        "auto", description="cpu, cuda, cuda:N, mps or xpu; auto: a GPU where there is one"
    )
    channels_last: bool = Field(
        True,
        description="channels-last memory layout on a GPU; on a CPU the compiled loops of search-time cells "
        "have it anyway",
    )
    amp: bool = Field(False, description="convolutions and matrix products in bfloat16: another search")
    tf32: bool | None = Field(
        None,
        description="TensorFloat-32 on an NVIDIA GPU, in convolutions and matrix products; None: as torch "
        "does, in convolutions only",
    )
    cuda_graphs: bool = Field(
        True, description="steps of darts as CUDA graphs on a GPU, where its options allow them"
    )
    log_mlflow: LogMLflow = False
    log_wandb: LogWandB = False
    out: str | None = Field(
        None, description="folder of the run; None: runs/search-..., named by the options"
    )
    overwrite: bool = Field(False, description="start anew where the folder holds another run")

    @model_validator(mode="before")
    @classmethod
    def _as_the_strategy_is_published(cls, values: Any) -> Any:
        """Take the options that belong to the strategy's method as defaults."""
        strategy = values.get("strategy") if isinstance(values, dict) else None
        if isinstance(strategy, str):
            strategy = strategies.parse(strategy)
        if not isinstance(strategy, StrategySpec):
            return values
        return {**strategy.options.search, **values, "strategy": strategy}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.weights_share + self.alphas_share > 1 + 1e-9:
            raise UserError("--weights-share and --alphas-share add up to more than 1")
        shares_weights = self.strategy.options.shares_weights
        if self.is_distributed and shares_weights:
            raise UserError(
                f"{self.strategy.name} shares weights between cells, in one process: --concurrency is for "
                "strategies that train candidates (random:candidates=N, evolution)"
            )
        if self.amp and getattr(self.strategy.options, "order", 1) == 2:
            raise UserError(
                "--amp rounds away the differences of gradients that order=2 takes: use order=1, or no --amp"
            )
        if self.amp and isinstance(self.strategy.options, ScoreOptions):
            raise UserError("--amp speeds up training, and the strategy score trains nothing")
        if self.max_latency is not None and self.latency_table is None:
            raise UserError(
                "--max-latency needs --latency-table, a file that `nastransfer measure-latency` writes"
            )
        if self.final_protocol:
            protocols.resolve(self.final_protocol, {})
        stem = "cifar" if self.stem == "auto" else self.stem
        self.space.check_supernet(self.width, self.layers, stem)
        self.strategy.options.check_space(self.space)
        self.strategy.options.check_search(self.epochs, self.width, self.layers)
        return self

    @classmethod
    def upgrade(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options as version 0.1 wrote them, by their names of today."""
        upgraded = {**cls().model_dump(mode="json"), **super().upgrade(options)}
        if isinstance(upgraded.get("strategy"), str):
            upgraded["strategy"] = strategies.upgrade(upgraded["strategy"])
        return upgraded

    @property
    def is_distributed(self) -> bool:
        """Whether candidates are trials over NNI's training service."""
        return self.concurrency > 0 or self.training_service is not None

    def stem_for(self, img_size: int) -> str:
        """The stem for images of `img_size` pixels."""
        return default_stem(img_size) if self.stem == "auto" else self.stem

    def setting(self) -> dict[str, Any]:
        """The options that are not at their defaults: they tell uses of a strategy apart in a report."""
        named = {"source", "proxy", "proxy_seed", "strategy", "seed", "concurrency", "out", "overwrite"}
        exclude = {*named, "space", *NON_IDENTIFYING_OPTIONS}
        changed = self.model_dump(mode="json", exclude_defaults=True, exclude=exclude)
        return changed if self.space == registry.default() else {"space": self.space.text, **changed}

    def candidate_recipe(self, img_size: int) -> Recipe:
        """How a candidate is trained from scratch on images of `img_size` pixels."""
        return Recipe(
            protocol="search",
            width=self.width,
            layers=self.layers,
            img_size=img_size,
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            min_lr=self.min_lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            clip_grad=self.clip_grad,
            amp=self.amp,
        )

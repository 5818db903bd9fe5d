"""Training protocols: everything that decides how a final network is trained, by name.

The names of the options are those of timm's training script. `batch_size` is the batch of one optimizer step,
over all processes and accumulated parts, so that a protocol means the same on any number of GPUs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from nastransfer_nni.base.config import Config
from nastransfer_nni.base.files import digest
from nastransfer_nni.data.photo_transform import PhotoTransform
from nastransfer_nni.data.sources import Source
from search_spaces.errors import UserError, unknown
from search_spaces.geometry import SMALL_PIXELS, default_stem


def _jitter(value: Any) -> Any:
    """One number stands for three equal ones, 0 for none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value,) * 3 if value else ()
    return value


def _policy(text: str) -> str:
    if not re.fullmatch(r"|(original|originalr|v0|v0r|3a|rand|augmix)(-[a-z]+\d[\d.]*)*", text):
        raise UserError("must be original, v0, 3a or as rand-m6-n2-mstd0.5-inc1 and augmix-m3-w3")
    return text


ColorJitter = Annotated[tuple[Annotated[float, Ge(0)], ...], BeforeValidator(_jitter)]
"""Strengths of brightness, contrast, saturation and, if given, hue; one number stands for the first three."""

Share = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[int, Gt(0)]
NotNegative = Annotated[float, Ge(0)]


class Recipe(Config):
    """How a network is trained. 0 turns off whatever can be turned off."""

    protocol: str = Field(description="name of the preset that these options started from")
    width: Positive = Field(36, description="channels of the first cell's nodes")
    layers: Positive = Field(20, description="number of cells")
    stem: Literal["auto", "cifar", "imagenet"] = Field(
        "auto", description=f"auto: cifar up to {SMALL_PIXELS} px, imagenet above"
    )
    img_size: Annotated[int, Ge(0)] = Field(0, description="image size in px; 0: as the target has them")
    auxiliary_weight: NotNegative = Field(0.0, description="weight of the auxiliary head's loss")
    drop: Share = Field(0.0, description="dropout before the classifier")
    drop_path: Share = Field(0.0, description="drop-path rate of the last epoch; grows linearly from 0")

    epochs: Positive = Field(600, description="epochs in all, warm-up included")
    batch_size: Positive = Field(96, description="images per optimizer step, over all processes")
    grad_accum_steps: Positive = Field(1, description="parts that a step's batch is computed in")
    opt: str = Field("momentum", description="timm's name of the optimizer; momentum is plain SGD with it")
    lr: Annotated[float, Gt(0)] = Field(0.025, description="learning rate after warm-up")
    momentum: Share = Field(0.9, description="momentum, for optimizers that have it")
    weight_decay: NotNegative = Field(3e-4, description="weight decay")
    filter_bias_and_bn: bool = Field(False, description="no weight decay for biases and BatchNorm")
    opt_eps: NotNegative = Field(0.0, description="the optimizer's epsilon; 0: its default")
    opt_betas: tuple[float, ...] = Field((), description="the optimizer's betas; empty: its defaults")
    clip_grad: NotNegative = Field(5.0, description="gradient clipping; 0: none")
    clip_mode: Literal["norm", "value", "agc"] = Field("norm", description="what clip_grad bounds")

    sched: Literal["cosine", "step", "poly", "tanh", "wsd", "constant"] = Field(
        "cosine", description="learning-rate schedule"
    )
    sched_on_updates: bool = Field(False, description="change the learning rate every step, not every epoch")
    min_lr: NotNegative = Field(0.0, description="where the schedule ends")
    warmup_epochs: Annotated[int, Ge(0)] = Field(0, description="epochs of linear warm-up")
    warmup_lr: NotNegative = Field(1e-5, description="where warm-up starts")
    decay_epochs: Annotated[float, Gt(0)] = Field(1.0, description="step: epochs between decays")
    decay_rate: Annotated[float, Gt(0)] = Field(1.0, description="step: factor; poly: power")

    smoothing: Share = Field(0.0, description="label smoothing")
    bce_loss: bool = Field(False, description="binary cross-entropy instead of softmax cross-entropy")
    mixup: NotNegative = Field(0.0, description="mixup alpha")
    cutmix: NotNegative = Field(0.0, description="cutmix alpha")
    mixup_prob: Share = Field(1.0, description="chance that a batch is mixed")
    mixup_switch_prob: Share = Field(0.5, description="chance of cutmix where both are on")
    mixup_off_epoch: Annotated[int, Ge(0)] = Field(0, description="epoch from which nothing is mixed")

    aa: Annotated[str, AfterValidator(_policy)] = Field(
        "", description="timm's AutoAugment or RandAugment string, as rand-m6-mstd0.5-inc1"
    )
    cutout: Annotated[int, Ge(0)] = Field(0, description="side of the square that is cut out, in px")
    color_jitter: ColorJitter = Field((), description="brightness, contrast, saturation and, if given, hue")
    reprob: Share = Field(0.0, description="chance of random erasing")
    remode: Literal["const", "rand", "pixel"] = Field("pixel", description="what is put in its place")
    scale: tuple[float, float] = Field((0.08, 1.0), description="area of a random resized crop")
    ratio: tuple[float, float] = Field((3 / 4, 4 / 3), description="aspect ratio of a random resized crop")
    vflip: Share = Field(0.0, description="chance of a vertical flip")
    crop_pct: Annotated[float, Gt(0), Le(1)] = Field(0.875, description="part that evaluation crops")

    model_ema: bool = Field(False, description="keep an average of the weights and evaluate that")
    model_ema_decay: Share = Field(0.9998, description="its decay")
    model_ema_warmup: bool = Field(False, description="let its decay grow from 0")
    amp: bool = Field(False, description="mixed precision")
    amp_dtype: Literal["bfloat16", "float16"] = Field("bfloat16", description="its lower precision")
    sync_bn: bool = Field(False, description="BatchNorm over all processes in training")
    dist_bn: Literal["reduce", "broadcast"] = Field(
        "reduce", description="how processes agree on BatchNorm's running figures after an epoch"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.color_jitter) not in (0, 3, 4):
            raise UserError("color_jitter takes one, three or four numbers")
        if self.warmup_epochs >= self.epochs:
            raise UserError(f"warmup_epochs ({self.warmup_epochs}) must be below epochs ({self.epochs})")
        if self.batch_size % self.grad_accum_steps:
            raise UserError(
                f"batch_size ({self.batch_size}) must be a multiple of grad_accum_steps "
                f"({self.grad_accum_steps})"
            )
        if self.is_mixed and (self.batch_size // self.grad_accum_steps) % 2:
            raise UserError("mixup and cutmix need an even batch")
        return self

    @property
    def is_mixed(self) -> bool:
        """Whether targets are mixed, and therefore soft."""
        return self.mixup > 0 or self.cutmix > 0

    def stem_for(self, pixels: int) -> str:
        """The stem for images of this size."""
        return default_stem(pixels) if self.stem == "auto" else self.stem

    @property
    def photo_transform(self) -> PhotoTransform:
        """How images that are decoded one by one are cropped and augmented."""
        return PhotoTransform(
            scale=self.scale,
            ratio=self.ratio,
            vflip=self.vflip,
            color_jitter=self.color_jitter,
            aa=self.aa,
            reprob=self.reprob,
            remode=self.remode,
            cutout=self.cutout,
            crop_pct=self.crop_pct,
        )

    @property
    def hash(self) -> str:
        """Equal for protocols that train in the same way, whatever their name."""
        return digest(self.model_dump(mode="json", include=set(Recipe.model_fields) - {"protocol"}))


_DARTS_IMAGENET: dict[str, Any] = {
    "width": 48,
    "layers": 14,
    "img_size": 224,
    "auxiliary_weight": 0.4,
    "epochs": 250,
    "weight_decay": 3e-5,
    "smoothing": 0.1,
    "color_jitter": (0.4, 0.4, 0.4, 0.2),
}
_LARGE_BATCH: dict[str, Any] = {**_DARTS_IMAGENET, "batch_size": 1024, "warmup_epochs": 5}

PRESETS: Mapping[str, Recipe] = {
    name: Recipe(protocol=name, **options)
    for name, options in {
        "darts-cifar": {"auxiliary_weight": 0.4, "drop_path": 0.2, "cutout": 16},
        "darts-imagenet": {
            **_DARTS_IMAGENET,
            "batch_size": 128,
            "lr": 0.1,
            "sched": "step",
            "decay_epochs": 1,
            "decay_rate": 0.97,
        },
        "large-batch-imagenet": {**_LARGE_BATCH, "lr": 0.5, "sched": "poly", "warmup_lr": 0.1},
        "yang-224": {
            "layers": 8,
            "img_size": 224,
            "auxiliary_weight": 0.4,
            "drop_path": 0.2,
            "color_jitter": (0.4, 0.4, 0.4, 0.2),
        },
        "timm-modern": {
            **_LARGE_BATCH,
            "opt": "lamb",
            "lr": 5e-3,
            "weight_decay": 0.02,
            "filter_bias_and_bn": True,
            "clip_grad": 0,
            "min_lr": 1e-6,
            "warmup_lr": 1e-4,
            "aa": "rand-m6-mstd0.5-inc1",
            "color_jitter": (),
            "mixup": 0.1,
            "cutmix": 1.0,
            "model_ema": True,
            "amp": True,
        },
        "digits": {"width": 16, "layers": 5, "epochs": 30, "batch_size": 64},
        "fashion-mnist": {"width": 16, "layers": 8, "epochs": 20, "drop_path": 0.1},
    }.items()
}
"""The published protocols, and a small one each for the two smallest targets."""


def default_for(source: Source) -> str:
    """The preset for a target that no protocol was asked for."""
    known = {
        "digits": "digits",
        "fashion_mnist": "fashion-mnist",
        "imagenet1k": "darts-imagenet",
        "imagenet22k": "darts-imagenet",
    }
    if source.name in known:
        return known[source.name]
    return "darts-cifar" if source.pixels and max(source.pixels) <= SMALL_PIXELS else "yang-224"


def resolve(name: str, changes: Mapping[str, Any]) -> Recipe:
    """The preset `name` with some options changed.

    Raises:
        UserError: no such preset, or an option that does not fit.
    """
    if name not in PRESETS:
        raise unknown("protocol", name, list(PRESETS))
    return Recipe.create({**PRESETS[name].model_dump(), **changes})

"""Training recipes: every option that decides how a final network is trained.

Options have the names of timm's training script. `batch_size` counts the images of one optimizer step over
all processes and micro-batches, so that a recipe means the same on any number of GPUs.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from nastransfer_nni.base.config import Config
from nastransfer_nni.base.files import digest
from nastransfer_nni.data.photo_transform import PhotoTransform
from search_spaces.errors import UserError
from search_spaces.geometry import SMALL_PIXELS, default_stem


def _jitter(value: Any) -> Any:
    """One number becomes three equal ones, 0 becomes none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value,) * 3 if value else ()
    return value


_POLICY = (
    r"|(original|originalr|v0|v0r|3a)(-mstd\d+(\.\d+)?)*"
    r"|rand(-((m|n|mmax|inc)\d+|(p|mstd)\d+(\.\d+)?))*"
    r"|augmix(-((m|w|d|b)\d+|(a|mstd)\d+(\.\d+)?))*"
)
"""What timm's `auto_augment_transform`, `rand_augment_transform` and `augment_and_mix_transform` take."""


def _policy(text: str) -> str:
    if not re.fullmatch(_POLICY, text):
        raise UserError(
            "must be original, v0, 3a, rand or augmix with settings as in rand-m6-n2-mstd0.5-inc1"
        )
    return text


def _triple(value: Any) -> Any:
    """One number becomes three equal ones, for the three channels."""
    return (value,) * 3 if isinstance(value, int | float) and not isinstance(value, bool) else value


Channels = Annotated[tuple[()] | tuple[float, float, float], BeforeValidator(_triple)]
"""A number per RGB channel; one number stands for three equal ones."""

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
"""How images are resized, in timm's words."""

ColorJitter = Annotated[tuple[Annotated[float, Ge(0)], ...], BeforeValidator(_jitter)]
"""Strengths of brightness, contrast, saturation and, if given, hue; one number sets the first three."""

Fraction = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[int, Gt(0)]
NonNegative = Annotated[float, Ge(0)]


class Recipe(Config):
    """How a network is built and trained. 0 turns off whatever can be turned off."""

    protocol: str = Field(description="name of the preset that these options started from")
    width: Positive = Field(36, description="channels of a node in the first cell")
    layers: Positive = Field(20, description="number of cells")
    stem: Literal["auto", "cifar", "imagenet"] = Field(
        "auto",
        description=f"layers before the first cell; auto: cifar up to {SMALL_PIXELS} px, imagenet above",
    )
    img_size: Annotated[int, Ge(0)] = Field(
        0, description="height and width in px that images are resized to; 0: the target's own size"
    )
    auxiliary_weight: NonNegative = Field(0.0, description="weight of the auxiliary head's loss")
    drop: Fraction = Field(0.0, description="dropout rate before the classifier")
    drop_path: Fraction = Field(
        0.0, description="drop-path rate at the end of training; it grows linearly from 0"
    )

    epochs: Positive = Field(600, description="number of epochs, including warm-up")
    batch_size: Positive = Field(96, description="images per optimizer step, over all processes")
    grad_accum_steps: Positive = Field(
        1, description="micro-batches that an optimizer step is split into, to save memory"
    )
    opt: str = Field(
        "momentum",
        description="optimizer, by its name in timm; momentum: SGD with plain momentum",
    )
    lr: Annotated[float, Gt(0)] = Field(0.025, description="learning rate after warm-up")
    momentum: Annotated[float, Ge(0), Lt(1)] = Field(
        0.9, description="momentum, for optimizers that have one"
    )
    weight_decay: NonNegative = Field(3e-4, description="weight decay")
    filter_bias_and_bn: bool = Field(
        False, description="exclude biases and BatchNorm from weight decay, which is usual for timm's recipes"
    )
    opt_eps: NonNegative = Field(0.0, description="epsilon of the optimizer; 0: the optimizer's default")
    opt_betas: tuple[float, ...] = Field(
        (), description="betas of the optimizer; empty: the optimizer's defaults"
    )
    clip_grad: NonNegative = Field(5.0, description="limit of gradient clipping; 0: no clipping")
    clip_mode: Literal["norm", "value", "agc"] = Field(
        "norm",
        description="what --clip-grad limits: the norm of the whole gradient, each value, or the ratio of "
        "each unit's gradient to its weights (agc, adaptive gradient clipping)",
    )

    sched: Literal["cosine", "step", "poly", "tanh", "wsd", "constant", "p-darts"] = Field(
        "cosine",
        description="learning-rate schedule; p-darts: linear, at a fifth of the slope in the last 5 epochs",
    )
    sched_on_updates: bool = Field(
        False, description="update the learning rate after every optimizer step instead of every epoch"
    )
    min_lr: NonNegative = Field(0.0, description="learning rate at the end of the schedule")
    warmup_epochs: Annotated[int, Ge(0)] = Field(0, description="epochs of linear warm-up; 0: no warm-up")
    warmup_lr: NonNegative = Field(1e-5, description="learning rate at the start of warm-up")
    decay_epochs: Annotated[float, Gt(0)] = Field(
        1.0,
        description="epochs between decays of the learning rate, for --sched step; for --sched wsd epochs of "
        "the decay at the end, or below 1 the share of all",
    )
    decay_rate: Annotated[float, Gt(0)] = Field(
        1.0, description="factor of each decay for --sched step; exponent of the polynomial for --sched poly"
    )

    smoothing: Fraction = Field(0.0, description="label smoothing")
    bce_loss: bool = Field(False, description="binary cross-entropy instead of softmax cross-entropy")
    bce_target_thresh: Fraction = Field(
        0.0, description="for --bce-loss: mixed targets above this count as 1, others as 0; 0: as they are"
    )
    mixup: NonNegative = Field(0.0, description="alpha of mixup; 0: no mixup")
    cutmix: NonNegative = Field(0.0, description="alpha of cutmix; 0: no cutmix")
    mixup_prob: Fraction = Field(1.0, description="probability that a batch is mixed")
    mixup_switch_prob: Fraction = Field(
        0.5, description="probability of cutmix rather than mixup where both are on"
    )
    mixup_off_epoch: Annotated[int, Ge(0)] = Field(
        0, description="epoch from which images are no longer mixed; 0: they are mixed to the end"
    )

    no_aug: bool = Field(False, description="train on images as they are evaluated, without augmentation")
    aug_repeats: Annotated[int, Ge(0)] = Field(
        0,
        description="augmented copies of an image in an epoch, which stays as long and has the fewer images; "
        "0: one",
    )
    drop_last: bool = Field(
        True,
        description="leave an incomplete last batch out of the epoch; always so with mixup and micro-batches",
    )
    mean: Channels = Field(
        (), description="mean of each channel that is subtracted, for pixels in 0..1; empty: the target's"
    )
    std: Channels = Field(
        (), description="standard deviation that each channel is divided by; empty: the target's"
    )
    interpolation: Interpolation = Field("bicubic", description="how images are resized in evaluation")
    train_interpolation: Interpolation | Literal["random"] = Field(
        "random", description="how images are resized in training; random: bilinear or bicubic"
    )
    hflip: Fraction | None = Field(
        None, description="probability of a mirror image; None: 0.5, or 0 where the target forbids it"
    )
    aa: Annotated[str, AfterValidator(_policy)] = Field(
        "",
        description="AutoAugment, RandAugment or AugMix in timm's notation, such as rand-m6-mstd0.5-inc1; "
        "empty: none",
    )
    cutout: Annotated[int, Ge(0)] = Field(
        0, description="side in px of the square that is cut out of each image; 0: no cutout"
    )
    color_jitter: ColorJitter = Field(
        (), description="strength of random brightness, contrast, saturation and, if given, hue"
    )
    reprob: Fraction = Field(0.0, description="probability that a region of an image is erased at random")
    remode: Literal["const", "rand", "pixel"] = Field(
        "pixel", description="what fills an erased region: zeros, one random colour, or random pixels"
    )
    scale: tuple[float, float] = Field(
        (0.08, 1.0), description="area of the random resized crop, as fractions of the image"
    )
    ratio: tuple[float, float] = Field(
        (3 / 4, 4 / 3), description="aspect ratio of the random resized crop, width to height"
    )
    vflip: Fraction = Field(0.0, description="probability of a vertical flip")
    crop_pct: Annotated[float, Gt(0), Le(1)] = Field(
        0.875, description="side of the central crop in evaluation, as a fraction of the resized image"
    )

    model_ema: bool = Field(
        False, description="keep an exponential moving average of the weights and evaluate the average"
    )
    model_ema_decay: Fraction = Field(0.9998, description="decay of the averaged weights per optimizer step")
    model_ema_warmup: bool = Field(False, description="let the decay of the averaged weights grow from 0")
    amp: bool = Field(False, description="automatic mixed precision")
    amp_dtype: Literal["bfloat16", "float16"] = Field(
        "bfloat16", description="lower precision that --amp computes in"
    )
    sync_bn: bool = Field(
        False, description="compute BatchNorm's statistics over all processes instead of within each"
    )
    dist_bn: Literal["reduce", "broadcast"] = Field(
        "reduce",
        description="how processes agree on BatchNorm's running statistics after an epoch: the mean of all, "
        "or those of the first process",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.color_jitter) not in (0, 3, 4):
            raise UserError("color_jitter takes one, three or four numbers")
        if self.warmup_epochs >= self.epochs:
            raise UserError(f"warmup_epochs ({self.warmup_epochs}) must be below epochs ({self.epochs})")
        if self.sched == "wsd":
            most = self.epochs - self.warmup_epochs
            length = self.decay_epochs * (most if self.decay_epochs < 1 else 1)
            least = 1 if self.sched_on_updates else 2  # the last epoch begins before the last decay
            if not least <= round(length) <= most:
                raise UserError(
                    f"sched wsd decays in decay_epochs, here {length:g} of {most} epochs; write {least} "
                    "epochs or more, or a share such as 0.2"
                )
        if self.batch_size % self.grad_accum_steps:
            raise UserError(
                f"batch_size ({self.batch_size}) must be a multiple of grad_accum_steps "
                f"({self.grad_accum_steps})"
            )
        if self.is_mixed and (self.batch_size // self.grad_accum_steps) % 2:
            raise UserError("mixup and cutmix need an even number of images per micro-batch")
        if any(std <= 0 for std in self.std):
            raise UserError(f"std must be above 0 (got {self.std})")
        return self

    @property
    def keeps_last(self) -> bool:
        """Whether an incomplete last batch is trained on."""
        return not (self.drop_last or self.is_mixed or self.grad_accum_steps > 1)

    @property
    def is_mixed(self) -> bool:
        """Whether images and targets are mixed; targets are then soft."""
        return self.mixup > 0 or self.cutmix > 0

    def stem_for(self, img_size: int) -> str:
        """The stem for images of `img_size` x `img_size` pixels: `cifar` or `imagenet`."""
        return default_stem(img_size) if self.stem == "auto" else self.stem

    @property
    def photo_transform(self) -> PhotoTransform:
        """The options for images that are decoded and augmented one by one."""
        return PhotoTransform(
            scale=self.scale,
            ratio=self.ratio,
            hflip=self.hflip,
            vflip=self.vflip,
            color_jitter=self.color_jitter,
            aa=self.aa,
            reprob=self.reprob,
            remode=self.remode,
            cutout=self.cutout,
            crop_pct=self.crop_pct,
            interpolation=self.interpolation,
            train_interpolation=self.train_interpolation,
            no_aug=self.no_aug,
        )

    @property
    def hash(self) -> str:
        """Hash of every option except `protocol`: equal for recipes that train in the same way.

        An option that version 0.1 did not have counts only where it is not what that version did.
        """
        options = self.model_dump(mode="json", include=set(Recipe.model_fields) - {"protocol"})
        default = {name: Recipe.model_fields[name].default for name in ADDED_OPTIONS}
        same = {name for name in ADDED_OPTIONS if getattr(self, name) == default[name]}
        return digest({name: value for name, value in options.items() if name not in same})


ADDED_OPTIONS = (
    "bce_target_thresh",
    "no_aug",
    "aug_repeats",
    "drop_last",
    "mean",
    "std",
    "interpolation",
    "train_interpolation",
    "hflip",
)
"""Options that version 0.1 did not have; their defaults are what it did."""

"""The network of a transfer: built for its target, as wide as its limit allows."""

from __future__ import annotations

import bisect
from typing import Any

import torch

from nastransfer_nni.models.saved import Trained
from nastransfer_nni.training.loaders import crops
from nastransfer_nni.training.target import Target
from nastransfer_nni.transfer.config import TransferConfig
from search_spaces import sizes
from search_spaces.errors import UserError


def build(config: TransferConfig, target: Target, width: int) -> Any:
    """The network of `config` for a target, with fresh weights."""
    recipe = config.recipe
    return config.arch.space.build(
        config.arch.genotype,
        width=width,
        layers=recipe.layers,
        num_classes=target.num_classes,
        stem=recipe.stem_for(target.pixels),
        drop_rate=recipe.drop,
        auxiliary=recipe.auxiliary_weight > 0,
    )


def fitting_width(config: TransferConfig, target: Target) -> int:
    """The recipe's width, or the widest below it that keeps within `max_mult_adds`.

    Raises:
        UserError: not even the narrowest network does.
    """

    def cost(width: int) -> int:
        return mult_adds(config, target, width)

    limit, widest = config.max_mult_adds, config.recipe.width
    if limit is None or cost(widest) <= limit:
        return widest
    step = 2 if config.recipe.stem_for(target.pixels) == "imagenet" else 1
    widths = range(step, widest, step)
    fitting = bisect.bisect_right(widths, limit, key=cost)
    if fitting == 0:
        raise UserError(
            f"--max-mult-adds {limit:,}: even at width {step} the network needs {cost(step):,} mult-adds "
            f"(at width {widest}: {cost(widest):,})"
        )
    return widths[fitting - 1]


def mult_adds(config: TransferConfig, target: Target, width: int) -> int:
    """Multiply-adds per image of the network at this width."""
    with torch.device("meta"):
        return sizes.mult_adds(build(config, target, width), target.pixels)


def measures(config: TransferConfig, target: Target, model: Any, width: int) -> dict[str, Any]:
    """The network's sizes, for the summary; parameters without those of the auxiliary head."""
    own = (weight for name, weight in model.named_parameters() if not name.startswith("auxiliary_head."))
    return {
        "params": sum(weight.numel() for weight in own),
        "mult_adds": mult_adds(config, target, width),
        "parameter_free_share": model.genotype.parameter_free_share,
        "width": width,
    }


def card(config: TransferConfig, target: Target, width: int) -> dict[str, Any]:
    """What every checkpoint says of the network in it."""
    source = target.train.source
    is_cropped = crops(target.validation, config.recipe, target.pixels)
    unsaved = ("genotype", "found_by", "out", "overwrite")
    return Trained(
        architecture=config.arch,
        options={
            "width": width,
            "layers": config.recipe.layers,
            "num_classes": target.num_classes,
            "stem": config.recipe.stem_for(target.pixels),
        },
        input={
            "img_size": target.pixels,
            "mean": list(source.mean),
            "std": list(source.std),
            "crop_pct": config.recipe.crop_pct if is_cropped else 1.0,
            "interpolation": config.recipe.interpolation if is_cropped else "bicubic",
        },
        classes=target.train.classes,
        weights={},
        training={name: value for name, value in config.resolved().items() if name not in unsaved},
        result={},
    ).card()


def auxiliary_note(model: Any, img_size: int) -> str:
    """A note where the auxiliary head sees maps of a size that it was not designed for; empty elsewhere."""
    assert model.auxiliary_head is not None
    designed = model.auxiliary_head.pixels
    reduction = max(
        info["reduction"] for info, end in zip(model.feature_info, model.feature_ends, strict=True)
    )
    size = -(-img_size // reduction)
    if size == designed:
        return ""
    return (
        f"auxiliary head: its input is {size}x{size} where {designed}x{designed} was meant; it pools "
        "adaptively to 2x2"
    )

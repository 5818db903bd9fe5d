"""The published training protocols, and which one a target gets where the user names none.

Users select one with `--protocol`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from nastransfer_nni.data.sources import SOURCES, Source, local_folder
from nastransfer_nni.training.recipes import Recipe
from search_spaces.errors import UserError, unknown
from search_spaces.geometry import SMALL_PIXELS

_TORCHVISION: dict[str, Any] = {
    "interpolation": "bilinear",
    "train_interpolation": "bilinear",
    "drop_last": False,
}
"""What torchvision's transforms and torch's DataLoader do by default, and so does the literature's code."""

_DARTS_IMAGENET: dict[str, Any] = {
    **_TORCHVISION,
    "width": 48,
    "layers": 14,
    "img_size": 224,
    "auxiliary_weight": 0.4,
    "epochs": 250,
    "weight_decay": 3e-5,
    "smoothing": 0.1,
    "color_jitter": (0.4, 0.4, 0.4, 0.2),
}
_NAS_BENCH_201: dict[str, Any] = {
    "width": 16,
    "layers": 17,
    "epochs": 200,
    "batch_size": 256,
    "opt": "nesterov",
    "lr": 0.1,
    "weight_decay": 5e-4,
    "clip_grad": 0,
    "drop_last": False,
}
_LARGE_BATCH: dict[str, Any] = {"batch_size": 1024, "warmup_epochs": 5}
_TIMM: dict[str, Any] = {
    "width": 48,
    "layers": 14,
    "img_size": 224,
    "auxiliary_weight": 0.4,
    "filter_bias_and_bn": True,
    "clip_grad": 0,
    "min_lr": 1e-6,
    "warmup_epochs": 5,
    "warmup_lr": 1e-4,
    "cutmix": 1.0,
    "amp": True,
}
_STRIKES_BACK: dict[str, Any] = {
    **_TIMM,
    "batch_size": 2048,
    "opt": "lamb",
    "weight_decay": 0.02,
    "bce_loss": True,
    "bce_target_thresh": 0.2,
    "mixup": 0.1,
    "crop_pct": 0.95,
}

PRESETS: Mapping[str, Recipe] = {
    name: Recipe(protocol=name, **options)
    for name, options in {
        "darts-cifar": {"auxiliary_weight": 0.4, "drop_path": 0.2, "cutout": 16, "drop_last": False},
        "nas-bench-201": _NAS_BENCH_201,
        "darts-imagenet": {
            **_DARTS_IMAGENET,
            "batch_size": 128,
            "lr": 0.1,
            "sched": "step",
            "decay_epochs": 1,
            "decay_rate": 0.97,
        },
        "large-batch-imagenet": {**_DARTS_IMAGENET, **_LARGE_BATCH, "lr": 0.5, "sched": "p-darts"},
        "yang-224": {
            **_TORCHVISION,
            "cutout": 16,
            "layers": 8,
            "img_size": 224,
            "auxiliary_weight": 0.4,
            "drop_path": 0.2,
            "color_jitter": (0.4, 0.4, 0.4, 0.2),
        },
        "timm-modern": {
            **_TIMM,
            **_LARGE_BATCH,
            "epochs": 250,
            "opt": "lamb",
            "lr": 5e-3,
            "weight_decay": 0.02,
            "smoothing": 0.1,
            "aa": "rand-m6-mstd0.5-inc1",
            "mixup": 0.1,
            "model_ema": True,
        },
        "timm-a1": {
            **_STRIKES_BACK,
            "epochs": 600,
            "lr": 5e-3,
            "weight_decay": 0.01,
            "drop_path": 0.05,
            "aa": "rand-m7-mstd0.5-inc1",
            "aug_repeats": 3,
            "mixup": 0.2,
            "smoothing": 0.1,
        },
        "timm-a2": {
            **_STRIKES_BACK,
            "epochs": 300,
            "lr": 5e-3,
            "drop_path": 0.05,
            "aa": "rand-m7-mstd0.5-inc1",
            "aug_repeats": 3,
        },
        "timm-a3": {
            **_STRIKES_BACK,
            "epochs": 100,
            "lr": 8e-3,
            "img_size": 160,
            "aa": "rand-m6-mstd0.5-inc1",
        },
        "convnext": {
            **_TIMM,
            "epochs": 300,
            "batch_size": 4096,
            "opt": "adamw",
            "lr": 4e-3,
            "weight_decay": 0.05,
            "warmup_epochs": 20,
            "warmup_lr": 0,
            "sched_on_updates": True,
            "drop_path": 0.1,
            "smoothing": 0.1,
            "aa": "rand-m9-mstd0.5-inc1",
            "mixup": 0.8,
            "reprob": 0.25,
            "train_interpolation": "bicubic",
            "model_ema": True,
            "model_ema_decay": 0.9999,
        },
        "digits": {"width": 16, "layers": 5, "epochs": 30, "batch_size": 64},
        "fashion-mnist": {"width": 16, "layers": 8, "epochs": 20, "drop_path": 0.1},
    }.items()
}
"""The published recipes, and a small one for each of the two smallest targets. docs/transfer.md names their
sources."""


def default_for(source: Source, version: str = "") -> str:
    """Name of the preset where the user names none: by the target's name, else by the size of its images.

    Args:
        source: the target.
        version: `0.1`: as that version chose, which looked at no image.
    """
    if source.name in _DEFAULTS:
        return _DEFAULTS[source.name]
    pixels = source.pixels
    if pixels is None and source.name not in SOURCES and version != "0.1":
        pixels = largest_image(source)
    return "darts-cifar" if pixels and max(pixels) <= SMALL_PIXELS else "yang-224"


_DEFAULTS = {
    "digits": "digits",
    "fashion_mnist": "fashion-mnist",
    "imagenet1k": "darts-imagenet",
    "imagenet22k": "darts-imagenet",
}


@cache
def largest_image(source: Source) -> tuple[int, int] | None:
    """(height, width) of the largest of some images of a set; None where they cannot be seen yet."""
    if source.hub is None and local_folder(source) is None:
        return None
    from nastransfer_nni.data import loading  # opens the set, which no other option needs

    try:
        return loading.load(source, "train").largest_pixels
    except (UserError, OSError):  # training opens the set again, and says what is wrong
        return None


def default_changes(source: Source) -> dict[str, Any]:
    """What a default protocol changes for images that are smaller than those it was published for.

    A square of 16 px blanks most of an image of 16 px, and all of one of 8: it becomes half the image.
    """
    pixels = None if source.pixels or source.name in SOURCES else largest_image(source)
    cutout = PRESETS[default_for(source)].cutout
    return {"cutout": max(pixels) // 2} if pixels and 2 * cutout > max(pixels) else {}


def resolve(name: str, changes: Mapping[str, Any], version: str = "") -> Recipe:
    """The preset `name` with some options changed.

    Args:
        name: name of the preset.
        changes: options to change.
        version: `0.1`: the preset as that version had it, before it was corrected.

    Raises:
        UserError: there is no such preset, or an option has a bad value.
    """
    if name not in PRESETS:
        raise unknown("protocol", name, list(PRESETS))
    before = VERSION_0_1.get(name, {}) if version == "0.1" else {}
    return Recipe.create({**PRESETS[name].model_dump(), **before, **changes})


_NOT_TORCHVISION: dict[str, Any] = {name: Recipe.model_fields[name].default for name in _TORCHVISION}

VERSION_0_1: Mapping[str, Mapping[str, Any]] = {
    "darts-cifar": {"drop_last": True},
    "darts-imagenet": _NOT_TORCHVISION,
    "large-batch-imagenet": {**_NOT_TORCHVISION, "sched": "poly", "warmup_lr": 0.1},
    "yang-224": {**_NOT_TORCHVISION, "cutout": 0},
}
"""What version 0.1 had in place of options that are corrected since: its unfinished runs resume with it."""

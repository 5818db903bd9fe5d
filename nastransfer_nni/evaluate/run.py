"""Evaluate a trained network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from nastransfer_nni.base.distributed import distributed_context, pick_device
from nastransfer_nni.base.environment import available_cores
from nastransfer_nni.base.files import finite, pretty, write_json
from nastransfer_nni.base.paths import expanded
from nastransfer_nni.data import loading, sources
from nastransfer_nni.data.class_names import timm_order
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.sources import Source
from nastransfer_nni.evaluate.config import EvaluateConfig
from nastransfer_nni.models import saved
from nastransfer_nni.models.saved import Trained
from nastransfer_nni.training import evaluation
from nastransfer_nni.training.loaders import evaluation_batches
from nastransfer_nni.training.recipes import Recipe
from nastransfer_nni.training.target import aligned, normalized, part_to_evaluate
from search_spaces.errors import UserError


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Evaluate a trained network and print the result.

    Returns:
        loss, top1 and top5 in percent, the number of images and of their classes, and what was evaluated.

    Raises:
        UserError: there is no such network or target, or the images are of classes that it does not know.
    """
    network = saved.read(expanded(config.checkpoint), config.which, config.arch)
    target = config.target or _trained_on(network)
    input_options, origin = _input(config, network)
    images, classes_from = _images(config, network, target)
    recipe = _recipe(network, input_options)
    with distributed_context(pick_device(config.device)) as processes:
        if processes.is_main:
            print(_introduction(config, input_options, origin, images, classes_from), file=sys.stderr)
        batches = evaluation_batches(
            normalized(images, recipe),
            recipe,
            pixels=input_options["img_size"],
            batch_size=config.batch_size,
            processes=processes,
            workers=min(config.workers, available_cores()),
            on_bad_image=config.on_bad_image,
            as_timm=network.numbering != "" or bool(config.crop_pct or config.interpolation),
        )
        metrics = evaluation.evaluate(
            network.build().to(processes.device).to(memory_format=torch.channels_last),
            batches,
            processes,
            amp_dtype=torch.bfloat16 if config.amp else None,
            channels_last=True,
        )
        result = {
            "top1": metrics.top1,
            "top5": metrics.top5,
            "loss": finite(metrics.loss),
            "images": metrics.images,
            "classes": len(set(images.labels.tolist())),
            "target": target.text,
            "split": images.split,
            "checkpoint": config.checkpoint,
            "input": input_options,
            "input_from": origin,
            "classes_from": classes_from,
            **{name: network.result.get(name) for name in ("weights", "epoch")},
        }
        if processes.is_main:
            print(pretty(result))
            if config.out is not None:
                write_json(Path(config.out), result)
    return result


def _recipe(network: Trained, input_options: dict[str, Any]) -> Recipe:
    """How images are prepared, with what decides whether that is done image by image."""
    known = ("aa", "reprob", "vflip", "no_aug") if not network.numbering else ()
    return Recipe.create(
        {
            "protocol": "evaluation",
            **{name: input_options[name] for name in ("mean", "std", "interpolation", "crop_pct")},
            **{name: network.training[name] for name in known if name in network.training},
        }
    )


def _trained_on(network: Trained) -> Source:
    """The target that the network was trained on."""
    name = network.training.get("target")
    if not name:
        raise UserError("--target is needed: the checkpoint does not say what it was trained on")
    return sources.check(str(name))


def _input(config: EvaluateConfig, network: Trained) -> tuple[dict[str, Any], str]:
    """How images are prepared, and where that comes from, in words."""
    given = {
        name: value
        for name in ("mean", "std", "interpolation", "crop_pct", "img_size")
        if (value := getattr(config, name))
    }
    flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
    origin = f"{network.origin}; {flags} given" if flags else network.origin
    if network.options.get("in_chans", 3) != 3:
        raise UserError(f"the network takes images of {network.options['in_chans']} channels, not of 3")
    return {**network.input, **given}, origin


def _introduction(
    config: EvaluateConfig, options: dict[str, Any], origin: str, images: ImageSet, classes_from: str
) -> str:
    mean, std = (", ".join(f"{value:.4g}" for value in options[name]) for name in ("mean", "std"))
    seen = sum(count > 0 for count in images.counts.values())
    return (
        f"{config.checkpoint}: images at {options['img_size']} px, {options['interpolation']}, crop "
        f"{options['crop_pct']:g}, mean {mean}, std {std} (from {origin})\n"
        f"{len(images):,} images of {images.name} ({images.split}), of {seen} of {len(images.classes)} "
        f"classes; classes by {classes_from}"
    )


def _images(config: EvaluateConfig, network: Trained, target: Source) -> tuple[ImageSet, str]:
    """The images to evaluate on, with labels that refer to the network's classes, and how these match."""
    training = network.training
    as_in_training = config.target is None and config.split is None
    images = part_to_evaluate(
        target,
        split=config.split or (training.get("val_split", "") if as_in_training else ""),
        train_split=training.get("train_split", "train"),
        share=training.get("val_share", 0.0) if as_in_training else 0.0,
        seed=training.get("seed", 0) if training.get("val_seed") is None else training["val_seed"],
    )
    count = network.options["num_classes"]
    if config.class_map is not None:
        names, origin = saved.class_names(expanded(config.class_map)), f"the names in {config.class_map}"
    elif network.classes:
        names, origin = network.classes, "the names in the checkpoint"
    else:
        names, origin = _numbered(network, target, images)
    if len(names) != count:
        raise UserError(
            f"the network tells {count} classes apart, but {origin} are {len(names)}; --class-map FILE names "
            "them in the order of its outputs"
        )
    return aligned(images, names), origin


def _numbered(network: Trained, target: Source, images: ImageSet) -> tuple[tuple[str, ...], str]:
    """The target's class names in the order in which training has numbered them, and what that order is."""
    names = images.classes
    if len(names) != network.options["num_classes"]:  # a part that lacks some of the classes
        names = loading.load(target, "train").classes if "train" in loading.splits(target) else names
    if network.numbering == "timm":
        return timm_order(names), f"the names of {target.text} in timm's order"
    if network.numbering == "sorted":
        return tuple(sorted(names)), f"the names of {target.text} in torchvision's order"
    return names, f"the numbers of {target.text}"

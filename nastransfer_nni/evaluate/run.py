"""Evaluate a trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nastransfer_nni.base.distributed import distributed_context, pick_device
from nastransfer_nni.base.files import pretty, write_json
from nastransfer_nni.data import sources
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.sources import Source
from nastransfer_nni.evaluate.config import EvaluateConfig
from nastransfer_nni.models import saved
from nastransfer_nni.models.saved import Trained
from nastransfer_nni.training import evaluation
from nastransfer_nni.training.recipes import Recipe
from nastransfer_nni.training.target import aligned, evaluation_batches, part_to_evaluate
from search_spaces.errors import UserError


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Evaluate a trained network and print the result.

    Returns:
        loss, top1 and top5 in percent, the number of images and of their classes, and what was evaluated.

    Raises:
        UserError: there is no such network or target, or the images are of classes that it does not know.
    """
    network = saved.read(Path(config.checkpoint), config.which)
    target = config.target or _trained_on(network)
    images = _images(config, network, target)
    recipe = Recipe(
        protocol="evaluation",
        crop_pct=network.input["crop_pct"],
        **{name: network.training[name] for name in ("aa", "reprob", "vflip") if name in network.training},
    )
    with distributed_context(pick_device(config.device)) as processes:
        batches = evaluation_batches(
            images,
            recipe,
            pixels=config.img_size or network.input["img_size"],
            batch_size=config.batch_size,
            processes=processes,
            workers=config.workers,
            on_bad_image=config.on_bad_image,
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
            "loss": metrics.loss,
            "images": metrics.images,
            "classes": len(set(images.labels.tolist())),
            "target": target.text,
            "split": images.split,
            "checkpoint": config.checkpoint,
            **{name: network.result.get(name) for name in ("weights", "epoch")},
        }
        if processes.is_main:
            print(pretty(result))
            if config.out is not None:
                write_json(Path(config.out), result)
    return result


def _trained_on(network: Trained) -> Source:
    """The target that the network was trained on."""
    name = network.training.get("target")
    if not name:
        raise UserError("--target is needed: the checkpoint does not say what it was trained on")
    return sources.check(str(name))


def _images(config: EvaluateConfig, network: Trained, target: Source) -> ImageSet:
    """The images to evaluate on, with labels that refer to the network's classes."""
    training = network.training
    as_in_training = config.target is None and config.split is None
    images = part_to_evaluate(
        target,
        split=config.split or (training.get("val_split", "") if as_in_training else ""),
        train_split=training.get("train_split", "train"),
        share=training.get("val_share", 0.0) if as_in_training else 0.0,
        seed=training.get("seed", 0) if training.get("val_seed") is None else training["val_seed"],
    )
    return aligned(images, network.classes) if network.classes else images

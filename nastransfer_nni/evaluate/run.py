"""Evaluates a trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nastransfer_nni.base.distributed import distributed_context, pick_device
from nastransfer_nni.base.files import pretty, write_json
from nastransfer_nni.evaluate.config import EvaluateConfig
from nastransfer_nni.models import saved
from nastransfer_nni.training import evaluation
from nastransfer_nni.training.recipes import Recipe
from nastransfer_nni.training.target import aligned, evaluation_batches, part_to_evaluate
from search_spaces.errors import UserError


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Evaluate a trained network.

    Returns:
        loss, top1 and top5 in percent, how many images they are of, and what was evaluated.

    Raises:
        UserError: something that the user can mend.
    """
    network = saved.read(Path(config.checkpoint), config.which)
    training, prepared = network.training, network.input
    name = config.target or training.get("target")
    if not name:
        raise UserError("--target is needed: the checkpoint does not say what it was trained on")
    held_out = config.target is None and config.split is None
    images = part_to_evaluate(
        str(name),
        split=config.split or (training.get("val_split", "") if held_out else ""),
        train_split=training.get("train_split", "train"),
        share=training.get("val_share", 0.0) if held_out else 0.0,
        seed=training.get("seed", 0),
    )
    if network.classes:
        images = aligned(images, network.classes)
    pixels = config.img_size or prepared["img_size"]
    known = {key: value for key, value in training.items() if key in ("aa", "reprob", "vflip")}
    protocol = Recipe(protocol="evaluation", crop_pct=prepared["crop_pct"], **known)
    with distributed_context(pick_device(config.device)) as processes:
        model = network.build().to(processes.device).to(memory_format=torch.channels_last)
        found = evaluation.evaluate(
            model,
            evaluation_batches(
                images,
                protocol,
                pixels,
                config.batch_size,
                processes=processes,
                workers=config.workers,
                on_bad_image=config.on_bad_image,
            ),
            processes,
            amp_dtype=torch.bfloat16 if config.amp else None,
            channels_last=True,
        )
        figures = {
            "top1": found.top1,
            "top5": found.top5,
            "loss": found.loss,
            "images": found.images,
            "classes": len(set(images.labels.tolist())),
            "target": name,
            "split": images.split,
            "checkpoint": config.checkpoint,
            **{key: network.result.get(key) for key in ("weights", "epoch")},
        }
        if processes.rank == 0:
            print(pretty(figures))
            if config.out is not None:
                write_json(Path(config.out), figures)
    return figures

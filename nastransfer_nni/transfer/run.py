"""The work behind the `transfer` command: data, network, budget, training, records."""

from __future__ import annotations

import bisect
import math
import os
from typing import Any

import torch

from nastransfer_nni.architecture import drawing, file
from nastransfer_nni.architecture.file import Architecture
from nastransfer_nni.base.distributed import DistributedContext, distributed_context, pick_device
from nastransfer_nni.base.files import pretty
from nastransfer_nni.base.launch import world_size
from nastransfer_nni.models.darts import DartsModel
from nastransfer_nni.models.saved import Trained
from nastransfer_nni.nni_engine.trial import report_finished
from nastransfer_nni.tracking.directory import Run
from nastransfer_nni.tracking.progress_bar import EpochProgress
from nastransfer_nni.training.checkpoints import Checkpoints
from nastransfer_nni.training.loop import Execution, train
from nastransfer_nni.training.objective import optimizer
from nastransfer_nni.training.observer import Result
from nastransfer_nni.training.recipes import Recipe
from nastransfer_nni.training.target import Target, loaders, open_target, share_of_batch
from nastransfer_nni.transfer.config import ASIDE, Resolved, TransferConfig
from nastransfer_nni.transfer.recorder import Recorder
from search_spaces import Genotype, sizes
from search_spaces.errors import UserError


def transfer(config: TransferConfig) -> dict[str, Any]:
    """Train a network, or go on with it, or show what it came to.

    Returns:
        The run's summary; checkpoints, metrics, architecture.json and the drawn cells lie in its folder.

    Raises:
        UserError: something that the user can mend.
    """
    return run_transfer(config.resolved())


def run_transfer(config: Resolved) -> dict[str, Any]:
    """Run the transfer that `config` describes; returns its summary."""
    architecture = file.read(config.arch)
    names = [architecture.name, config.target, config.protocol, f"seed{config.seed}"]
    device = pick_device(config.device)
    target = open_target(
        config.target,
        config,
        train_split=config.train_split,
        val_split=config.val_split,
        val_share=config.val_share,
        seed=config.seed,
    )
    width = fitting_width(config, target)
    share_of_batch(target, config, world_size())
    with torch.device("meta"):
        optimizer(build(config, target, width), config)
    with (
        distributed_context(device) as processes,
        Run.open("transfer", names, config, config.out, config.overwrite, ASIDE) as run,
    ):
        if processes.any(run.finished is not None):
            if run.finished is not None:
                print(f"{run.path} is complete; its summary:\n{pretty(run.finished)}")
                report_finished(run.finished)
            return run.finished or {}
        with run.uninterrupted():
            summary = _train(config, architecture, target, width, run, processes)
        if run.is_main:
            print(pretty(summary))
        return summary


def build(config: Resolved, target: Target, width: int) -> DartsModel:
    """The network of `config` for a target, with fresh weights."""
    return DartsModel(
        Genotype.from_dict(config.genotype),
        width=width,
        layers=config.layers,
        num_classes=target.num_classes,
        stem=config.stem_for(target.pixels),
        drop_rate=config.drop,
        auxiliary=config.auxiliary_weight > 0,
    )


def fitting_width(config: Resolved, target: Target) -> int:
    """The protocol's width, or the widest below it that keeps within `max_mult_adds`.

    Raises:
        UserError: not even the narrowest network does.
    """

    def cost(width: int) -> int:
        return _mult_adds(config, target, width)

    budget = config.max_mult_adds
    if budget is None or cost(config.width) <= budget:
        return config.width
    step = 2 if config.stem_for(target.pixels) == "imagenet" else 1
    widths = range(step, config.width, step)
    fitting = bisect.bisect_right(widths, budget, key=cost)
    if fitting == 0:
        raise UserError(
            f"--max-mult-adds {budget:,}: even at width {step} the network needs {cost(step):,} mult-adds "
            f"(at width {config.width}: {cost(config.width):,})"
        )
    return widths[fitting - 1]


def _mult_adds(config: Resolved, target: Target, width: int) -> int:
    with torch.device("meta"):
        return sizes.mult_adds(build(config, target, width), target.pixels)


def _train(
    config: Resolved,
    architecture: Architecture,
    target: Target,
    width: int,
    run: Run,
    processes: DistributedContext,
) -> dict[str, Any]:
    torch.manual_seed(config.seed)
    model = build(config, target, width)
    figures = {
        "params": sum(
            parameter.numel()
            for name, parameter in model.named_parameters()
            if not name.startswith("auxiliary_head.")
        ),
        "mult_adds": _mult_adds(config, target, width),
        "parameter_free_share": model.genotype.parameter_free_share,
        "width": width,
    }
    model.to(processes.device)
    batches = loaders(
        target,
        config,
        seed=config.seed,
        processes=processes,
        workers=min(8, os.cpu_count() or 1) if config.workers is None else config.workers,
        on_bad_image=config.on_bad_image,
    )
    kept = Checkpoints(run.checkpoints, config.checkpoint_hist)
    with EpochProgress(f"{architecture.name} on {config.target}", config.epochs, run.is_main) as progress:
        progress.line(_introduction(config, target, figures, run, processes))
        if config.auxiliary_weight and (note := auxiliary_note(model, target.pixels)):
            progress.line(note)
        recorder = Recorder(run, progress)
        result = train(
            model,
            batches,
            config,
            seed=config.seed,
            processes=processes,
            execution=Execution(
                channels_last=config.channels_last,
                torchcompile=config.torchcompile,
                grad_checkpointing=config.grad_checkpointing,
                recovery_interval=config.recovery_interval,
                checkpoint_hist=config.checkpoint_hist,
            ),
            checkpoints=kept,
            extra={"arch": "nastransfer_darts", "card": card(config, architecture, target, width)},
            observer=recorder,
            is_interrupted=lambda: run.is_interrupted,
        )
        if not run.is_main:
            return {}
        summary = _summary(config, architecture, target, figures, result, batches.unreadable)
        recorder.finish(architecture, summary)
    architecture.write(run.path / "architecture.json")
    drawing.save_cells(architecture.genotype, run.path)
    run.complete(summary)
    return summary


def card(config: Resolved, architecture: Architecture, target: Target, width: int) -> dict[str, Any]:
    """What every checkpoint says of the network in it."""
    return Trained(
        architecture,
        {
            "width": width,
            "layers": config.layers,
            "num_classes": target.num_classes,
            "stem": config.stem_for(target.pixels),
        },
        {
            "img_size": target.pixels,
            "mean": list(target.train.source.mean),
            "std": list(target.train.source.std),
            "crop_pct": config.crop_pct,
        },
        target.train.classes,
        weights={},
        training=config.model_dump(mode="json", exclude={"genotype", "found_by", "out", "overwrite"}),
        result={},
    ).card()


def auxiliary_note(model: DartsModel, pixels: int) -> str:
    """What is adapted where images have not the size that the auxiliary head was designed for; else empty."""
    assert model.auxiliary_head is not None
    designed = model.auxiliary_head.pixels
    level = max(info["reduction"] for info, end in zip(model.feature_info, model.feature_ends, strict=True))
    side = -(-pixels // level)
    if side == designed:
        return ""
    return (
        f"auxiliary head: its maps are {side}x{side} where {designed}x{designed} were meant; it pools them "
        "adaptively to 2x2"
    )


def _introduction(
    config: Resolved, target: Target, figures: dict[str, Any], run: Run, processes: DistributedContext
) -> str:
    narrowed = (
        f" (narrowed from {config.width} for --max-mult-adds)" if figures["width"] != config.width else ""
    )
    options = ", ".join(f"{name} {value}" for name, value in protocol_options(config).items())
    return (
        f"{run.path}: {config.layers} cells of width {figures['width']}{narrowed}, "
        f"{figures['params'] / 1e6:.3f}M parameters, {figures['mult_adds'] / 1e6:.1f}M mult-adds at "
        f"{target.pixels} px; {len(target.train):,} images to train on, {len(target.validation):,} to "
        f"evaluate on ({target.validation.split}), {target.num_classes:,} classes; {processes.world_size} x "
        f"{processes.device}\nprotocol {config.protocol}: {options}"
    )


def protocol_options(config: Resolved) -> dict[str, Any]:
    """The protocol's part of the options, printed in full beside every result."""
    return config.model_dump(mode="json", include=set(Recipe.model_fields) - {"protocol"})


def _summary(
    config: Resolved,
    architecture: Architecture,
    target: Target,
    figures: dict[str, Any],
    result: Result,
    unreadable: list[str],
) -> dict[str, Any]:
    found_by = architecture.found_by
    return {
        "top1": result.final.top1,
        "top5": result.final.top5,
        "loss": result.final.loss if math.isfinite(result.final.loss) else None,
        "best_top1": result.best_top1,
        "best_epoch": result.best_epoch,
        "images_evaluated": result.final.images,
        **figures,
        "layers": config.layers,
        "image_size": target.pixels,
        "num_classes": target.num_classes,
        "epochs": config.epochs,
        "train_seconds": round(result.seconds, 3),
        "arch": architecture.name,
        "genotype": str(architecture.genotype),
        "strategy": found_by.get("strategy"),
        "source": found_by.get("source"),
        "proxy": found_by.get("proxy"),
        "search_seed": found_by.get("seed"),
        "target": config.target,
        "evaluated_on": target.validation.split,
        "protocol": config.protocol,
        "protocol_hash": config.hash,
        "train_seed": config.seed,
        **({"unreadable_images": len(unreadable), "unreadable": unreadable[:20]} if unreadable else {}),
    }

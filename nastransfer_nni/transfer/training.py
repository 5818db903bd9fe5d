"""The work behind the `transfer` command: data, network, training, records."""

from __future__ import annotations

from typing import Any

import torch

from nastransfer_nni.architecture import drawing
from nastransfer_nni.base.distributed import DistributedContext, distributed_context, pick_device
from nastransfer_nni.base.environment import available_cores
from nastransfer_nni.base.files import finite
from nastransfer_nni.base.launch import world_size
from nastransfer_nni.tracking import services
from nastransfer_nni.tracking.progress_bar import EpochProgress
from nastransfer_nni.tracking.run import Run
from nastransfer_nni.training.checkpoints import Checkpoints
from nastransfer_nni.training.loaders import loaders, share_of_batch
from nastransfer_nni.training.loop import ComputeOptions, train
from nastransfer_nni.training.objective import optimizer
from nastransfer_nni.training.observer import Result
from nastransfer_nni.training.recipes import Recipe
from nastransfer_nni.training.target import Target, open_target
from nastransfer_nni.transfer.config import RECIPE_OPTIONS, TransferConfig
from nastransfer_nni.transfer.network import auxiliary_note, build, card, fitting_width, measures
from nastransfer_nni.transfer.recorder import Recorder
from search_spaces.errors import UserError
from strategies import with_options

ALWAYS_SHOWN = ("width", "layers", "epochs", "batch_size", "opt", "lr", "weight_decay")
"""Options of the protocol that the first lines of a transfer show; of the others, those that it changes."""


def run_training(config: TransferConfig, run: Run) -> dict[str, Any]:
    """Train the network of `config` in the open directory `run`.

    Returns:
        The run's summary in the main process; an empty dict in the others.
    """
    with distributed_context(pick_device(config.device)) as processes:
        if processes.any(run.finished is not None):
            return run.finished or {}
        target = open_target(
            config.target,
            config.recipe,
            train_split=config.train_split,
            val_split=config.val_split,
            val_share=config.val_share,
            train_images=config.train_images,
            seed=config.seed if config.val_seed is None else config.val_seed,
        )
        width = fitting_width(config, target)
        share_of_batch(target, config.recipe, world_size())
        if config.recipe.sync_bn and world_size() > 1 and processes.device.type == "cpu":
            raise UserError("--sync-bn needs GPUs; several processes on a CPU have statistics of their own")
        with torch.device("meta"):  # a mistake in the optimizer's options shows before anything is trained
            optimizer(build(config, target, width), config.recipe)
        with run.uninterrupted():
            return _train(config, target, width, run, processes)


def _train(
    config: TransferConfig, target: Target, width: int, run: Run, processes: DistributedContext
) -> dict[str, Any]:
    torch.manual_seed(config.seed)
    model = build(config, target, width)
    network = measures(config, target, model, width)
    model.to(processes.device)
    batches = loaders(
        target,
        config.recipe,
        seed=config.seed,
        processes=processes,
        workers=min(8, available_cores()) if config.workers is None else config.workers,
        on_bad_image=config.on_bad_image,
    )
    title = f"{config.arch.name} on {config.target.text}"
    with EpochProgress(title, config.recipe.epochs, run.is_main) as progress:
        progress.line(_introduction(config, target, network, run, processes))
        if config.recipe.auxiliary_weight and (note := auxiliary_note(model, target.pixels)):
            progress.line(note)
        recorder = Recorder(run, progress, _hparams(config, width), services.chosen(config))
        result = train(
            model,
            batches,
            config.recipe,
            seed=config.seed,
            processes=processes,
            compute=ComputeOptions(
                channels_last=config.channels_last,
                torchcompile=config.torchcompile,
                grad_checkpointing=config.grad_checkpointing,
                recovery_interval=config.recovery_interval,
            ),
            checkpoints=Checkpoints(run.checkpoints, config.checkpoint_hist),
            extra={"arch": model.model_name, "card": card(config, target, width)},
            val_interval=config.val_interval,
            observer=recorder,
            is_interrupted=lambda: run.is_interrupted,
        )
        if not run.is_main:
            return {}
        summary = _summary(config, target, network, result, batches.unreadable)
        recorder.finish(config.arch, summary)
    config.arch.write(run.path / "architecture.json")
    drawing.save_cells(config.arch.genotype, run.path)
    run.complete(summary)
    return summary


def _hparams(config: TransferConfig, width: int) -> dict[str, object]:
    """What tells the transfer from others, for trackers."""
    found_by = config.arch.found_by
    return {
        "job": "transfer",
        "strategy": with_options(str(found_by.get("strategy", "none")), found_by.get("options") or {}),
        "source": found_by.get("source"),
        "proxy": found_by.get("proxy"),
        "search_seed": found_by.get("seed"),
        "target": config.target.text,
        "protocol": config.recipe.protocol,
        "train_seed": config.seed,
        "arch": config.arch.name,
        "width": width,
        "layers": config.recipe.layers,
        "epochs": config.recipe.epochs,
    }


def _introduction(
    config: TransferConfig, target: Target, network: dict[str, Any], run: Run, processes: DistributedContext
) -> str:
    recipe, width = config.recipe, network["width"]
    narrowed = f" (narrowed from {recipe.width} for --max-mult-adds)" if width != recipe.width else ""
    defaults = Recipe(protocol=recipe.protocol).model_dump(mode="json")
    options = ", ".join(
        f"{name} {value}"
        for name, value in recipe.model_dump(mode="json", include=set(RECIPE_OPTIONS)).items()
        if name in ALWAYS_SHOWN or value != defaults[name]
    )
    return (
        f"{run.path}: {recipe.layers} cells of width {width}{narrowed}, {network['params'] / 1e6:.3f}M "
        f"parameters, {network['mult_adds'] / 1e6:.1f}M mult-adds at {target.pixels} px; "
        f"{len(target.train):,} images to train on, {len(target.validation):,} to evaluate on "
        f"({target.validation.split}), {target.num_classes:,} classes; "
        f"{processes.world_size} x {processes.device}\n"
        f"protocol {recipe.protocol}: {options}; all options are in {run.path / 'config.yaml'}"
    )


def _summary(
    config: TransferConfig,
    target: Target,
    network: dict[str, Any],
    result: Result,
    unreadable: list[str],
) -> dict[str, Any]:
    found_by = config.arch.found_by
    return {
        "top1": result.final.top1,
        "top5": result.final.top5,
        "loss": finite(result.final.loss),
        "best_top1": result.best_top1,
        "best_epoch": result.best_epoch,
        "images_evaluated": result.final.images,
        **network,
        "skips": config.arch.genotype.skips,
        "layers": config.recipe.layers,
        "image_size": target.pixels,
        "num_classes": target.num_classes,
        "epochs": config.recipe.epochs,
        "train_seconds": round(result.seconds, 3),
        "cpu_seconds": round(result.cpu_seconds, 3),
        "arch": config.arch.name,
        "genotype": str(config.arch.genotype),
        "strategy": found_by.get("strategy"),
        "source": found_by.get("source"),
        "proxy": found_by.get("proxy"),
        "search_seed": found_by.get("seed"),
        "target": config.target.text,
        "evaluated_on": target.validation.split,
        "protocol": config.recipe.protocol,
        "protocol_hash": config.protocol_hash,
        "train_seed": config.seed,
        **({"unreadable_images": len(unreadable), "unreadable": unreadable[:20]} if unreadable else {}),
    }

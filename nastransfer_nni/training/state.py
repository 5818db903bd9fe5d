"""What a training carries from step to step, and what its checkpoints hold of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from timm.layers import convert_sync_batchnorm
from timm.utils import ModelEmaV3, NativeScaler

from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.training.evaluation import Accuracy, Meter
from nastransfer_nni.training.objective import optimizer, scheduler
from nastransfer_nni.training.observer import Progress
from nastransfer_nni.training.recipes import Recipe


class TrainingState:
    """A network under training with all that belongs to it.

    Args:
        model: a network of this project on `processes.device`; trained in place.
        recipe: how it is trained.
        processes: the processes.
        steps: optimizer steps of an epoch.

    Attributes:
        model: the network, with BatchNorm over all processes where the protocol says so.
        optimizer: of its parameters.
        scheduler: of the learning rate, which follows from epoch and step alone.
        amp_dtype: precision of mixed precision; None without.
        scaler: of the loss, where float16 needs it.
        ema: the averaged weights, where the protocol keeps such.
        progress: where the training stands.
        meter: the figures of the epoch under way, in this process.
        final: accuracy after the last whole epoch.
    """

    def __init__(self, model: Any, recipe: Recipe, processes: DistributedContext, steps: int) -> None:
        self.model = convert_sync_batchnorm(model) if recipe.sync_bn and processes.world_size > 1 else model
        self.optimizer = optimizer(self.model, recipe)
        self.scheduler = scheduler(self.optimizer, recipe, steps)
        self.amp_dtype: torch.dtype | None = getattr(torch, recipe.amp_dtype) if recipe.amp else None
        needs_scaler = self.amp_dtype is torch.float16 and processes.device.type == "cuda"
        self.scaler = NativeScaler(processes.device.type) if needs_scaler else None
        self.ema = (
            ModelEmaV3(self.model, decay=recipe.model_ema_decay, use_warmup=recipe.model_ema_warmup)
            if recipe.model_ema
            else None
        )
        self.progress = Progress()
        self.meter = Meter(processes.device)
        self.final: Accuracy | None = None
        self._processes = processes

    @property
    def evaluated(self) -> Any:
        """The network whose accuracy counts: that of the averaged weights where there are such."""
        return self.model if self.ema is None else self.ema.module

    def epoch_done(self, accuracy: Accuracy) -> None:
        """Go to the next epoch, after one that came to `accuracy`."""
        self.final = accuracy
        self.progress.epoch, self.progress.step = self.progress.epoch + 1, 0
        self.progress.top1.append(accuracy.top1)
        self.meter = Meter(self._processes.device)

    def to_dict(self) -> dict[str, Any]:
        """The state as a checkpoint holds it, with timm's names; every process has to call this."""
        sums = self._processes.all_reduce_sum(self.meter.sums.clone())
        state = {
            "version": 2,
            "epoch": self.progress.epoch - (self.progress.step == 0),
            "state_dict": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
            "sums": sums.cpu(),
            "final": None if self.final is None else asdict(self.final),
        }
        if self.ema is not None:
            state["state_dict_ema"] = self.ema.module.state_dict()
        if self.scaler is not None:
            state[self.scaler.state_dict_key] = self.scaler.state_dict()
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Put back what `to_dict` gave, in every process."""
        self.model.load_state_dict(state["state_dict"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["state_dict_ema"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state[self.scaler.state_dict_key])
        self.progress = Progress(**state["progress"])
        if self._processes.rank == 0:  # the others count from zero: the sums are of all processes
            self.meter.sums.copy_(state["sums"])
        if state["final"] is not None:
            self.final = Accuracy(**state["final"])

"""The state that a training carries from step to step and stores in its checkpoints."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import torch
from timm.layers import convert_sync_batchnorm
from timm.utils import ModelEmaV3, NativeScaler
from torch import Tensor

from nastransfer_nni.base.distributed import DistributedContext
from nastransfer_nni.training.objective import optimizer, scheduler
from nastransfer_nni.training.observer import Progress
from nastransfer_nni.training.recipes import Recipe
from strategies.meters import Meter, Metrics


class TrainingState:
    """A network in training with its optimizer, schedule, averages and progress.

    Args:
        model: a network of this project on `processes.device`; trained in place.
        recipe: how to train.
        processes: the processes that train together.
        steps: optimizer steps per epoch.

    Attributes:
        model: the network, with BatchNorm over all processes if the recipe says so.
        optimizer: optimizer of the network's parameters.
        scheduler: learning-rate schedule, which depends on epoch and step only.
        amp_dtype: data type of autocast; None without mixed precision.
        scaler: loss scaler, for float16 on CUDA only.
        ema: average of the weights, if the recipe keeps one.
        progress: how far training has come.
        meter: metrics of the current epoch on the training split.
        final: metrics after the last finished epoch on the evaluation split; None where there are none.
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
        self.meter = Meter(processes)
        self.final: Metrics | None = None
        self._processes = processes

    @property
    def evaluated(self) -> Any:
        """The network that is evaluated: the one with averaged weights, where there is one."""
        return self.model if self.ema is None else self.ema.module

    def epoch_done(self, metrics: Metrics | None) -> None:
        """Move on to the next epoch, after one that was evaluated with `metrics`; None: it was not."""
        self.final = metrics
        self.progress.epoch, self.progress.step = self.progress.epoch + 1, 0
        self.progress.top1.append(math.nan if metrics is None else metrics.top1)
        self.meter = Meter(self._processes)

    def to_dict(self) -> dict[str, Any]:
        """The state for a checkpoint, under timm's names; every process has to call this."""
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
        if self.progress.step and self._processes.world_size > 1:
            state["running_of_ranks"] = self._processes.all_gather(self._running())
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `to_dict` returned; every process has to call this."""
        self.model.load_state_dict(state["state_dict"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["state_dict_ema"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state[self.scaler.state_dict_key])
        self._load_running(state.get("running_of_ranks"))
        self.progress = Progress(**state["progress"])
        if self._processes.is_main:  # the sums are totals of all processes: the others start from 0
            self.meter.sums.copy_(state["sums"])
        if state["final"] is not None:
            self.final = Metrics(**state["final"])

    def _running_buffers(self) -> list[Tensor]:
        """BatchNorm's running statistics, which differ between processes until an epoch is done."""
        modules = [self.model, *([] if self.ema is None else [self.ema.module])]
        return [buffer for module in modules for buffer in module.buffers() if buffer.is_floating_point()]

    def _running(self) -> Tensor:
        return torch.cat([buffer.flatten() for buffer in self._running_buffers()])

    def _load_running(self, of_ranks: list[Tensor] | None) -> None:
        """Restore this process's running statistics; those of another number of processes are averaged."""
        if of_ranks is None:
            return
        is_same_number = len(of_ranks) == self._processes.world_size
        flat = of_ranks[self._processes.rank] if is_same_number else torch.stack(of_ranks).mean(0)
        buffers = self._running_buffers()
        parts = torch.split(flat, [buffer.numel() for buffer in buffers])
        for buffer, part in zip(buffers, parts, strict=True):
            buffer.copy_(part.view_as(buffer))

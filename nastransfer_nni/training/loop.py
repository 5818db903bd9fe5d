"""The training loop of final networks, shared by `transfer` and by searches that train candidates.

The result depends only on the seed, the recipe and the global batches. All random numbers of a step are
seeded by (seed, epoch, step), so a checkpoint does not store the state of any generator, and a run that was
killed at any moment resumes bit for bit.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import torch
from timm.utils import dispatch_clip_grad
from timm.utils.distributed import distribute_bn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nastransfer_nni.base.distributed import DistributedContext, StopFlag
from nastransfer_nni.data import hashing
from nastransfer_nni.data.decoding_loader import seed_everything
from nastransfer_nni.training.checkpoints import Checkpoints
from nastransfer_nni.training.evaluation import evaluate
from nastransfer_nni.training.loaders import Loaders
from nastransfer_nni.training.objective import ModelWithLoss, mixup
from nastransfer_nni.training.observer import Observer, Result
from nastransfer_nni.training.recipes import Recipe
from nastransfer_nni.training.state import TrainingState
from search_spaces.errors import UserError, unknown
from search_spaces.separable import use_loops
from strategies.meters import Metrics

CHECK_STEPS = 20
"""Steps between checks of the losses; a check makes the device wait."""


class TrainingDiverged(UserError):
    """The training loss is not finite."""


@dataclass(frozen=True)
class ComputeOptions:
    """How training is computed. Apart from rounding, none of these options changes the result.

    Attributes:
        channels_last: use the channels-last memory layout, which is faster for these networks on CPUs and on
            GPUs, and on a CPU compiled loops for separable convolutions (`search_spaces.separable`).
            Ignored in mixed precision on a CPU, where oneDNN computes the weight gradient of dilated
            depthwise convolutions wrongly in channels-last bfloat16 (seen with torch 2.14 on an AMX machine).
        torchcompile: backend of `torch.compile`; empty: the network is not compiled.
        grad_checkpointing: recompute activations in the backward pass instead of storing them.
        recovery_interval: optimizer steps between checkpoints within an epoch; 0: none within an epoch.
    """

    channels_last: bool = True
    torchcompile: str = ""
    grad_checkpointing: bool = False
    recovery_interval: int = 0


def train(
    model: nn.Module,
    loaders: Loaders,
    recipe: Recipe,
    *,
    seed: int = 0,
    processes: DistributedContext | None = None,
    compute: ComputeOptions | None = None,
    checkpoints: Checkpoints | None = None,
    extra: dict[str, Any] | None = None,
    val_interval: int = 1,
    observer: Observer | None = None,
    is_interrupted: Callable[[], bool] = lambda: False,
) -> Result:
    """Train `model` from its current weights, or resume from the last checkpoint.

    Args:
        model: a network of this project on `processes.device`; trained in place.
        loaders: batches of this process.
        recipe: how to train.
        seed: random seed of everything that training draws.
        processes: the processes that train together; default: this one alone, on the CPU.
        compute: how to compute; default: `ComputeOptions()`.
        checkpoints: storage of the state; None: the state is not stored, so training cannot be resumed.
        extra: entries that are added to every checkpoint, such as the model card.
        val_interval: epochs from one evaluation to the next; the last epoch is always evaluated.
        observer: receives reports of every step and epoch, in every process.
        is_interrupted: called every few steps; once it returns True in any process, all save the state after
            the same step and raise KeyboardInterrupt.

    Raises:
        TrainingDiverged: the loss is not finite; names the epoch, the step and some images.
        UserError: timm has no such optimizer, or torch has no such compiler backend.
        KeyboardInterrupt: `is_interrupted` returned True.
    """
    processes, compute = processes or DistributedContext(), compute or ComputeOptions()
    if recipe.amp and processes.device.type == "cpu":
        compute = replace(compute, channels_last=False)
    if compute.channels_last:
        model.to(memory_format=torch.channels_last)
        if processes.device.type == "cpu" and not compute.torchcompile:
            use_loops(model)
    if compute.grad_checkpointing:
        model.set_grad_checkpointing()  # type: ignore[operator]
    steps = len(loaders.train) // recipe.grad_accum_steps  # an incomplete batch only comes where it is a step
    state = TrainingState(model, recipe, processes, steps)
    if checkpoints is not None and (saved := checkpoints.last()) is not None:
        state.load(saved)
        if state.progress.step == 0 and state.progress.top1 and processes.is_main:
            checkpoints.keep(state.progress.top1)  # the process may have been killed just before
    loop = _Loop(
        state=state,
        loaders=loaders,
        recipe=recipe,
        steps=steps,
        seed=seed,
        processes=processes,
        compute=compute,
        checkpoints=checkpoints,
        extra=extra or {},
        val_interval=val_interval,
        observer=observer or Observer(),
        is_interrupted=is_interrupted,
    )
    return loop.run()


def _with_loss(model: Any, recipe: Recipe, processes: DistributedContext, backend: str) -> Any:
    """The network with its loss, compiled if a backend is named, and data-parallel over all processes."""
    training = ModelWithLoss(model, recipe)
    if backend:
        if backend not in torch.compiler.list_backends(exclude_tags=()):
            raise unknown("torch.compile backend", backend, torch.compiler.list_backends())
        training.compile(backend=backend)
        model.compile(backend=backend)
    if processes.world_size == 1:
        return training
    return DistributedDataParallel(
        training, device_ids=[processes.device.index] if processes.device.type == "cuda" else None
    )


@dataclass(kw_only=True, eq=False)
class _Loop:
    """One call of `train`; `steps` are the optimizer steps per epoch, the other fields its arguments."""

    state: TrainingState
    loaders: Loaders
    recipe: Recipe
    steps: int
    seed: int
    processes: DistributedContext
    compute: ComputeOptions
    checkpoints: Checkpoints | None
    extra: dict[str, Any]
    val_interval: int
    observer: Observer
    is_interrupted: Callable[[], bool]
    unchecked_losses: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        model = self.state.model
        self.mixup = mixup(self.recipe, model.num_classes)
        self.precision = next(model.parameters()).dtype
        self.training = _with_loss(model, self.recipe, self.processes, self.compute.torchcompile)
        self.is_stopping = StopFlag(self.processes, self.is_interrupted)

    def run(self) -> Result:
        state = self.state
        self.observer.started(state.progress, self.steps)
        self.start_time = time.perf_counter() - state.progress.seconds
        self.cpu_start = time.process_time() - state.progress.cpu_seconds
        while state.progress.epoch < self.recipe.epochs:
            self._epoch()
        assert state.final is not None, "a recipe has at least one epoch"
        top1 = state.progress.top1
        evaluated = [epoch for epoch in range(len(top1)) if not math.isnan(top1[epoch])]
        best_epoch = max(evaluated, key=lambda epoch: (top1[epoch], -epoch))
        return Result(
            final=state.final,
            best_top1=top1[best_epoch],
            best_epoch=best_epoch,
            seconds=state.progress.seconds,
            cpu_seconds=state.progress.cpu_seconds,
        )

    def _epoch(self) -> None:
        state, progress, processes = self.state, self.state.progress, self.processes
        self._set_epoch()
        start_time, first_step = time.perf_counter(), progress.step
        self._train_steps()
        train_seconds = time.perf_counter() - start_time
        if processes.world_size > 1:
            for model in (state.model, *([] if state.ema is None else [state.ema.module])):
                distribute_bn(model, processes.world_size, self.recipe.dist_bn == "reduce")
        train_metrics = self._train_metrics(progress.step - first_step, train_seconds)
        metrics = self._evaluate() if self._is_evaluated() else None
        seconds = time.perf_counter() - start_time - train_seconds
        validation = {}
        if metrics is not None:
            validation = {
                "loss": metrics.loss,
                "top1": metrics.top1,
                "top5": metrics.top5,
                "seconds": seconds,
            }
        self.observer.epoch_done(progress.epoch, (progress.epoch + 1) * self.steps, train_metrics, validation)
        state.epoch_done(metrics)
        self._save()
        if self.checkpoints is not None and processes.is_main:
            self.checkpoints.keep(progress.top1)

    def _is_evaluated(self) -> bool:
        """Whether the current epoch ends with an evaluation."""
        done = self.state.progress.epoch + 1
        return done % self.val_interval == 0 or done == self.recipe.epochs

    def _evaluate(self) -> Metrics:
        """Evaluate the network after the current epoch."""
        metrics = evaluate(
            self.state.evaluated,
            self.loaders.validation,
            self.processes,
            amp_dtype=self.state.amp_dtype,
            channels_last=self.compute.channels_last,
            after_batch=self._stop_if_interrupted,
        )
        if math.isnan(metrics.loss):  # the last step of the epoch has spoilt the weights
            raise TrainingDiverged(
                f"the network's outputs are not numbers after epoch {self.state.progress.epoch}; the last "
                "checkpoint is from before; try a lower --lr or --clip-grad"
            )
        return metrics

    def _train_metrics(self, steps: int, seconds: float) -> dict[str, float]:
        """Metrics of the training split in the current epoch, of which this process did `steps` steps."""
        metrics = self.state.meter.compute()
        named = {
            "loss": metrics.loss,
            "lr": self.state.optimizer.param_groups[0]["lr"],
            "images_per_second": steps * self.recipe.batch_size / max(seconds, 1e-9),
            "seconds": seconds,
        }
        if self.mixup is None:  # the accuracy on mixed images means little
            named |= {"top1": metrics.top1, "top5": metrics.top5}
        return named

    def _set_epoch(self) -> None:
        """Set everything that depends on the epoch only."""
        progress, recipe = self.state.progress, self.recipe
        self.loaders.train.set_epoch(progress.epoch, progress.step * recipe.grad_accum_steps)
        self.loaders.validation.set_epoch(progress.epoch)
        self.state.model.set_drop_path_rate(recipe.drop_path * progress.epoch / recipe.epochs)
        self.state.scheduler.step(progress.epoch)
        if self.mixup is not None and recipe.mixup_off_epoch:
            self.mixup.mixup_enabled = progress.epoch < recipe.mixup_off_epoch
        self.training.train()

    def _train_steps(self) -> None:
        """Take the remaining optimizer steps of the epoch."""
        progress = self.state.progress
        batches = iter(self.loaders.train)
        interval = self.compute.recovery_interval
        while progress.step < self.steps:
            if self.recipe.sched_on_updates:
                self.state.scheduler.step_update(progress.epoch * self.steps + progress.step)
            self._train_step(batches)
            progress.step += 1
            self.observer.step_done(progress, self.steps)
            is_last = progress.step == self.steps
            if is_last or self.processes.device.type == "cpu" or progress.step % CHECK_STEPS == 0:
                self._check_losses()
            if interval and not is_last and progress.step % interval == 0:
                self._check_losses()
                self._save()
            self._stop_if_interrupted()

    def _train_step(self, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
        """One optimizer step, on the next `grad_accum_steps` batches."""
        state, progress, processes = self.state, self.state.progress, self.processes
        accum_steps = self.recipe.grad_accum_steps
        state.optimizer.zero_grad()
        for micro_step, (images, labels) in enumerate(islice(batches, accum_steps)):
            seed_everything(
                hashing.number(self.seed, progress.epoch, "step", progress.step, micro_step, processes.rank)
            )
            images, targets = images.to(self.precision), labels
            if self.mixup is not None:
                images, targets = self.mixup(images, labels)
            if self.compute.channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            is_last = micro_step == accum_steps - 1
            syncs_gradients = processes.world_size == 1 or is_last  # all-reduce once per optimizer step
            with contextlib.nullcontext() if syncs_gradients else self.training.no_sync():
                with torch.autocast(
                    processes.device.type, dtype=state.amp_dtype, enabled=state.amp_dtype is not None
                ):
                    loss, logits = self.training(images, targets)
                self._backward(loss / accum_steps, is_last)
            state.meter.add(loss.detach(), logits.detach(), labels)
            self.unchecked_losses.append(loss.detach())
        if state.ema is not None:
            state.ema.update(state.model, step=progress.epoch * self.steps + progress.step)

    def _backward(self, loss: Tensor, is_last: bool) -> None:
        """Backpropagate; after the last micro-step also clip the gradient and update the weights."""
        state = self.state
        clip, mode = self.recipe.clip_grad or None, self.recipe.clip_mode
        parameters = list(state.model.parameters())
        if mode == "agc":
            head = {id(parameter) for parameter in state.model.get_classifier().parameters()}
            parameters = [parameter for parameter in parameters if id(parameter) not in head]
        if state.scaler is not None:
            state.scaler(
                loss,
                state.optimizer,
                clip_grad=clip,
                clip_mode=mode,
                parameters=parameters,
                need_update=is_last,
            )
            return
        loss.backward()  # type: ignore[no-untyped-call]
        if is_last:
            if clip:
                dispatch_clip_grad(parameters, clip, mode=mode)
            state.optimizer.step()

    def _check_losses(self) -> None:
        """Raise TrainingDiverged if a loss since the last check is not finite; called before every save."""
        if not self.unchecked_losses:
            return
        losses = torch.stack(self.unchecked_losses)
        is_finite = torch.isfinite(losses)
        is_bad = not bool(is_finite.all())
        if self.processes.any(is_bad):
            accum_steps, progress = self.recipe.grad_accum_steps, self.state.progress
            if not is_bad:
                raise TrainingDiverged(
                    f"another process met a loss that is not finite in epoch {progress.epoch}"
                )
            index = int((~is_finite).nonzero()[0])
            step = progress.step - (len(losses) - index + accum_steps - 1) // accum_steps
            images = self.loaders.describe(step * accum_steps + index % accum_steps)
            raise TrainingDiverged(
                f"the loss is {float(losses[index])} at epoch {progress.epoch}, step {step} of {self.steps} "
                f"(images: {images}); the last checkpoint is from before; try a lower --lr or --clip-grad"
            )
        self.unchecked_losses.clear()

    def _stop_if_interrupted(self) -> None:
        """Save and stop if any process has been asked to."""
        if self.is_stopping():
            self._save()
            raise KeyboardInterrupt

    def _save(self) -> None:
        self.state.progress.seconds = time.perf_counter() - self.start_time
        self.state.progress.cpu_seconds = time.process_time() - self.cpu_start
        state = self.state.to_dict()
        if self.checkpoints is not None and self.processes.is_main:
            self.checkpoints.save(self.extra | state)
